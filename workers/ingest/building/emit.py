"""A stretch of a run becomes a segment directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.model.interval import Interval
from overlord.model.shard_spec import ShardSpec, numbered
from workers.ingest.building import lists
from workers.ingest.building.autos import auto_column
from workers.ingest.building.columns import Autos, Dimension, Lists, Numbers, Strings, from_keys
from workers.ingest.building.json_columns import is_nested, json_column
from workers.ingest.building.run import Run
from workers.ingest.building.schema import BuildSchema
from workers.ingest.building.store import BLOCK_ROWS, Column, blocks
from workers.ingest.building.tables import MemoryTable, PlainTable, Table
from workers.ingest.rollup import Aggregator, Complex, State
from workers.ingest.rollup.first_last import NumberPair
from workers.ingest.structured import values_of
from workers.segment import writer
from workers.segment.write_complex import CellChunk, PairChunk
from workers.segment.write_nested import AutoColumn, JsonColumn

FEW_VALUES = 4096
MANY_ROWS = 200_000
MOST_THREADS = 4
CELLS_AT_A_TIME = 1 << 14
CELL_BYTES_AT_A_TIME = 1 << 20
_WHOLE = numbered(0, 0)

Ints = npt.NDArray[Any]
Numeric = Iterator[tuple[Ints, npt.NDArray[np.bool_] | None]]


@dataclass(frozen=True, kw_only=True)
class BuiltSegment:
    """A segment's files, not yet in deep storage.

    Attributes
    ----------
    order : int
        Its place among the segments of its chunk.
    shard_spec : ShardSpec
        Which part of the chunk it is; not counted yet.
    size : int
        Bytes of all files.
    dimensions, metrics : tuple of str
        Stored columns, in spec order.
    """

    interval: Interval
    order: int
    directory: Path
    rows: int
    size: int
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    shard_spec: ShardSpec = _WHOLE


def emit(
    run: Run,
    start: int,
    stop: int,
    *,
    interval: Interval,
    order: int,
    schema: BuildSchema,
    into: Path,
    sparse: frozenset[str] = frozenset(),
    shard_spec: ShardSpec = _WHOLE,
) -> BuiltSegment:
    """Write rows `start` to `stop`, all of one chunk, as a segment into the new directory `into`.

    A dimension of `sparse` without a value there is left out.
    """
    columns: list[writer.Column] = [writer.NumericColumn("__time", "LONG", _plain(run.time, start, stop))]
    for aggregator, state in zip(schema.aggregators, run.states, strict=True):
        columns.append(_metric(aggregator, state, start, stop))
    dimensions = []
    for name in schema.stored_order(run.dimensions):
        found = run.dimensions.get(name)
        if isinstance(found, Autos):
            column: writer.Column = _auto(name, found, start, stop, schema.casts.get(name))
        else:
            column = _dimension(name, found, start, stop, name not in schema.unindexed)
        unseen = name in sparse and not _has_empty_lists(found, start, stop)
        if isinstance(column, writer.NullColumn) and (unseen or not schema.keeps_empty(name)):
            continue
        if isinstance(column, AutoColumn) and column.count == 1 and name in sparse:
            continue
        columns.append(column)
        dimensions.append(name)
    metrics = tuple(a.name for a in schema.aggregators)
    spec = writer.SegmentSpec(
        interval_start_ms=interval.start,
        interval_end_ms=interval.end,
        dimensions=tuple(dimensions),
        metrics=metrics,
        metadata=schema.metadata(),
        index_spec=writer.IndexSpec.from_json(schema.index_spec, lz4_level=schema.lz4_level),
    )
    size = writer.write_segment(
        into, spec, columns, stop - start, common=into.with_name("common"), threads=_threads(run, stop - start)
    )
    return BuiltSegment(
        interval=interval,
        order=order,
        directory=into,
        rows=stop - start,
        size=size,
        dimensions=tuple(dimensions),
        metrics=metrics,
        shard_spec=shard_spec,
    )


def _threads(run: Run, rows: int) -> int:
    """How many columns to make at once: several, where the rows are many and yet had room in memory."""
    many = rows >= MANY_ROWS and isinstance(run.time, np.ndarray)
    return most_threads() if many else 1


def most_threads() -> int:
    """How many columns are worked on at once: as many as there are cores, within reason."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


