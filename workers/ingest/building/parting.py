"""The rows of a run, which are in order of chunk and time, brought into order of chunk and part.

Within a part rows keep their order. In memory that is one `take`. On disk, blocks are parted one by one and written
one after the other; a part then is the stretches that it has in all blocks, which `Gathered` reads as one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from overlord.model.shard_spec import ShardSpec, numbered
from workers.ingest.building.columns import Dimension, Lists, Numbers, Strings
from workers.ingest.building.merge import RunWriter, Stretch, load
from workers.ingest.building.run import Run
from workers.ingest.building.store import Array, ArrayWriter, Column, Scratch, bisect, blocks
from workers.ingest.partition.base import Labels, Partitions, Parts
from workers.ingest.rollup import Cells, State


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Rows that make one segment.

    Attributes
    ----------
    chunk : int
        Start of its time chunk.
    shard_spec : ShardSpec
        Not counted yet.
    """

    chunk: int
    start: int
    stop: int
    shard_spec: ShardSpec

    def __len__(self) -> int:
        return self.stop - self.start


def chunks_of(run: Run) -> Iterator[Piece]:
    """The rows of each chunk, whole."""
    start = 0
    while start < len(run):
        chunk = int(run.chunk[start : start + 1][0])
        stop = bisect(run.chunk, chunk, start, len(run), right=True)
        yield Piece(chunk=chunk, start=start, stop=stop, shard_spec=numbered(0, 0))
        start = stop


def part(run: Run, partitions: Partitions, scratch: Scratch, block_rows: int) -> tuple[Run, list[Piece]]:
    """The run by parts, and those that have rows."""
    whole = list(chunks_of(run))
    parted = [partitions.parts(run, piece.start, piece.stop) for piece in whole]
    reorder = _in_memory if isinstance(run.time, np.ndarray) else _on_disk
    run, counts = reorder(run, whole, parted, scratch, block_rows)
    pieces, start = [], 0
    for piece, parts, sizes in zip(whole, parted, counts, strict=True):
        for spec, size in zip(parts.shard_specs, sizes, strict=True):
            if size:
                pieces.append(Piece(chunk=piece.chunk, start=start, stop=start + size, shard_spec=spec))
            start += size
    return run, pieces


def _counts(labels: Labels, parts: Parts) -> list[int]:
    return np.bincount(labels, minlength=len(parts.shard_specs)).tolist()  # type: ignore[no-any-return]


def _in_memory(
    run: Run, whole: Sequence[Piece], parted: Sequence[Parts], scratch: Scratch, block_rows: int
) -> tuple[Run, list[list[int]]]:
    order = np.empty(len(run), np.intp)
    counts = []
    for piece, parts in zip(whole, parted, strict=True):
        labels = parts.label(piece.start, piece.stop)
        order[piece.start : piece.stop] = np.argsort(labels, kind="stable") + piece.start
        counts.append(_counts(labels, parts))
    return run.take(order), counts


def _on_disk(
    run: Run, whole: Sequence[Piece], parted: Sequence[Parts], scratch: Scratch, block_rows: int
) -> tuple[Run, list[list[int]]]:
    out = RunWriter(run, scratch)
    counts: list[list[int]] = []
    found: list[list[range]] = []  # by part: its rows in what is written
    written = 0
    for piece, parts in zip(whole, parted, strict=True):
        sums = np.zeros(len(parts.shard_specs), np.int64)
        base = len(found)
        found += [[] for _ in parts.shard_specs]
        for start in range(piece.start, piece.stop, block_rows):
            stop = min(start + block_rows, piece.stop)
            labels = parts.label(start, stop)
            out.append(load([run], [Stretch(0, start, stop)]).take(np.argsort(labels, kind="stable")))
            sizes = np.bincount(labels, minlength=len(sums))
            for label in np.flatnonzero(sizes).tolist():
                found[base + label].append(range(written, written := written + int(sizes[label])))
            sums += sizes
        counts.append(sums.tolist())
    return gathered(out.done(), [r for ranges in found for r in ranges], scratch), counts


class Gathered:
    """Stretches of a column, read as one."""

    def __init__(self, column: Column, ranges: Sequence[range]) -> None:
        self._column = column
        self._ranges = ranges
        self._begins = np.cumsum([0, *map(len, ranges)]).tolist()
        self.dtype = column.dtype

    def __len__(self) -> int:
        return int(self._begins[-1])

    def __getitem__(self, rows: slice) -> Array:
        start, stop, _ = rows.indices(len(self))
        pieces = []
        at = bisect_right(self._begins, start) - 1
        while start < stop:
            part, begin = self._ranges[at], self._begins[at]
            end = min(stop, begin + len(part))
            pieces.append(self._column[part.start + start - begin : part.start + end - begin])
            start = end
            at += 1
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, self.dtype)


def gathered(run: Run, ranges: Sequence[range], scratch: Scratch) -> Run:
    """Stretches of a run on disk as a run."""

    def rows(column: Column) -> Column:
        return Gathered(column, ranges)

    return replace(
        run,
        chunk=rows(run.chunk),
        time=rows(run.time),
        dimensions={name: _dimension(column, rows, ranges, scratch) for name, column in run.dimensions.items()},
        states=[_state(state, rows, ranges, scratch) for state in run.states],
    )


def _dimension(
    column: Dimension, rows: Callable[[Column], Column], ranges: Sequence[range], scratch: Scratch
) -> Dimension:
    if isinstance(column, Numbers):
        return replace(column, keys=rows(column.keys), valid=rows(column.valid))
    if isinstance(column, Strings):
        return replace(column, codes=rows(column.codes))
    return _lists(column, rows, ranges, scratch)


def _state(state: State, rows: Callable[[Column], Column], ranges: Sequence[range], scratch: Scratch) -> State:
    cells = None
    if state.cells is not None:
        ends, data = _ragged(state.cells.ends, state.cells.data, ranges, scratch)
        cells = Cells(ends=ends, data=data)
    return State(arrays={name: rows(column) for name, column in state.arrays.items()}, cells=cells)


def _lists(column: Lists, rows: Callable[[Column], Column], ranges: Sequence[range], scratch: Scratch) -> Lists:
    assert column.codes is not None
    ends, items = _ragged(column.ends, column.items, ranges, scratch)
    return replace(column, ends=ends, items=items, codes=rows(column.codes))


def _ragged(ends: Column, items: Column, ranges: Sequence[range], scratch: Scratch) -> tuple[Column, Column]:
    """Rows of different lengths."""
    out, total = ArrayWriter(scratch, np.int64), 0
    found = []
    for part in ranges:
        begin = int(ends[part.start - 1 : part.start][0]) if part.start else 0
        finish = begin
        for piece in blocks(ends, part.start, part.stop):
            out.append(piece - begin + total)
            finish = int(piece[-1]) if len(piece) else begin
        found.append(range(begin, finish))
        total += finish - begin
    return out.done(), Gathered(items, found)
