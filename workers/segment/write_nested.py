"""Writing columns in Druid's nested common format: of one scalar type, arrays, mixed types, or JSON; see `nested`.

A JSON column has a column of its own for each path at which its values have a scalar or an array of such::

    u8 version, i32 flags | dictionary of global ids | LE i32 bytes of longs, LE i32 bytes of doubles | longs | doubles
    | ids | bitmaps | for arrays of one type: dictionary of their elements, bitmaps
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from workers.segment import front_coded, roaring
from workers.segment.compress import BLOCK_BYTES, UNCOMPRESSED
from workers.segment.errors import SegmentError
from workers.segment.front_coded import FrontCoding
from workers.segment.generic_indexed import LIMIT, pack
from workers.segment.smoosh import Entry, SmooshWriter
from workers.segment.write_columns import (
    Codec,
    gather_ids,
    id_width,
    write_dictionary,
    write_ids,
    write_index,
    write_numbers,
    write_raw_ids,
)

JSON_TYPE = "COMPLEX<json>"
ARRAYS = FrontCoding(bucket_size=4, version=0)
_NULL_FIRST, _SORTED = 1, 2
_DTYPES = {"LONG": "<i8", "DOUBLE": "<f8"}

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class AutoColumn:
    """A column whose type follows from its values.

    Attributes
    ----------
    name : str
    logical : str
        "STRING", "LONG", "DOUBLE", or "ARRAY<...>" of one of them.
    types : int or None
        For values of mixed types, the set of these as Druid's bits; None where all are of one.
    enforced : bool
        Whether the spec gave the type.
    has_nulls : bool
    strings, longs, doubles : sequences
        Distinct values, ascending, without null.
    arrays : sequence of tuple of int
        Distinct arrays, ascending, as global ids: 0 is null, then come strings, longs, doubles and arrays.
    ids : callable
        Gives arrays of the rows' global ids.
    """

    name: str
    logical: str
    types: int | None = None
    enforced: bool = False
    has_nulls: bool
    strings: Sequence[bytes] = ()
    longs: Array
    doubles: Array
    arrays: Sequence[tuple[int, ...]] = ()
    ids: Callable[[], Iterator[Array]]

    @property
    def is_scalar(self) -> bool:
        """Whether values are of one type that is no array."""
        return self.types is None and not self.logical.startswith("ARRAY")

    @property
    def count(self) -> int:
        """Entries of all dictionaries, null included."""
        return 1 + len(self.strings) + len(self.longs) + len(self.doubles) + len(self.arrays)


@dataclass(frozen=True, kw_only=True)
class Field:
    """What the values of a JSON column have at one path.

    Attributes
    ----------
    path : str
        Such as `$.a[0]`.
    types : int
        Druid's bits.
    single : str or None
        The type, if all are of one.
    codes, ids : arrays
        Those distinct values of the column that have something there, and its global id.
    """

    path: str
    types: int
    single: str | None
    codes: Array
    ids: Array


@dataclass(frozen=True, kw_only=True)
class JsonColumn:
    """A column of JSON values.

    Attributes
    ----------
    name, has_nulls, strings, longs, doubles, arrays
        As in `AutoColumn`; of what is found at all paths.
    raws : sequence of bytes
        The distinct values as SMILE; the first one is empty where there are nulls.
    fields : sequence of Field
        By path.
    codes : callable
        Gives the rows' places among `raws`.
    """

    name: str
    has_nulls: bool
    strings: Sequence[bytes] = ()
    longs: Array
    doubles: Array
    arrays: Sequence[tuple[int, ...]] = ()
    raws: Sequence[bytes]
    fields: Sequence[Field]
    codes: Callable[[], Iterator[Array]]


@dataclass(frozen=True, kw_only=True)
class Codecs:
    """How the parts of these columns are compressed.

    Attributes
    ----------
    ids : Codec
        Of ids and numbers, where those are compressed at all.
    raw : Codec
        Of the values of JSON columns.
    strings : FrontCoding or None
        Of the dictionary of strings.
    """

    ids: Codec
    raw: Codec
    strings: FrontCoding | None


def write_auto(smoosh: SmooshWriter, column: AutoColumn | JsonColumn, rows: int, codecs: Codecs) -> None:
    """All entries of a column."""
    part = _Parts(smoosh, column.name)
    codec, coding = codecs.ids, codecs.strings
    with smoosh.entry(column.name) as entry:
        _write_head(entry, column)
    if isinstance(column, JsonColumn):
        _write_json(part, column, rows, codecs)
        return
    ids = gather_ids(column.ids(), column.count, rows)
    if column.is_scalar:
        _write_scalar(part, column, ids, codec, coding)
    else:
        _write_variant(part, column, ids, codec, coding)


class _Parts:
    def __init__(self, smoosh: SmooshWriter, name: str) -> None:
        self._smoosh = smoosh
        self._name = name

    def __call__(self, part: str) -> Any:
        return self._smoosh.entry(f"{self._name}.__{part}")


def _write_head(entry: Entry, column: AutoColumn | JsonColumn) -> None:
    auto = column if isinstance(column, AutoColumn) else None
    descriptor = {
        "valueType": "COMPLEX",
        "hasMultipleValues": False,
        "parts": [
            {
                "type": "nestedCommonFormat",
                "logicalType": JSON_TYPE if auto is None else auto.logical,
                "hasNulls": column.has_nulls,
                "isVariantType": auto is not None and auto.types is not None,
                "enforceLogicalType": auto is not None and auto.enforced,
                "byteOrder": "LITTLE_ENDIAN",
                "bitmapSerdeFactory": {"type": "roaring"},
            }
        ],
    }
    text = orjson.dumps(descriptor)
    name = column.name.encode()
    entry.write(struct.pack(">i", len(text)) + text + b"\0" + front_coded.number(len(name)) + name)
    if isinstance(column, JsonColumn):
        paths = [field.path.encode() for field in column.fields]
        entry.write(pack(paths, is_sorted=True) + bytes(field.types for field in column.fields))
    elif column.types is not None:
        entry.write(bytes((column.types,)))


def _write_scalar(part: _Parts, column: AutoColumn, ids: Array, codec: Codec, coding: FrontCoding | None) -> None:
    kind = column.logical.lower()
    if column.logical == "STRING":
        with part("stringDictionary") as entry:
            write_dictionary(entry, [None, *column.strings], coding)
    else:
        values = column.longs if column.logical == "LONG" else column.doubles
        with part(f"{kind}Dictionary") as entry:
            entry.write(_fixed(values, _DTYPES[column.logical], _NULL_FIRST | _SORTED))
    with part("encodedColumn") as entry:
        write_ids(entry, ids, column.count, codec.for_ids)
    if column.logical != "STRING":
        with part(f"{kind}Column") as entry:
            dtype = np.dtype(_DTYPES[column.logical])
            numbers = np.concatenate([np.zeros(1, dtype), values.astype(dtype, copy=False)])[ids]
            write_numbers(entry, iter([numbers]), len(ids), dtype.itemsize, codec)
    with part("valueIndexes") as entry:
        write_index(entry, *roaring.group_rows(ids, column.count))


def _write_dictionaries(part: _Parts, column: AutoColumn | JsonColumn, coding: FrontCoding | None) -> None:
    with part("stringDictionary") as entry:
        write_dictionary(entry, [None, *column.strings], coding)
    with part("longDictionary") as entry:
        entry.write(_fixed(column.longs, "<i8", _SORTED))
    with part("doubleDictionary") as entry:
        entry.write(_fixed(column.doubles, "<f8", _SORTED))
    with part("arrayDictionary") as entry:
        entry.write(_arrays(column.arrays))


def _write_variant(part: _Parts, column: AutoColumn, ids: Array, codec: Codec, coding: FrontCoding | None) -> None:
    _write_dictionaries(part, column, coding)
    elements, rows, starts = _elements(column.arrays, column.count - len(column.arrays), ids)
    with part("arrayElementDictionary") as entry:
        entry.write(_fixed(elements, "<i4", _SORTED))
    with part("encodedColumn") as entry:
        write_ids(entry, ids, column.count, codec.for_ids)
    with part("valueIndexes") as entry:
        write_index(entry, *roaring.group_rows(ids, column.count))
    with part("arrayElementIndexes") as entry:
        write_index(entry, rows, starts)


def _fixed(values: Array, dtype: str, flags: int) -> bytes:
    """A dictionary of numbers."""
    return struct.pack("<BBi", 0, flags, len(values)) + values.astype(dtype).tobytes()


def _arrays(arrays: Sequence[tuple[int, ...]]) -> bytes:
    """The dictionary of arrays: front-coded lists of ids, four bytes each."""
    buckets: list[bytes] = []
    for start in range(0, len(arrays), ARRAYS.bucket_size):
        bucket = arrays[start : start + ARRAYS.bucket_size]
        out = front_coded.number(len(bucket[0])) + _ids(bucket[0])
        for before, array in itertools.pairwise(bucket):
            shared = next((i for i, (a, b) in enumerate(zip(before, array, strict=False)) if a != b), len(before))
            rest = array[shared:]
            out += front_coded.number(shared) + front_coded.number(len(rest)) + _ids(rest)
        buckets.append(out)
    ends = np.cumsum([len(bucket) for bucket in buckets])[:-1].astype("<i4").tobytes()
    head = bytes((ARRAYS.version, ARRAYS.bucket_size, 0)) + front_coded.number(len(arrays))
    body = ends + b"".join(buckets)
    return head + front_coded.number(len(body)) + body


def _ids(ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(ids)}i", *ids)


def _elements(
    arrays: Sequence[tuple[int, ...]], first: int, ids: Array
) -> tuple[Array, npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The ids that occur in arrays, whose own ids begin with `first`, and the rows of each, as `group_rows` does."""
    distinct = [sorted(set(array)) for array in arrays]
    sizes = np.array([len(array) for array in distinct], np.int64)
    flat = np.array([element for array in distinct for element in array], np.uint64)
    ends = np.cumsum(sizes)
    at = np.flatnonzero(ids >= first)
    which = ids[at].astype(np.int64) - first
    counts = sizes[which] if len(which) else np.zeros(0, np.int64)
    steps = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.repeat((ends - sizes)[which], counts) + steps if len(which) else np.zeros(0, np.int64)
    keys = flat[places] << np.uint64(32) | np.repeat(at, counts).astype(np.uint64)
    keys.sort()
    elements, begins = np.unique(keys >> np.uint64(32), return_index=True)
    return elements, keys.astype(np.uint32), np.append(begins, len(keys)).astype(np.int64)