def _has_empty_lists(column: Dimension | None, start: int, stop: int) -> bool:
    """Whether some row has `[]`, which is null to queries, but was there."""
    if not isinstance(column, Lists):
        return False
    before = int(column.ends[start - 1 : start][0]) if start else 0
    for ends in blocks(column.ends, start, stop):
        if (np.diff(ends, prepend=before) == 0).any():
            return True
        before = int(ends[-1])
    return False


def _plain(column: Column, start: int, stop: int) -> Callable[[], Numeric]:
    return lambda: ((piece, None) for piece in blocks(column, start, stop))


def _metric(aggregator: Aggregator, state: State, start: int, stop: int) -> writer.Column:
    if isinstance(aggregator, Complex):
        return _cells(aggregator, state, start, stop)
    if isinstance(aggregator, NumberPair):
        return _pairs(aggregator, state, start, stop)
    values, valid = state.arrays["values"], state.arrays.get("valid")

    def chunks() -> Numeric:
        if valid is None:
            yield from _plain(values, start, stop)()
            return
        for piece, there in zip(blocks(values, start, stop), blocks(valid, start, stop), strict=True):
            yield piece, ~there

    return writer.NumericColumn(aggregator.name, aggregator.kind, chunks)


def _cells(aggregator: Complex, state: State, start: int, stop: int) -> writer.CellsColumn:
    def chunks() -> Iterator[CellChunk]:
        step = max(1, min(CELLS_AT_A_TIME, CELL_BYTES_AT_A_TIME * len(state) // max(1, state.size)))
        for at in range(start, stop, step):
            cells, nulls = aggregator.stored(state.rows(at, min(at + step, stop)))
            yield cells.data[:], np.diff(cells.ends[:], prepend=0), nulls

    return writer.CellsColumn(aggregator.name, aggregator.type_name, chunks)


def _pairs(aggregator: NumberPair, state: State, start: int, stop: int) -> writer.PairColumn:
    def chunks() -> Iterator[PairChunk]:
        for at in range(start, stop, BLOCK_ROWS):
            rows = state.rows(at, min(at + BLOCK_ROWS, stop))
            yield rows.array("time"), rows.values, None if rows.valid is None else ~rows.valid

    return writer.PairColumn(aggregator.name, aggregator.type_name, chunks)


def _dimension(name: str, column: Dimension | None, start: int, stop: int, indexed: bool) -> writer.Column:
    if column is None:
        return writer.NullColumn(name)
    if isinstance(column, Numbers):
        return _numbers(name, column, start, stop)
    if isinstance(column, Strings):
        used = Used.by(column.codes, column.table, start, stop)
        if used.only_null:
            return writer.NullColumn(name)
        codes = column.codes
        return writer.StringColumn(
            name,
            used.dictionary,
            lambda: (used.renumber(piece) for piece in blocks(codes, start, stop)),
            bitmap_index=indexed,
        )
    return _lists(name, column, start, stop, indexed)


def _auto(name: str, column: Autos, start: int, stop: int, kind: str | None) -> AutoColumn | JsonColumn:
    used = Used.by(column.codes, column.table, start, stop)
    texts = used.dictionary
    if isinstance(texts, pl.Series):
        texts = texts.cast(pl.Binary).to_list()
    known = [text for text in texts if text is not None]
    found = values_of(known)
    codes = column.codes

    def places() -> Iterator[Ints]:
        return (used.renumber(piece) for piece in blocks(codes, start, stop))

    if any(map(is_nested, found.others)):
        return json_column(name, found, places, has_nulls=len(known) < len(used))
    return auto_column(name, found, places, has_nulls=len(known) < len(used), kind=kind)


def _numbers(name: str, column: Numbers, start: int, stop: int) -> writer.Column:
    def chunks() -> Numeric:
        for keys, valid in zip(blocks(column.keys, start, stop), blocks(column.valid, start, stop), strict=True):
            null = valid == 0
            yield from_keys(keys, column.kind), null if null.any() else None

    return writer.NumericColumn(name, column.kind, chunks)


def _lists(name: str, column: Lists, start: int, stop: int, indexed: bool) -> writer.Column:
    """Multi-value if some row here has several values; else single, where `[]` is null."""
    begin = int(column.ends[start - 1 : start][0]) if start else 0
    finish = int(column.ends[stop - 1 : stop][0])

    def counts() -> Iterator[Ints]:
        before = begin
        for ends in blocks(column.ends, start, stop):
            yield np.diff(ends, prepend=before).astype(np.int32)
            before = int(ends[-1])

    most, least = 0, 1
    for piece in counts():
        most, least = max(most, int(piece.max())), min(least, int(piece.min()))
    used = Used.by(column.items, column.table, begin, finish, null_too=least == 0)
    if used.only_null and most <= 1:
        return writer.NullColumn(name)
    if most > 1:
        return writer.MultiStringColumn(
            name,
            used.dictionary,
            counts,
            lambda: (used.renumber(piece) for piece in blocks(column.items, begin, finish)),
            bitmap_index=indexed,
        )

    def single() -> Iterator[Ints]:
        before = begin
        for ends in blocks(column.ends, start, stop):
            here = column.items[before : int(ends[-1])]
            yield used.renumber(lists.as_keys(ends - before, here)[1])
            before = int(ends[-1])

    return writer.StringColumn(name, used.dictionary, single, bitmap_index=indexed)


class Used:
    """The part of a table that a stretch of rows uses: a segment's dictionary, and codes renumbered to it."""

    def __init__(self, table: Table, codes: Ints, new_codes: Ints | None) -> None:
        self._table = table
        self._codes = codes
        self._new_codes = new_codes

    @classmethod
    def by(cls, column: Column, table: Table, start: int, stop: int, *, null_too: bool = False) -> Used:
        """The codes of `column[start:stop]`, and 0 if `null_too`."""
        whole = len(table) + 1
        if isinstance(column, np.ndarray) and whole > 4 * (stop - start) + 1024:
            codes = np.unique(column[start:stop])
            if null_too and (not len(codes) or codes[0] != 0):
                codes = np.concatenate((np.zeros(1, codes.dtype), codes))
            return cls(table, codes, None)
        marks = np.zeros(whole, np.bool_)
        for piece in blocks(column, start, stop):
            marks[piece] = True
        marks[0] |= null_too
        return cls(table, np.flatnonzero(marks), np.cumsum(marks, dtype=np.int32) - 1)

    @property
    def only_null(self) -> bool:
        """Whether no row has a value."""
        return len(self._codes) == 0 or int(self._codes[-1]) == 0

    @property
    def dictionary(self) -> pl.Series | list[bytes | None] | Used:
        """The values, null first, in the form the writer takes fastest."""
        has_null = len(self._codes) > 0 and int(self._codes[0]) == 0
        if isinstance(self._table, PlainTable):
            return [*([None] if has_null else []), *self._table.bytes_of(self._codes[has_null:])]
        if not isinstance(self._table, MemoryTable):
            return self
        (values,) = self._table.gather(self._codes[1:] if has_null else self._codes)
        if len(values) < FEW_VALUES:
            return [*([None] if has_null else []), *values.cast(pl.Binary).to_list()]
        return pl.concat([pl.Series(values.name, [None], dtype=pl.String), values]) if has_null else values

    def renumber(self, codes: Ints) -> Ints:
        """Codes of the table as codes of the dictionary."""
        if self._new_codes is not None:
            return np.asarray(self._new_codes[codes])
        return np.searchsorted(self._codes, codes).astype(np.int32)

    def __len__(self) -> int:
        return len(self._codes)

    def __iter__(self) -> Iterator[bytes | None]:
        values = self._codes
        if len(values) and values[0] == 0:
            yield None
            values = values[1:]
        for block in self._table.gather(values):
            yield from block.cast(pl.Binary).to_list()
