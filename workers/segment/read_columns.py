"""Readers of one column each, made from its entry: `str32` descriptor JSON, then the bytes of its parts.

`ColumnReader.read` gives a polars series for a range of rows, `printed` the same as a query prints it.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
from pyroaring import BitMap

from workers.segment import bitmaps
from workers.segment.blocks import BlockBytes, Blocks, raw_ids, read_ids, read_numbers
from workers.segment.compress import LZ4
from workers.segment.front_coded import MARK, FrontCoded
from workers.segment.generic_indexed import GenericIndexed

CACHED_VALUES = 65536
"""A dictionary of at most so many values is kept as a whole once it is used."""

MULTI_VALUE = 1
MULTI_VALUE_V3 = 2
NO_BITMAP_INDEX = 4


class Dictionary(Protocol):
    """Values by id, ascending; None is the null entry."""

    stop: int

    def __len__(self) -> int: ...
    def get(self, i: int) -> bytes | None: ...
    def take(self, indices: npt.NDArray[np.integer]) -> list[bytes | None]: ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a column reader is made from.

    Attributes
    ----------
    name : str
    part : mapping
        The one part of the descriptor.
    data : memoryview
        The column's entry.
    at : int
        Where the part's bytes begin.
    entries : mapping
        All entries of the segment, for columns that use several.
    bitmap : str
        Bitmap type of the segment.
    rows : int
        Rows of the segment; -1 while `__time` itself is opened.
    """

    name: str
    part: Mapping[str, Any]
    data: memoryview
    at: int
    entries: Mapping[str, memoryview]
    bitmap: str
    rows: int

    @property
    def big_endian(self) -> bool:
        return self.part.get("byteOrder") == "BIG_ENDIAN"


class ColumnReader:
    """One column.

    Attributes
    ----------
    type_name : str
        Druid's name of the type: LONG, STRING, ARRAY<LONG>, COMPLEX<hyperUnique>, ...
    has_multiple_values : bool
        A string column whose rows are lists.
    rows : int
    """

    has_multiple_values = False

    def __init__(self, type_name: str, rows: int) -> None:
        self.type_name = type_name
        self.rows = rows

    def read(self, start: int, stop: int) -> pl.Series:
        """Values of rows `start` to `stop`, without a name."""
        raise NotImplementedError

    def printed(self, start: int, stop: int) -> list[Any]:
        """The same as JSON values, in the way Druid's scan query prints them."""
        return self.read(start, stop).to_list()

    def bitmaps(self) -> Iterator[tuple[Any, BitMap]]:
        """The column's index: each value and its rows; nothing when it has none."""
        return iter(())


class NullReader(ColumnReader):
    """A string column without any value."""

    def read(self, start: int, stop: int) -> pl.Series:
        return pl.Series([None], dtype=pl.String).new_from_index(0, max(stop - start, 0))


class NumericReader(ColumnReader):
    """LONG, DOUBLE or FLOAT, with the bitmap of null rows."""

    def __init__(self, type_name: str, blocks: Blocks, nulls: BitMap | None) -> None:
        super().__init__(type_name, blocks.rows)
        self._blocks = blocks
        self._nulls = nulls

    def read(self, start: int, stop: int) -> pl.Series:
        series = pl.Series(self._blocks.read(start, stop))
        if not self._nulls:
            return series
        rows = np.asarray(self._nulls & BitMap(range(start, stop)), dtype=np.int64) - start
        return series.scatter(rows, None) if len(rows) else series

    def printed(self, start: int, stop: int) -> list[Any]:
        values = self.read(start, stop)
        if self.type_name == "LONG":
            return values.to_list()
        if self.type_name == "FLOAT":
            # a float prints with the digits that tell it from other floats, not from other doubles
            return [None if v is None else print_double(float(str(np.float32(v)))) for v in values]
        return [None if v is None else print_double(v) for v in values]


def print_double(value: float) -> float | str:
    """NaN and the infinities print as strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class Values:
    """Gathers from a dictionary of strings into a series, keeping a small dictionary as a whole."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        self._all: pl.Series | None = None

    def gather(self, ids: npt.NDArray[Any]) -> pl.Series:
        """The String series of the values of `ids`."""
        if len(self.dictionary) > CACHED_VALUES:
            used, ids = np.unique(ids, return_inverse=True)
            return self._texts(used).gather(ids.astype(np.uint32))
        if self._all is None:
            self._all = self._texts(np.arange(len(self.dictionary)))
        return self._all.gather(ids.astype(np.uint32))

    def _texts(self, ids: npt.NDArray[Any]) -> pl.Series:
        return pl.Series(self.dictionary.take(ids), dtype=pl.Binary).cast(pl.String)