def _write_json(part: _Parts, column: JsonColumn, rows: int, codecs: Codecs) -> None:
    _write_dictionaries(part, column, codecs.strings)
    codes = gather_ids(column.codes(), len(column.raws), rows)
    sizes = np.array([len(raw) for raw in column.raws], np.int64)
    with part("raw_offsets") as entry:
        _write_blobs(entry, iter([np.cumsum(sizes[codes]).astype("<i8").tobytes()]), codecs.raw)
    with part("raw_compressed") as entry:
        _write_blobs(entry, (column.raws[code] for code in codes.tolist()), codecs.raw)
    with part("raw") as entry:
        entry.write(struct.pack(">Bi", 1, rows))
    if column.has_nulls:
        with part("nullIndex") as entry:
            bitmap = roaring.serialize(np.flatnonzero(codes == 0).astype(np.uint32))
            entry.write(struct.pack(">i", len(bitmap)) + bitmap)
    for number, field in enumerate(column.fields):
        with part(f"field_{number}") as entry:
            _write_field(entry, column, field, codes, codecs.ids)


def _write_blobs(entry: Entry, blobs: Iterator[bytes], codec: Codec) -> None:
    """Bytes one after the other, in blocks."""
    packed: list[bytes] = []
    held = bytearray()
    for blob in blobs:
        held += blob
        while len(held) >= BLOCK_BYTES:
            packed.append(bytes(codec.compress(bytes(held[:BLOCK_BYTES]))))
            del held[:BLOCK_BYTES]
    if held:
        packed.append(bytes(codec.compress(bytes(held))))
    ends = np.cumsum([len(block) for block in packed], dtype=np.int64)
    if len(ends) and int(ends[-1]) > LIMIT:
        raise SegmentError(f"its values take {int(ends[-1])} bytes, which is over 2 GiB")
    entry.write(struct.pack(">BBii", 1, codec.id, BLOCK_BYTES, len(packed)) + ends.astype("<i4").tobytes())
    for block in packed:
        entry.write(block)


