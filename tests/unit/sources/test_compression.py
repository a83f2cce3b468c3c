"""Compressed input is known by its first bytes; torn input is told, never taken for a short one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import lz4.frame
import pytest
import zstandard

from overlord.errors import TaskFailed
from workers.ingest.sources.compression import plain

DATA = b"".join(b"line %d\n" % i for i in range(200_000))
COMPRESS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "lz4": lz4.frame.compress,
}


def read(data: bytes, size: int) -> bytes:
    stream = plain(io.BytesIO(data), "here")
    return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("size", [4097, 1 << 20])
def test_members_are_joined(kind, size):
    assert read(COMPRESS[kind](DATA) + COMPRESS[kind](b"more"), size) == DATA + b"more"


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("lost", [1, 4, 1000])
def test_torn_data_is_told(kind, lost):
    packed = COMPRESS[kind](DATA)
    with pytest.raises(TaskFailed, match=f"Cannot read here: .*{kind} data"):
        read(packed[:-lost], 1 << 20)


@pytest.mark.parametrize("kind", COMPRESS)
def test_no_read_gives_more_than_was_asked_for(kind):
    stream = plain(io.BytesIO(COMPRESS[kind](b"\0" * (32 << 20))), "here")
    assert 0 < len(stream.read(1000)) <= 1000


def test_what_cannot_be_read_is_named_with_what_can():
    with pytest.raises(TaskFailed, match=r"snappy.*gzip, bzip2, xz, zstd, lz4"):
        read(b"\xff\x06\x00\x00sNaPpY", 10)
