"""Nested columns (`json` and `auto` dimensions), read only: descriptor part "nestedCommonFormat".

The column's own bytes are `u8 0, vbyte length, name`; the rest are entries `<name>.__<part>`. Three layouts:

* a scalar type: its dictionary and `__encodedColumn`, one id a row; id 0 is null.
* arrays, and columns of mixed scalars (variants): dictionaries of strings, longs, doubles and arrays, and ids that
  count through all four in that order; an array is a list of such ids.
* json: each row's value as SMILE. `__raw_offsets` (LE i64 end of each row) and `__raw_compressed` are byte strings in
  blocks: `u8 1, u8 compression, i32 65536, i32 blocks, LE i32 end of each block, blocks`.

Fixed dictionary: `u8 0, u8 flags (1 null first, 2 sorted), LE i32 count without null, LE values`.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
from pyroaring import BitMap

from workers.segment import bitmaps, smile
from workers.segment.blocks import BlockBytes, Blocks, read_ids
from workers.segment.compress import BLOCK_BYTES
from workers.segment.front_coded import FrontCoded, vbyte
from workers.segment.generic_indexed import GenericIndexed
from workers.segment.read_columns import ColumnReader, Source, Values, print_double, read_dictionary

NULL_FIRST = 1
JSON_TYPE = "COMPLEX<json>"
NUMBERS: dict[str, tuple[str, Any]] = {"LONG": ("<i8", pl.Int64), "DOUBLE": ("<f8", pl.Float64)}
ELEMENTS: dict[str, Any] = {"STRING": pl.String, "LONG": pl.Int64, "DOUBLE": pl.Float64}


class Parts:
    """The entries of one nested column.

    Parameters
    ----------
    source : Source
    name : str
        Their common beginning: the column's name as the column itself gives it.
    """

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        self.rows = source.rows
        self.bitmap: str = source.part.get("bitmapSerdeFactory", {}).get("type", source.bitmap)

    def __contains__(self, part: str) -> bool:
        return f"{self._name}.{part}" in self._source.entries

    def __getitem__(self, part: str) -> memoryview:
        return self._source.entries[f"{self._name}.{part}"]

    def ids(self) -> Blocks:
        return read_ids(self["__encodedColumn"], 0, self._source.entries)

    def index(self, part: str) -> GenericIndexed:
        return GenericIndexed.read(self[part], 0, self._source.entries)

    def strings(self) -> list[bytes | None]:
        dictionary = read_dictionary(self.as_source("__stringDictionary"), 0)
        return dictionary.take(np.arange(len(dictionary)))

    def as_source(self, part: str) -> Source:
        source = self._source
        return Source(
            name=source.name,
            part=source.part,
            data=self[part],
            at=0,
            entries=source.entries,
            bitmap=source.bitmap,
            rows=source.rows,
        )

    def numbers(self, part: str, dtype: str) -> list[Any]:
        """A fixed dictionary; None first if it has a null."""
        data = self[part]
        version, flags, count = struct.unpack_from("<BBi", data)
        if version != 0:
            raise ValueError(f"unknown version {version} of {part}")
        nulls: list[Any] = [None] if flags & NULL_FIRST else []
        return [*nulls, *np.frombuffer(data, dtype, count, 6).tolist()]


class ScalarReader(ColumnReader):
    """Strings, longs or doubles only.

    Attributes
    ----------
    enforced : bool
        Whether the spec gave the type.
    """

    def __init__(self, type_name: str, parts: Parts, *, enforced: bool) -> None:
        self.enforced = enforced
        self._ids = parts.ids()
        super().__init__(type_name, self._ids.rows)
        self._parts = parts
        self._values: Values | None = None
        self._numbers: pl.Series | None = None
        if type_name == "STRING":
            self._values = Values(read_dictionary(parts.as_source("__stringDictionary"), 0))
        else:
            dtype, polars_type = NUMBERS[type_name]
            self._numbers = pl.Series(parts.numbers(f"__{type_name.lower()}Dictionary", dtype), dtype=polars_type)

    def read(self, start: int, stop: int) -> pl.Series:
        return self._gather(self._ids.read(start, stop))

    def _gather(self, ids: npt.NDArray[Any]) -> pl.Series:
        if self._values is not None:
            return self._values.gather(ids)
        assert self._numbers is not None
        return self._numbers.gather(ids.astype(np.uint32))

    def printed(self, start: int, stop: int) -> list[Any]:
        values = self.read(start, stop).to_list()
        return values if self.type_name != "DOUBLE" else [None if v is None else print_double(v) for v in values]

    def bitmaps(self) -> Iterator[tuple[Any, BitMap]]:
        index = self._parts.index("__valueIndexes")
        values = self._gather(np.arange(len(index)))
        for value, packed in zip(values, index, strict=True):
            yield value, bitmaps.decode(self._parts.bitmap, packed)


class GlobalReader(ColumnReader):
    """Arrays, or a mix of types; its dictionaries are held as Python values. `enforced` as in `ScalarReader`."""

    def __init__(self, type_name: str, parts: Parts, *, is_variant: bool, enforced: bool) -> None:
        self.enforced = enforced
        self._ids = parts.ids()
        super().__init__(type_name, self._ids.rows)
        self._parts = parts
        self._values: list[Any] = [None if v is None else v.decode() for v in parts.strings()]
        self._values += parts.numbers("__longDictionary", "<i8")
        self._values += parts.numbers("__doubleDictionary", "<f8")
        arrays = FrontCoded(parts["__arrayDictionary"], 0, item_bytes=4)
        for array in arrays.take(np.arange(len(arrays))):
            self._values.append([self._values[i] for i in np.frombuffer(array or b"", "<i4").tolist()])
        self._dtype = _polars_type(type_name, is_variant=is_variant)

    def read(self, start: int, stop: int) -> pl.Series:
        values = self._gather(start, stop)
        if self._dtype is None:
            return json_texts([_printed(v) for v in values])
        return pl.Series(values, dtype=self._dtype, strict=False)

    def _gather(self, start: int, stop: int) -> list[Any]:
        return [self._values[i] for i in self._ids.read(start, stop).tolist()]

    def printed(self, start: int, stop: int) -> list[Any]:
        return [_printed(v) for v in self._gather(start, stop)]

    def bitmaps(self) -> Iterator[tuple[Any, BitMap]]:
        index = self._parts.index("__valueIndexes")
        for value, packed in zip(self._values, index, strict=False):
            yield _printed(value), bitmaps.decode(self._parts.bitmap, packed)


def _polars_type(type_name: str, *, is_variant: bool) -> Any:
    """None stands for JSON text; longs among doubles are still doubles."""
    if is_variant:
        return pl.Float64 if type_name == "DOUBLE" else None
    return pl.List(ELEMENTS[type_name.removeprefix("ARRAY<").removesuffix(">")])


def _printed(value: Any) -> Any:
    if isinstance(value, list):
        return [_printed(v) for v in value]
    return print_double(value) if isinstance(value, float) else value


def json_texts(values: list[Any]) -> pl.Series:
    """JSON text of each value; null where there is none."""
    return pl.Series([None if v is None else orjson.dumps(v).decode() for v in values], dtype=pl.String)


class JsonReader(ColumnReader):
    """Any JSON value a row."""

    enforced = False

    def __init__(self, parts: Parts) -> None:
        version, rows = struct.unpack_from(">Bi", parts["__raw"])
        if version != 1:
            raise ValueError(f"unknown version {version} of __raw")
        super().__init__(JSON_TYPE, rows)
        self._ends = _block_bytes(parts["__raw_offsets"])
        self._raw = _block_bytes(parts["__raw_compressed"])
        self._nulls = BitMap()
        if "__nullIndex" in parts:
            packed = parts["__nullIndex"]
            (length,) = struct.unpack_from(">i", packed)
            self._nulls = bitmaps.decode(parts.bitmap, packed[4 : 4 + length])

    def read(self, start: int, stop: int) -> pl.Series:
        return json_texts(self.printed(start, stop))

    def printed(self, start: int, stop: int) -> list[Any]:
        if start >= stop:
            return []
        before = max(start - 1, 0)
        ends = np.frombuffer(self._ends.read(before * 8, stop * 8), "<i8").tolist()
        if start == 0:
            ends.insert(0, 0)
        raw = self._raw.read(ends[0], ends[-1])
        cells = (raw[a - ends[0] : b - ends[0]] for a, b in itertools.pairwise(ends))
        return [None if row in self._nulls else smile.decode(cell) for row, cell in enumerate(cells, start)]


def _block_bytes(data: memoryview) -> BlockBytes:
    version, codec, size, blocks = struct.unpack_from(">BBii", data)
    if version != 1 or size != BLOCK_BYTES:
        raise ValueError(f"version {version} of blocks, {size} bytes each, is unknown")
    ends = np.frombuffer(data, "<i4", blocks, 10)
    return BlockBytes(codec, np.concatenate([[0], ends]), data[10 + 4 * blocks :])


def open_nested(source: Source) -> ColumnReader:
    """The reader of a nested column, by its logical type."""
    if source.data[source.at] != 0:
        raise ValueError(f"unknown version {source.data[source.at]} of a nested column")
    length, at = vbyte(source.data, source.at + 1)
    parts = Parts(source, bytes(source.data[at : at + length]).decode())
    part: Mapping[str, Any] = source.part
    logical: str = part["logicalType"]
    if logical == JSON_TYPE:
        return JsonReader(parts)
    enforced = bool(part.get("enforceLogicalType"))
    if logical.startswith("ARRAY<") or part.get("isVariantType"):
        mixed = bool(part.get("isVariantType"))
        return GlobalReader(logical, parts, is_variant=mixed, enforced=enforced)
    return ScalarReader(logical, parts, enforced=enforced)
