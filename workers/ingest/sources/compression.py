"""Streams that decompress what starts with a known magic number, whatever the file is called."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import lz4.frame

from overlord.errors import TaskFailed
from workers.ingest.sources.base import ByteStream

_INPUT = 1 << 18
_MAGIC_BYTES = 6


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Gzip:
    """zlib's object with the interface of bz2's: it keeps input it had no room to decompress."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max(max_length, 0))


class _Zstd:
    """zstandard's object with the interface of bz2's: fed in small pieces, it never holds much more than is wanted."""

    _PIECE = 4096

    def __init__(self) -> None:
        try:
            import zstandard
        except ImportError:
            raise TaskFailed("zstd data cannot be read here", hint="pip install 'overlord[zstd]'") from None
        self._object = zstandard.ZstdDecompressor().decompressobj()
        self._input = b""
        self._output = b""

    @property
    def eof(self) -> bool:
        return bool(self._object.eof) and not self._output

    @property
    def unused_data(self) -> bytes:
        return bytes(self._object.unused_data) + self._input

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        self._input += data
        pieces = [self._output]
        size = len(self._output)
        while self._input and not self._object.eof and (max_length < 0 or size < max_length):
            piece = self._object.decompress(self._input[: self._PIECE])
            self._input = self._input[self._PIECE :]
            pieces.append(piece)
            size += len(piece)
        whole = b"".join(pieces)
        if max_length < 0:
            max_length = size
        self._output = whole[max_length:]
        return whole[:max_length]


def _errors() -> tuple[type[BaseException], ...]:
    """What the libraries raise for damaged data."""
    known: tuple[type[BaseException], ...] = (zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError)
    try:
        from zstandard import ZstdError
    except ImportError:
        return known
    return (*known, ZstdError)


_KNOWN: tuple[tuple[bytes, str, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b\x08", "gzip", _Gzip),
    (b"BZh", "bzip2", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", "xz", lzma.LZMADecompressor),
    (b"\x28\xb5\x2f\xfd", "zstd", _Zstd),
    (b"\x04\x22\x4d\x18", "lz4", lz4.frame.LZ4FrameDecompressor),
)
NAMES = ", ".join(kind for _, kind, _ in _KNOWN)
_UNKNOWN = ((b"PK\x03\x04", "zip"), (b"\xff\x06\x00\x00sN", "snappy"))


def plain(stream: ByteStream, name: str) -> ByteStream:
    """The stream's bytes, decompressed if they start as gzip, bzip2, xz, zstd or lz4 do. Members
    that follow each other are joined.

    Raises
    ------
    TaskFailed
        For a compression that is not known, and while reading for data that is damaged or cut short.
    """
    head = _exactly(stream, _MAGIC_BYTES)
    for magic, kind in _UNKNOWN:
        if head.startswith(magic):
            stream.close()
            raise TaskFailed(f"Cannot read {name}: compressed by {kind}. Known: {NAMES}")
    for magic, kind, make in _KNOWN:
        if head.startswith(magic):
            return _Decompressed(head, stream, name, kind, magic, make)
    return _Rejoined(head, stream)


def is_compressed(path: Path) -> bool:
    """Whether a file starts as compressed data does."""
    with path.open("rb") as file:
        head = file.read(_MAGIC_BYTES)
    return head.startswith((*(magic for magic, _, _ in _KNOWN), *(magic for magic, _ in _UNKNOWN)))


def _exactly(stream: ByteStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = stream.read(count - len(data))
        if not piece:
            break
        data += piece
    return data


class _Rejoined:
    """A stream with its first bytes, which were looked at, put back."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        head, self._head = self._head, b""
        if not head:
            return self._stream.read(size)
        if size < 0:
            return head + self._stream.read()
        if len(head) > size:
            self._head = head[size:]
        return head[:size]

    def close(self) -> None:
        self._stream.close()


class _Decompressed:
    """The members of a compressed stream, one after the other."""

    def __init__(
        self, head: bytes, stream: ByteStream, name: str, kind: str, magic: bytes, make: Callable[[], _Decompressor]
    ) -> None:
        self._pending = head
        self._stream = stream
        self._name = name
        self._kind = kind
        self._magic = magic
        self._make = make
        self._member = make()
        self._starved = True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        while size:
            if self._member.eof and not self._next_member():
                return b""
            self._feed()
            try:
                data = self._member.decompress(self._pending, size)
            except _errors() as error:
                raise TaskFailed(f"Cannot read {self._name}: damaged {self._kind} data: {error}") from error
            self._pending = b""
            self._starved = len(data) < size
            if data:
                return data
        return b""

    def close(self) -> None:
        self._stream.close()

    def _feed(self) -> None:
        """Have input where the last call used up its own."""
        if self._pending or not self._starved:
            return
        self._pending = self._stream.read(_INPUT)
        if not self._pending:
            raise TaskFailed(f"Cannot read {self._name}: the {self._kind} data ends too early")

    def _next_member(self) -> bool:
        """Go on with the member that follows; padding, and what is no member, ends the data as it does in Java."""
        rest = (self._member.unused_data or b"").lstrip(b"\0")
        while len(rest) < len(self._magic) and (more := self._stream.read(_INPUT)):
            rest = (rest + more).lstrip(b"\0")
        if not rest.startswith(self._magic):
            return False
        self._member = self._make()
        self._pending = rest
        return True
