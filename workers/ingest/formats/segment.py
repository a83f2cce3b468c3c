"""Segments as rows: columns as arrays, a stretch of rows at a time, cut to the time that is wanted.

Values come as the column has them: text, numbers, lists of text; `json` columns as objects; and complex metrics as
their stored states (see `workers.segment.reader`), which combining aggregators take.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from workers.ingest.formats.base import RawBatch, RawChunk
from workers.ingest.sources.ahead import ahead
from workers.ingest.transform.filters import read_filter
from workers.publish.fetch import fetch
from workers.segment.nested import GlobalReader, JsonReader
from workers.segment.reader import TIME, SegmentReader

BLOCK_ROWS = 65536
"""Rows of the largest block of a column: stretches of so many decompress no block twice."""
CELL_BYTES = 32
"""What a value takes in memory, about."""


class SegmentRows:
    """Rows for messages and discovery; see `formats.base.Rows`."""

    def __init__(self, columns: Mapping[str, pl.Series]) -> None:
        self._columns = columns

    @property
    def declared(self) -> Collection[str]:
        return self._columns.keys()

    def event(self, row: int) -> dict[str, Any]:
        values = {name: column.slice(row, 1).to_list()[0] for name, column in self._columns.items()}
        return {name: value for name, value in values.items() if value is not None}

    def raw(self, row: int) -> dict[str, Any]:
        return self.event(row)

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        """By the first row that has a value, as rows come without their nulls."""
        found: list[tuple[int, str]] = []
        for name, column in self._columns.items():
            if name not in known:
                at = column.gather(rows).is_not_null().arg_true()
                if len(at):
                    found.append((int(at[0]), name))
        return [name for _, name in sorted(found, key=lambda each: each[0])]


def read_windows(
    windows: Sequence[tuple[Interval, DataSegment]],
    settings: Mapping[str, Any],
    scratch: Path,
    *,
    chunk_bytes: int,
    wanted: Collection[str] | None = None,
    condition: Mapping[str, Any] | None = None,
) -> Iterator[RawChunk]:
    """The rows of segments, each within its stretch of time, in the order given; tombstones have none.

    Parameters
    ----------
    chunk_bytes : int
        How much to hold at a time, about.
    wanted : collection of str, optional
        The only columns that matter.
    condition : mapping, optional
        A filter of Druid's.
    """
    source = _Windows(windows, settings, scratch, chunk_bytes, wanted, condition)
    return ahead(source.chunks())


class _Windows:
    """The reading of several segments, one after the other."""

    def __init__(
        self,
        windows: Sequence[tuple[Interval, DataSegment]],
        settings: Mapping[str, Any],
        scratch: Path,
        chunk_bytes: int,
        wanted: Collection[str] | None,
        condition: Mapping[str, Any] | None,
    ) -> None:
        self._windows = windows
        self._settings = settings
        self._scratch = scratch
        self._chunk_bytes = chunk_bytes
        self._wanted = wanted
        self._filter = None if condition is None else read_filter(condition)
        self._files: tuple[str, ...] = ()

    def chunks(self) -> Iterator[RawChunk]:
        for window, segment in self._windows:
            if not segment.tombstone:
                self._files = (*self._files, str(segment.id))
                yield from self._segment(window, segment)

    def _segment(self, window: Interval, segment: DataSegment) -> Iterator[RawChunk]:
        folder = self._scratch / f"fetched-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            reader = SegmentReader(fetch(segment, self._settings, folder), scratch=folder)
            left = segment.size  # counted with the first rows, as Druid does
            for start, stop in self._stretches(reader):
                yield self._chunk(reader, window, start, stop, left)
                left = 0
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _stretches(self, reader: SegmentReader) -> Iterator[tuple[int, int]]:
        cells = max(1, 4 * self._chunk_bytes // CELL_BYTES)
        rows = max(1024, cells // (1 + len(self._names(reader))))
        rows = max(BLOCK_ROWS, rows // BLOCK_ROWS * BLOCK_ROWS) if 2 * rows >= BLOCK_ROWS else rows
        for start in range(0, reader.num_rows, rows):
            yield start, min(start + rows, reader.num_rows)

    def _names(self, reader: SegmentReader) -> list[str]:
        names = [*reader.dimensions, *reader.metrics]
        return [n for n in names if n != TIME and (self._wanted is None or n in self._wanted)]

    def _chunk(self, reader: SegmentReader, window: Interval, start: int, stop: int, size: int) -> RawChunk:
        times = reader.read(TIME, start, stop)
        keep = _inside(times.to_numpy(), window)
        known: dict[str, pl.Series] = {}
        if self._filter is not None and keep.any():
            known = {name: _raw(reader, name, start, stop) for name in self._filter.fields if _has(reader, name)}
            keep &= self._filter.keeps({TIME: times, **known}, stop - start)
        columns = {TIME: times}
        for name in self._names(reader) if keep.any() else ():
            columns[name] = known[name] if name in known else _raw(reader, name, start, stop)
        lines = np.arange(start + 1, stop + 1, dtype=np.int64)
        if not keep.all():
            rows = np.flatnonzero(keep)
            columns = {name: column.gather(rows) for name, column in columns.items()}
            lines = lines[rows]
        batch = RawBatch(
            columns=columns,
            file=np.full(len(lines), len(self._files) - 1, np.int32),
            line=lines,
            files=self._files,
            rows=SegmentRows(columns),
            uri=None,
        )
        return RawChunk(batch=batch, bytes=size)


def _inside(times: npt.NDArray[np.int64], window: Interval) -> npt.NDArray[np.bool_]:
    """Which rows lie in the stretch."""
    inside: npt.NDArray[np.bool_] = (times >= window.start) & (times < window.end)
    return inside


def _has(reader: SegmentReader, name: str) -> bool:
    return name in reader.dimensions or name in reader.metrics


def _raw(reader: SegmentReader, name: str, start: int, stop: int) -> pl.Series:
    """A column in the types of `formats.base`."""
    column = reader.read(name, start, stop)
    if column.dtype == pl.Float32:
        return column.cast(pl.Float64)
    kind = reader.column(name).type_name
    if kind == "ARRAY<STRING>" and column.dtype == pl.List(pl.String):  # of which one with one item is no plain text
        return pl.Series(name, column.to_list(), dtype=pl.Object)
    if column.dtype == pl.String and isinstance(reader.column(name), GlobalReader | JsonReader):
        return pl.Series(name, [None if v is None else orjson.loads(v) for v in column], dtype=pl.Object)
    return column