def _write_field(entry: Entry, column: JsonColumn, field: Field, codes: Array, codec: Codec) -> None:
    at_code = np.zeros(len(column.raws), np.int64)
    at_code[field.codes] = field.ids
    used, ids = np.unique(at_code[codes], return_inverse=True)
    compressed = codec.id != UNCOMPRESSED
    entry.write(struct.pack(">Bi", 2 if compressed else 0, 0) + _fixed(used, "<i4", _SORTED))
    at = entry.skip(8)
    first_long = 1 + len(column.strings)
    first_double = first_long + len(column.longs)
    lengths = [0, 0]
    if field.single in _DTYPES:
        is_long = field.single == "LONG"
        values, first = (column.longs, first_long) if is_long else (column.doubles, first_double)
        dtype = np.dtype(_DTYPES[field.single])
        of_used = np.zeros(len(used), dtype)
        of_used[used > 0] = values[used[used > 0] - first]
        begin = len(entry)
        write_numbers(entry, iter([of_used[ids]]), len(ids), dtype.itemsize, codec)
        lengths[0 if is_long else 1] = len(entry) - begin
    entry.fill(at, struct.pack("<ii", *lengths))
    highest = int(used[-1])  # the width is that of global ids
    local: Array = np.asarray(ids, {1: "<u1", 2: "<u2"}.get(id_width(highest), "<u4"))
    if compressed:
        write_ids(entry, local, highest, codec)
    else:
        write_raw_ids(entry, local, highest)
    write_index(entry, *roaring.group_rows(local, len(used)))
    if field.single is not None and field.single.startswith("ARRAY"):
        first_array = first_double + len(column.doubles)
        elements, rows, starts = _elements(column.arrays, first_array, at_code[codes])
        if len(elements):
            entry.write(_fixed(elements, "<i4", _SORTED))
            write_index(entry, rows, starts)


__all__ = ["AutoColumn", "Codecs", "Field", "JsonColumn", "write_auto"]
