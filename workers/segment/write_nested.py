"""Writing columns in Druid's nested common format: of one scalar type, of arrays, or of mixed types; see `nested`."""

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
from workers.segment.front_coded import FrontCoding
from workers.segment.smoosh import Entry, SmooshWriter
from workers.segment.write_columns import Codec, gather_ids, write_dictionary, write_ids, write_index, write_numbers

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


def write_auto(smoosh: SmooshWriter, column: AutoColumn, rows: int, codec: Codec, coding: FrontCoding | None) -> None:
    """All entries of a column; `codec` compresses ids and numbers where those are compressed at all."""
    with smoosh.entry(column.name) as entry:
        _write_head(entry, column)
    part = _Parts(smoosh, column.name)
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


def _write_head(entry: Entry, column: AutoColumn) -> None:
    descriptor = {
        "valueType": "COMPLEX",
        "hasMultipleValues": False,
        "parts": [
            {
                "type": "nestedCommonFormat",
                "logicalType": column.logical,
                "hasNulls": column.has_nulls,
                "isVariantType": column.types is not None,
                "enforceLogicalType": column.enforced,
                "byteOrder": "LITTLE_ENDIAN",
                "bitmapSerdeFactory": {"type": "roaring"},
            }
        ],
    }
    text = orjson.dumps(descriptor)
    name = column.name.encode()
    entry.write(struct.pack(">i", len(text)) + text + b"\0" + front_coded.number(len(name)) + name)
    if column.types is not None:
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


def _write_variant(part: _Parts, column: AutoColumn, ids: Array, codec: Codec, coding: FrontCoding | None) -> None:
    with part("stringDictionary") as entry:
        write_dictionary(entry, [None, *column.strings], coding)
    with part("longDictionary") as entry:
        entry.write(_fixed(column.longs, "<i8", _SORTED))
    with part("doubleDictionary") as entry:
        entry.write(_fixed(column.doubles, "<f8", _SORTED))
    with part("arrayDictionary") as entry:
        entry.write(_arrays(column.arrays))
    elements, rows, starts = _elements(column, ids)
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


def _elements(column: AutoColumn, ids: Array) -> tuple[Array, npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The ids that occur in arrays, and the rows of each, as `roaring.group_rows` gives them."""
    first = column.count - len(column.arrays)
    distinct = [sorted(set(array)) for array in column.arrays]
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


__all__ = ["AutoColumn", "write_auto"]
