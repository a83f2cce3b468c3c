"""Reading a segment: any that Druid wrote and this package or Druid can load, a range of rows at a time.

=====================  ================================================
column                 series of `read`
=====================  ================================================
LONG, DOUBLE, FLOAT    Int64, Float64, Float32
STRING                 String; List(String) if it has multiple values
ARRAY<...>             List of the element type
COMPLEX<json>, variant String, JSON text
first/last pairs       Struct of `lhs` (millis) and `rhs` (value)
other COMPLEX<...>     Binary, the object's bytes
=====================  ================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from pyroaring import BitMap

from overlord.model.interval import Interval
from workers.segment import drd
from workers.segment.errors import SegmentError, naming
from workers.segment.read_columns import ColumnReader, open_column
from workers.segment.smoosh import SmooshReader

TIME = "__time"


class SegmentReader:
    """A segment on disk.

    Nothing but the table of contents is read at once. Columns are opened on first use; a column's dictionary is kept
    when it is small, and read in place otherwise.

    Parameters
    ----------
    path : Path
        The directory with `version.bin` and the rest, or a flat `index.zip`.
    scratch : Path, optional
        Where to unpack a zip.

    Raises
    ------
    SegmentError
        From any method; its message names the file, and the column if one is at fault.
    """

    def __init__(self, path: Path, *, scratch: Path | None = None) -> None:
        self.path = path
        self._entries = SmooshReader(path, scratch=scratch)
        with naming(f"{path}: {drd.INDEX}"):
            self._contents = drd.read(self._entries[drd.INDEX])
        self._open: dict[str, ColumnReader] = {}
        self.num_rows = -1
        self.num_rows = self.column(TIME).rows

    @property
    def interval(self) -> Interval:
        """The segment's interval, as `index.drd` has it."""
        return Interval(self._contents.start_ms, self._contents.end_ms)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Dimensions in spec order, all-null ones among them."""
        return self._contents.dimensions

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics by name."""
        dimensions = set(self._contents.dimensions)
        return tuple(name for name in self._contents.columns if name not in dimensions)

    @property
    def metadata(self) -> dict[str, Any]:
        """`metadata.drd`; empty if there is none or it cannot be parsed."""
        try:
            parsed: dict[str, Any] = orjson.loads(self._entries[drd.METADATA])
        except (SegmentError, orjson.JSONDecodeError):
            return {}
        return parsed

    @property
    def bitmap(self) -> str:
        """Type of the segment's bitmaps, "roaring" or "concise"."""
        return self._contents.bitmap

    def columns(self) -> dict[str, str]:
        """Druid's type of every column by its name: `__time`, dimensions, metrics."""
        return {name: self.column(name).type_name for name in self._names()}

    def is_null(self, name: str) -> bool:
        """Whether a column is kept as a part of type "null": a string dimension without any value."""
        return name in self._contents.nulls

    def column(self, name: str) -> ColumnReader:
        """The reader of one column."""
        if name not in self._open:
            with self._naming(name):
                self._open[name] = open_column(
                    name, self._entries[name], self._entries, bitmap=self.bitmap, rows=self.num_rows
                )
            if 0 <= self.num_rows != self._open[name].rows:
                raise SegmentError(
                    f"{self.path}: column {name!r}: it has {self._open[name].rows} rows, {TIME} has {self.num_rows}"
                )
        return self._open[name]

    def read(self, name: str, start: int = 0, stop: int | None = None) -> pl.Series:
        """Rows `start` to `stop` of one column."""
        stop = self.num_rows if stop is None else min(stop, self.num_rows)
        start = min(start, stop)
        column = self.column(name)
        with self._naming(name):
            return column.read(start, stop).alias(name)

    def frames(self, columns: Sequence[str] | None = None, rows: int = 65536) -> Iterator[pl.DataFrame]:
        """All rows in order, at most `rows` a frame; a multiple of 65536 decompresses no block twice."""
        names = self._names() if columns is None else columns
        for start in range(0, self.num_rows, rows):
            yield pl.DataFrame([self.read(name, start, start + rows) for name in names])

    def rows(self, rows: int = 8192) -> Iterator[dict[str, Any]]:
        """All rows as Druid's scan query prints them; slow, meant for checks and for people.

        A list of one string prints as that string, an empty one as null; NaN and the infinities as strings; sketches
        as base64.
        """
        names = self._names()
        for start in range(0, self.num_rows, rows):
            stop = min(start + rows, self.num_rows)
            printed = [self._printed(name, start, stop) for name in names]
            for values in zip(*printed, strict=True):
                yield dict(zip(names, values, strict=True))

    def bitmaps(self, name: str) -> Iterator[tuple[Any, BitMap]]:
        """The index of a column: each value and the rows it is in."""
        with self._naming(name):
            yield from self.column(name).bitmaps()

    @property
    def entries(self) -> Mapping[str, memoryview]:
        """The raw entries by name."""
        return self._entries

    def _printed(self, name: str, start: int, stop: int) -> list[Any]:
        column = self.column(name)
        with self._naming(name):
            return column.printed(start, stop)

    def _names(self) -> list[str]:
        return [TIME, *self.dimensions, *self.metrics]

    def _naming(self, name: str) -> Any:
        return naming(f"{self.path}: column {name!r}")