class StringReader(ColumnReader):
    """One dictionary id a row, or a list of them."""

    def __init__(
        self, dictionary: Dictionary, ids: Blocks, offsets: Offsets | None, index: tuple[str, GenericIndexed] | None
    ) -> None:
        super().__init__("STRING", ids.rows if offsets is None else offsets.rows)
        self.dictionary = dictionary
        self._values = Values(dictionary)
        self._ids = ids
        self._offsets = offsets
        self._index = index
        self.has_multiple_values = offsets is not None
        self.indexed = index is not None

    def read(self, start: int, stop: int) -> pl.Series:
        if self._offsets is None:
            return self._values.gather(self._ids.read(start, stop))
        counts, ids = self.read_ids(start, stop)
        return as_lists(self._values.gather(ids), counts)

    def read_ids(self, start: int, stop: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Values a row, and the ids of all of them."""
        if self._offsets is None:
            return np.ones(max(stop - start, 0), np.int64), self._ids.read(start, stop)
        bounds = self._offsets.read(start, stop)
        return np.diff(bounds), self._ids.read(int(bounds[0]), int(bounds[-1]))

    def printed(self, start: int, stop: int) -> list[Any]:
        rows = self.read(start, stop).to_list()
        if not self.has_multiple_values:
            return rows
        return [row if len(row) > 1 else row[0] if row else None for row in rows]

    def bitmaps(self) -> Iterator[tuple[Any, BitMap]]:
        if self._index is None:
            return
        kind, index = self._index
        for i, packed in enumerate(index):
            value = self.dictionary.get(i)
            yield None if value is None else value.decode(), bitmaps.decode(kind, packed)


class Offsets:
    """Where each row's values begin and end among all values.

    Parameters
    ----------
    blocks : Blocks
        One number a row and one more, or (`ends_only`) the end of each row.
    unit : int
        Numbers count this many bytes for one value.
    """

    def __init__(self, blocks: Blocks, *, ends_only: bool = False, unit: int = 1) -> None:
        self.rows = blocks.rows - (not ends_only)
        self._blocks = blocks
        self._ends_only = ends_only
        self._unit = unit

    def read(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """`stop - start + 1` positions."""
        if not self._ends_only:
            return self._blocks.read(start, stop + 1).astype(np.int64)
        if start:
            return self._blocks.read(start - 1, stop).astype(np.int64) // self._unit
        return np.concatenate([[0], self._blocks.read(0, stop).astype(np.int64) // self._unit])


def as_lists(values: pl.Series, counts: npt.NDArray[Any]) -> pl.Series:
    """A List series: `counts[i]` of the values for row i."""
    rows = pl.Series("row", np.repeat(np.arange(len(counts)), counts))
    some = pl.DataFrame([rows, values.alias("values")]).group_by("row", maintain_order=True).agg("values")["values"]
    empty = pl.Series("values", [[]], dtype=pl.List(values.dtype))
    filled = counts > 0
    place = np.where(filled, np.cumsum(filled) - 1, len(some))
    return some.append(empty).gather(place)


class CellReader(ColumnReader):
    """A complex column that is a list of byte strings, one a row; an element may be null."""

    EMPTY_THETA = base64.b64decode("AQMDAAAeAAA=")

    def __init__(self, type_name: str, cells: GenericIndexed) -> None:
        super().__init__(f"COMPLEX<{type_name}>", len(cells))
        self._empty = self.EMPTY_THETA if type_name == "thetaSketch" else b""
        self._cells = cells

    def read(self, start: int, stop: int) -> pl.Series:
        return pl.Series(self._cells.take(np.arange(start, stop)), dtype=pl.Binary)

    def printed(self, start: int, stop: int) -> list[Any]:
        """Base64; a theta sketch of no bytes prints as the empty sketch, which Druid puts in its place."""
        cells = (self._cells.get(i) for i in range(start, stop))
        return [None if c is None else base64.b64encode(c or self._empty).decode() for c in cells]


class StringPairReader(ColumnReader):
    """stringFirst and stringLast: cells `i64 millis, i32 length, text`; length 0 is null."""

    def __init__(self, type_name: str, cells: GenericIndexed) -> None:
        super().__init__(f"COMPLEX<{type_name}>", len(cells))
        self._cells = cells

    def read(self, start: int, stop: int) -> pl.Series:
        pairs = [self._pair(self._cells.get(i)) for i in range(start, stop)]
        return pl.Series(pairs, dtype=pl.Struct({"lhs": pl.Int64, "rhs": pl.String}))

    @staticmethod
    def _pair(cell: bytes | None) -> dict[str, Any] | None:
        if not cell:
            return None
        millis, length = struct.unpack_from(">qi", cell)
        return {"lhs": millis, "rhs": cell[12 : 12 + length].decode() if length > 0 else None}


class NumberPairReader(ColumnReader):
    """longFirst and its like: `u8 3, u8 flags, 2 zero bytes, LE i64 base`, section of offsets, section of cells.

    A cell is `LE i32 or i64 delta (flag 0x80: i32), u8 is null, LE value unless null`; a cell of no bytes is no pair.
    """

    VALUES = {
        "serializablePairLongLong": ("<i8", pl.Int64),
        "serializablePairLongDouble": ("<f8", pl.Float64),
        "serializablePairLongFloat": ("<f4", pl.Float32),
    }

    def __init__(self, type_name: str, source: Source) -> None:
        super().__init__(f"COMPLEX<{type_name}>", source.rows)
        data, at = source.data, source.at
        if data[at] != 3:
            raise ValueError(f"unknown version {data[at]} of pairs")
        self._delta = "<i4" if data[at + 1] & 0x80 else "<i8"
        (self._base,) = struct.unpack_from("<q", data, at + 4)
        self._offsets, at = _section(data, at + 12)
        self._cells, _ = _section(data, at)
        self._value, self._dtype = self.VALUES[type_name]

    def read(self, start: int, stop: int) -> pl.Series:
        offsets = np.frombuffer(self._offsets.read(start * 8, (stop + 1) * 8), "<i8")
        first = int(offsets[0])
        cells = np.frombuffer(self._cells.read(first, int(offsets[-1])), np.uint8)
        begins, there = offsets[:-1] - first, np.diff(offsets) > 0
        width = np.dtype(self._delta).itemsize
        end = len(cells)
        padded = np.concatenate((cells, np.zeros(width + 9, np.uint8)))  # rows without a pair are read from there
        known = there & (padded[np.where(there, begins, end) + width] == 0)
        deltas = _gather(padded, np.where(there, begins, end), self._delta)
        values = _gather(padded, np.where(known, begins + width + 1, end), self._value)
        pairs = pl.DataFrame(
            [
                pl.Series("lhs", deltas.astype(np.int64) + self._base),
                pl.Series("rhs", values, dtype=self._dtype).set(pl.Series(~known), None),
            ]
        ).to_struct("")
        if there.all():
            return pairs
        return pairs.zip_with(pl.Series(there), pl.Series([None], dtype=pairs.dtype).new_from_index(0, len(there)))

    def printed(self, start: int, stop: int) -> list[Any]:
        pairs = self.read(start, stop).to_list()
        if self._dtype == pl.Int64:
            return pairs
        for pair in filter(None, pairs):
            if pair["rhs"] is not None:
                number = float(str(np.float32(pair["rhs"]))) if self._dtype == pl.Float32 else pair["rhs"]
                pair["rhs"] = print_double(number)
        return pairs


def _gather(data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], dtype: str) -> npt.NDArray[Any]:
    """The numbers that begin at these bytes."""
    found: npt.NDArray[Any] = data[at[:, None] + np.arange(np.dtype(dtype).itemsize)].view(dtype).reshape(len(at))
    return found


def _section(data: memoryview, at: int) -> tuple[BlockBytes, int]:
    """`LE i32 length`, then `LE i32 bytes of index, LE i32 position[blocks + 1], LE i32 bytes of data, blocks`."""
    length, index = struct.unpack_from("<ii", data, at)
    positions = np.frombuffer(data, "<i4", index // 4, at + 8)
    stop = at + 4 + length
    return BlockBytes(LZ4, positions, data[at + 12 + index : stop]), stop


def read_dictionary(source: Source, at: int) -> Dictionary:
    """A string dictionary: front-coded or GenericIndexed."""
    if source.data[at] == MARK:
        if source.data[at + 1] != 1:
            raise ValueError(f"unknown dictionary encoding {source.data[at + 1]}")
        return FrontCoded(source.data, at + 2)
    return GenericIndexed.read(source.data, at, source.entries)


def _open_numeric(kind: str, dtype: str) -> Callable[[Source], ColumnReader]:
    def with_nulls(source: Source) -> ColumnReader:
        (length,) = struct.unpack_from(">i", source.data, source.at)
        stop = source.at + 4 + length
        blocks = read_numbers(source.data[:stop], source.at + 4, dtype, source.entries, big_endian=source.big_endian)
        nulls = None
        if stop < len(source.data):
            (length,) = struct.unpack_from(">i", source.data, stop)
            bitmap = source.part.get("bitmapSerdeFactory", {}).get("type", source.bitmap)
            nulls = bitmaps.decode(bitmap, source.data[stop + 4 : stop + 4 + length])
        return NumericReader(kind, blocks, nulls)

    return with_nulls


def _open_old_numeric(kind: str, dtype: str) -> Callable[[Source], ColumnReader]:
    def without_nulls(source: Source) -> ColumnReader:
        blocks = read_numbers(source.data, source.at, dtype, source.entries, big_endian=source.big_endian)
        return NumericReader(kind, blocks, None)

    return without_nulls


def _open_string(source: Source) -> ColumnReader:
    data, at = source.data, source.at
    version = data[at]
    flags = MULTI_VALUE if version == 1 else 0
    at += 1
    if version >= 2:
        (flags,) = struct.unpack_from(">i", data, at)
        at += 4
    dictionary = read_dictionary(source, at)
    at = dictionary.stop
    offsets = None
    if flags & MULTI_VALUE_V3:
        offsets, ids = _offsets_and_ids_v3(source, at)
    elif flags & MULTI_VALUE:
        offsets, ids = (_offsets_and_ids_v2 if version == 2 else _raw_offsets_and_ids)(source, at)
    else:
        ids = read_ids(data, at, source.entries)
    index = None
    if not flags & NO_BITMAP_INDEX:
        bitmap = source.part.get("bitmapSerdeFactory", {}).get("type", source.bitmap)
        index = bitmap, GenericIndexed.read(data, ids.stop, source.entries)
    return StringReader(dictionary, ids, offsets, index)


def _offsets_and_ids_v3(source: Source, at: int) -> tuple[Offsets, Blocks]:
    if source.data[at] != 3:
        raise ValueError(f"unknown version {source.data[at]} of multiple values")
    offsets = read_numbers(source.data, at + 1, "i4", source.entries)
    return Offsets(offsets), read_ids(source.data, offsets.stop, source.entries)


def _offsets_and_ids_v2(source: Source, at: int) -> tuple[Offsets, Blocks]:
    if source.data[at] != 2:
        raise ValueError(f"unknown version {source.data[at]} of multiple values")
    offsets = read_ids(source.data, at + 1, source.entries)
    return Offsets(offsets), read_ids(source.data, offsets.stop, source.entries)


def _raw_offsets_and_ids(source: Source, at: int) -> tuple[Offsets, Blocks]:
    """`u8 1, u8 width, i32 bytes, i32 rows, i32 end[rows] (in bytes), big-endian ids, padding`."""
    version, width, size, rows = struct.unpack_from(">BBii", source.data, at)
    if version != 1:
        raise ValueError(f"unknown version {version} of multiple values")
    stop = at + 6 + size
    ends = raw_ids(source.data, at + 10, rows * 4, 4)
    ids = raw_ids(source.data, ends.stop, stop - ends.stop, width)
    return Offsets(ends, ends_only=True, unit=width), ids


def _open_complex(source: Source) -> ColumnReader:
    type_name = source.part["typeName"]
    if type_name in NumberPairReader.VALUES:
        return NumberPairReader(type_name, source)
    if source.data[source.at] == MARK:
        raise ValueError("complex metrics written with complexMetricCompression cannot be read")
    cells = GenericIndexed.read(source.data, source.at, source.entries)
    return (StringPairReader if type_name == "serializablePairLongString" else CellReader)(type_name, cells)


def _open_nested(source: Source) -> ColumnReader:
    from workers.segment import nested

    return nested.open_nested(source)


PARTS: dict[str, Callable[[Source], ColumnReader]] = {
    "longV2": _open_numeric("LONG", "i8"),
    "doubleV2": _open_numeric("DOUBLE", "f8"),
    "floatV2": _open_numeric("FLOAT", "f4"),
    "long": _open_old_numeric("LONG", "i8"),
    "double": _open_old_numeric("DOUBLE", "f8"),
    "float": _open_old_numeric("FLOAT", "f4"),
    "stringDictionary": _open_string,
    "complex": _open_complex,
    "nestedCommonFormat": _open_nested,
    "null": lambda source: NullReader("STRING", source.part["numRows"]),
}


def open_column(
    name: str, data: memoryview, entries: Mapping[str, memoryview], *, bitmap: str, rows: int
) -> ColumnReader:
    """The reader of the column whose entry is `data`."""
    (length,) = struct.unpack_from(">i", data, 0)
    descriptor = orjson.loads(data[4 : 4 + length])
    parts = descriptor["parts"]
    if len(parts) != 1 or parts[0]["type"] not in PARTS:
        raise ValueError(f"cannot read a column of parts {[p.get('type') for p in parts]}")
    source = Source(
        name=name,
        part=parts[0],
        data=data,
        at=4 + length,
        entries=entries,
        bitmap=bitmap,
        rows=rows,
    )
    return PARTS[parts[0]["type"]](source)
