"""The small codecs and layouts, against their plain versions."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from workers.segment import blocks, concise, front_coded, lzf, roaring, smile
from workers.segment.front_coded import FrontCoded, FrontCoding
from workers.segment.generic_indexed import GenericIndexed, pack

row_sets = st.lists(
    st.sets(st.integers(0, 300) | st.integers(65_000, 66_000) | st.integers(2**31, 2**32 - 1), max_size=60)
    | st.integers(0, 70_000).map(lambda start: set(range(start, start + 20))),
    min_size=1,
    max_size=90,
)


class Sink:
    """Takes what a list writer takes."""

    def __init__(self):
        self.data = b""
        self.sizes = []

    def add(self, element):
        self.data += bytes(4) + element
        self.sizes.append(4 + len(element))

    def add_packed(self, packed, sizes):
        self.data += bytes(packed)
        self.sizes += sizes.tolist()


@given(row_sets)
def test_bitmaps_laid_out_by_numpy_are_those_of_pyroaring(sets):
    rows = np.array([row for s in sets for row in sorted(s)], np.uint32)
    starts = np.concatenate([[0], np.cumsum([len(s) for s in sets])])
    plain, fast = Sink(), Sink()
    for s in sets:
        plain.add(BitMap(s).serialize() if s else b"")
    roaring._write_slice(fast, rows, starts)
    assert (fast.data, fast.sizes) == (plain.data, plain.sizes)


@pytest.mark.parametrize("order", ["random", "sorted", "few have most", "runs"])
@pytest.mark.parametrize("slices", [(10, 10**6), (10**6, 5_000), (10**6, 1)])
def test_bitmaps_of_columns_of_any_kind_are_those_of_pyroaring(order, slices, monkeypatch):
    monkeypatch.setattr(roaring, "SLICE_VALUES", slices[0])
    monkeypatch.setattr(roaring, "SLICE_ROWS", slices[1])
    chance = np.random.default_rng(7)
    ids = chance.integers(0, 200, 150_000)
    if order == "sorted":
        ids.sort()
    elif order == "few have most":
        ids = np.minimum(chance.zipf(1.4, len(ids)), 200) - 1
    elif order == "runs":
        ids = np.repeat(ids[: len(ids) // 30], 30)
    rows, starts = roaring.group_rows(ids.astype(np.uint16), 200)
    plain, fast = Sink(), Sink()
    for start, stop in itertools.pairwise(starts.tolist()):
        plain.add(roaring.serialize(rows[start:stop]))
    roaring.write_index(fast, rows, starts)
    assert (fast.data, fast.sizes) == (plain.data, plain.sizes)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=400), st.sampled_from(["u1", "u2", "u4"]))
def test_rows_are_grouped_by_id(ids, dtype):
    ids = np.array(ids).astype(dtype)
    rows, starts = roaring.group_rows(ids, 301)
    for i in range(301):
        assert rows[starts[i] : starts[i + 1]].tolist() == np.flatnonzero(ids == i).tolist()


def test_list_version_2_spreads_over_entries():
    cells = [b"a", None, b"", b"ccc", b"dd"]
    files = [cells[:2], cells[2:4], cells[4:]]
    entries = {"col.dim_values_header": b""}
    for k, part in enumerate(files):
        values, ends = b"", []
        for cell in part:
            values += (b"\xff\xff\xff\xff" if cell is None else bytes(4)) + (cell or b"")
            ends.append(len(values))
        entries[f"col.dim_values_value_{k}"] = memoryview(values)
        entries["col.dim_values_header"] += struct.pack(f"<{len(ends)}i", *ends)
    base = b"col.dim_values"
    data = memoryview(b"?" + struct.pack(">BBiii", 2, 1, 1, len(cells), len(base)) + base + b"rest")
    read = GenericIndexed.read(data, 1, entries)
    assert [read.get(i) for i in range(len(read))] == cells
    assert read.is_sorted
    assert bytes(data[read.stop :]) == b"rest"


@given(st.lists(st.none() | st.binary(max_size=9)))
def test_list_version_1_gives_back_its_elements(cells):
    data = memoryview(pack(cells) + b"x")
    read = GenericIndexed.read(data, 0)
    assert [read.get(i) for i in range(len(read))] == cells
    assert read.stop == len(data) - 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16, 20, 24, 32, 40, 48, 56])
def test_packed_longs_unpack(bits):
    values = np.random.default_rng(bits).integers(0, 2**bits, 37)
    text = "".join(f"{v:0{bits}b}" for v in values.tolist())
    text += "0" * (-len(text) % 8) + "0" * 32
    data = int(text, 2).to_bytes(len(text) // 8, "big")
    assert blocks.unpack(data, 37, bits).tolist() == values.tolist()


def vbyte(number):
    out = b""
    while number >= 128:
        out += bytes([number & 127])
        number >>= 7
    return out + bytes([number | 128])


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("has_null", [False, True])
def test_front_coded_lists_of_both_formats_are_read(version, has_null):
    values = sorted(b"%s%d" % (word, i) for i in range(50) for word in (b"", b"pre", b"prefix", b"x" * 200))
    buckets, ends = b"", []
    for start in range(0, len(values), 16):
        bucket = values[start : start + 16]
        buckets += vbyte(len(bucket[0])) + bucket[0]
        for before, value in itertools.pairwise(bucket):
            base = before if version else bucket[0]
            shared = next((i for i, (a, b) in enumerate(zip(base, value, strict=False)) if a != b), len(base))
            shared = min(shared, len(value))
            buckets += vbyte(shared) + vbyte(len(value) - shared) + value[shared:]
        ends.append(len(buckets))
    table = struct.pack(f"<{len(ends) - 1}i", *ends[:-1])
    head = bytes([version, 16, has_null]) + vbyte(len(values)) + vbyte(len(table) + len(buckets))
    read = FrontCoded(memoryview(head + table + buckets + b"rest"), 0)
    assert [read.get(i) for i in range(len(read))] == [None] * has_null + values
    assert read.stop == len(head + table + buckets)


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ([0x80000005], [0, 2]),
        ([0x00000001, 0x80000001], [62]),
        ([0x40000001], list(range(62))),
        ([0x00000000 | 3 << 25], [2]),
        ([0x40000000 | 1 << 25], list(range(1, 31))),
        ([0x00000002 | 31 << 25, 0xC0000000], [30, 93 + 30]),
        ([], []),
    ],
)
def test_concise_words(words, rows):
    assert concise.decode(struct.pack(f">{len(words)}I", *words)).tolist() == rows


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"ZV\x00\x00\x03abc", b"abc"),
        (b"ZV\x01\x00\x06\x00\x08\x02abc\x60\x02", b"abcabcab"),
        (b"ZV\x01\x00\x05\x00\x0b\x00a\xe0\x01\x00", b"a" * 11),
        (b"ZV\x00\x00\x01xZV\x00\x00\x01y", b"xy"),
    ],
)
def test_lzf_chunks(data, plain):
    assert lzf.decompress(data) == plain


@pytest.mark.parametrize(
    "data", [b"XX\x00\x00\x01x", b"ZV\x01\x00\x02\x00\x03\x20\x05", b"ZV\x01\x00\x02\x00\x09\x00a"]
)
def test_bad_lzf_is_refused(data):
    with pytest.raises(ValueError, match="LZF"):
        lzf.decompress(data)


SMILE = b":)\n\x01"


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("20", ""),
        ("21", None),
        ("22", False),
        ("23", True),
        ("c2", 1),
        ("c1", -1),
        ("24 01 80", 32),
        ("25 01 00 00 00 00 00 80", 2**40),
        ("26 81 40 00", -128),
        ("28 00 00 00 00 00", 0.0),
        ("29 00 3f 7c 00 00 00 00 00 00 00", 1.5),
        ("2a 82 81 00 0f", 1.5),
        ("42 61 62 63", "abc"),
        ("80 c3 a9", "é"),
        ("e0 61 62 fc", "ab"),
        ("e4 c3 a9 fc", "é"),
        ("f8 c2 c4 f9", [1, 2]),
        ("fa 80 61 c2 81 62 63 fa 40 c4 fb fb", {"a": 1, "bc": {"a": 2}}),
        ("fa 20 c2 34 61 fc c4 fb", {"": 1, "a": 2}),
    ],
)
def test_smile_values(token, value):
    try:
        got = smile.decode(SMILE + bytes.fromhex(token))
    except ValueError as error:
        pytest.fail(f"{token}: {error}")
    assert got == value
    assert type(got) is type(value)


def test_smile_shared_values():
    assert smile.decode(b":)\n\x03" + bytes.fromhex("f8 40 61 41 62 63 01 02 f9")) == ["a", "bc", "a", "bc"]


def test_smile_table_of_names_begins_anew_after_1024():
    names = [f"n{i:04d}" for i in range(1025)]
    data = b"".join(b"\x84" + name.encode() + b"\xc0" for name in names)
    nested = b"\xfa\x40\xc2\xfb"  # reference 0: now the 1025th name
    decoded = smile.decode(SMILE + b"\xfa" + data + b"\x80z" + nested + b"\xfb")
    assert decoded["z"] == {"n1024": 1}


@pytest.mark.parametrize(
    "data", [b"", b":)\n", b"{}", SMILE + b"\x43ab", SMILE + b"\xff", SMILE + b"\x1f", SMILE + b"\xf8"]
)
def test_bad_smile_is_refused(data):
    with pytest.raises((ValueError, IndexError)):
        smile.decode(data)


@given(
    st.sets(st.binary(max_size=6) | st.binary(max_size=4).map(lambda end: b"prefix" * 30 + end), max_size=40),
    st.sampled_from([1, 2, 4, 16, 128]),
    st.sampled_from([0, 1]),
    st.booleans(),
)
def test_front_coded_lists_give_back_their_values(values, bucket_size, version, has_null):
    values = sorted(values)
    lengths = np.array([len(value) for value in values], np.int64)
    part = front_coded.Values(
        data=np.frombuffer(b"".join(values) or b"-", np.uint8), starts=np.cumsum(lengths) - lengths, lengths=lengths
    )
    coding = FrontCoding(bucket_size=bucket_size, version=version)
    data = front_coded.encode([part], coding, has_null=has_null)
    read = FrontCoded(memoryview(b"?" + data), 1)
    assert [read.get(i) for i in range(len(read))] == [None] * has_null + values
    assert read.stop == len(data) + 1
