"""Spilled runs into one, in bounded memory.

First every run's codes are rewritten to those of a common table, which keeps their order. Then the runs are cut,
by the same pivot keys, into blocks few enough rows long to be sorted and rolled up in memory. A pivot on the first
key column splits rows three ways; those equal to it, however many, are split on by the next column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ingest.building import lists, tables
from workers.ingest.building.columns import Dimension, Lists, ListTable, Numbers, Strings, common_kind, missing
from workers.ingest.building.run import Run, roll_up, sort
from workers.ingest.building.schema import BuildSchema
from workers.ingest.building.store import ArrayFile, ArrayWriter, Column, DiskArray, Scratch, bisect, blocks
from workers.ingest.rollup import Cells, State
from workers.ingest.rollup import state as states

Ints = npt.NDArray[Any]

FAN_IN = 48
_SAMPLES = 33


@dataclass(frozen=True)
class Stretch:
    """Rows `start` to `stop` of run number `run`."""

    run: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def merge_runs(runs: Sequence[Run], schema: BuildSchema, scratch: Scratch, block_rows: int) -> Run:
    """One run on disk of all `runs`, of which equal rows keep the order of their runs."""
    level = list(runs)
    while len(level) > 1:
        level = [
            _merge_some(level[at : at + FAN_IN], schema, scratch, block_rows) for at in range(0, len(level), FAN_IN)
        ]
    return level[0]


def _merge_some(runs: Sequence[Run], schema: BuildSchema, scratch: Scratch, block_rows: int) -> Run:
    if len(runs) == 1:
        return runs[0]
    alike = agree(runs, scratch)
    out = RunWriter(alike[0], scratch)
    for block in cut(alike, schema, block_rows):
        stacked = load(alike, block)
        out.append(roll_up(stacked, sort(stacked, schema), schema))
    return out.done()


# ---- common codes ----


def agree(runs: Sequence[Run], scratch: Scratch) -> list[Run]:
    """The runs with the same dimensions, each over one table."""
    names = list(dict.fromkeys(name for run in runs for name in run.dimensions))
    columns = {name: _agree_on(name, runs, scratch) for name in names}
    return [
        Run(
            chunk=run.chunk,
            time=run.time,
            dimensions={name: columns[name][i] for name in names},
            states=run.states,
        )
        for i, run in enumerate(runs)
    ]


def _agree_on(name: str, runs: Sequence[Run], scratch: Scratch) -> Sequence[Dimension]:
    parts = [run.dimensions.get(name) for run in runs]
    model = common_kind(name, parts)
    whole = [missing(len(run), model) if p is None else p for p, run in zip(parts, runs, strict=True)]
    if isinstance(model, Numbers):
        return whole
    texts = [p for p in whole if not isinstance(p, Numbers)]
    table, new_codes = tables.merge([p.table for p in texts], scratch)
    file = ArrayFile(scratch)
    if isinstance(model, Strings):
        return [
            replace(model, codes=_recode(p.codes, new, file), table=table)
            for p, new in zip(texts, new_codes, strict=True)
            if isinstance(p, Strings)
        ]
    recoded = [_recoded_lists(p, new, table, file, scratch) for p, new in zip(texts, new_codes, strict=True)]
    return _rank_alike(recoded, scratch)


def _recode(column: Column, new_codes: Column, file: ArrayFile) -> DiskArray:
    """The column with every code replaced; one whole array is in memory only for a table's length."""
    mapping = new_codes[:]
    pieces = [file.put(mapping[piece]) for piece in blocks(column, 0, len(column))]
    return DiskArray.joined(pieces, mapping.dtype)


def _recoded_lists(p: Strings | Lists, new: Column, table: tables.Table, file: ArrayFile, scratch: Scratch) -> Lists:
    if isinstance(p, Lists):
        assert p.ranked is not None
        ranked = ListTable(ends=p.ranked.ends, items=_recode(p.ranked.items, new, file))
        return Lists(ends=p.ends, items=_recode(p.items, new, file), table=table, codes=p.codes, ranked=ranked)
    codes = _recode(p.codes, new, file)
    ends = ArrayWriter(scratch, np.int64)
    for piece in blocks(codes, 0, len(codes)):
        ends.append(np.arange(len(ends) + 1, len(ends) + len(piece) + 1))
    every = np.arange(len(p.table) + 1, dtype=np.int32)  # each value, and null, is a list of one
    ranked = ListTable(ends=file.put(every.astype(np.int64) + 1), items=file.put(new[:]))
    return Lists(ends=ends.done(), items=codes, table=table, codes=p.codes, ranked=ranked)


def _rank_alike(parts: Sequence[Lists], scratch: Scratch) -> list[Lists]:
    """Ranks among the distinct lists of all parts."""
    ranked, new_ranks = merge_lists([p.ranked for p in parts if p.ranked is not None], scratch)
    file = ArrayFile(scratch)
    return [
        Lists(ends=p.ends, items=p.items, table=p.table, codes=_recode(p.codes, new, file), ranked=ranked)
        for p, new in zip(parts, new_ranks, strict=True)
        if p.codes is not None
    ]


class _ListCursor:
    """Reads one table of lists on."""

    BLOCK = 1 << 14

    def __init__(self, table: ListTable) -> None:
        self._table = table
        self._at = 0
        self._load()

    def _load(self) -> None:
        ends = self._table.ends[self._at : self._at + self.BLOCK]
        begin = int(self._table.ends[self._at - 1 : self._at][0]) if self._at else 0
        self.items = self._table.items[begin : int(ends[-1])] if len(ends) else np.empty(0, np.int32)
        self.ends = ends - begin
        self._at += len(ends)
        self.last = self._key(len(ends) - 1) if len(ends) else None

    def _key(self, i: int) -> tuple[int, ...]:
        return tuple(self.items[int(self.ends[i - 1]) if i else 0 : int(self.ends[i])].tolist())

    def take(self, upto: tuple[int, ...]) -> tuple[Ints, Ints]:
        """The lists not above `upto`."""
        assert self.last is not None
        low, high = 0, len(self.ends)
        while low < high and self.last > upto:
            middle = (low + high) // 2
            if self._key(middle) <= upto:
                low = middle + 1
            else:
                high = middle
        count = high
        cut = int(self.ends[count - 1]) if count else 0
        taken = self.ends[:count], self.items[:cut]
        if count == len(self.ends):
            self._load()
        else:
            self.ends, self.items = self.ends[count:] - cut, self.items[cut:]
        return taken


def merge_lists(parts: Sequence[ListTable], scratch: Scratch) -> tuple[ListTable, list[Column]]:
    """One table of all distinct lists, and for each part what its ranks become."""
    ends_out, items_out = ArrayWriter(scratch, np.int64), ArrayWriter(scratch, np.int32)
    new_ranks = [ArrayWriter(scratch, np.int32) for _ in parts]
    cursors = [_ListCursor(part) for part in parts]
    base = 0
    while True:
        live = [i for i, c in enumerate(cursors) if c.last is not None]
        if not live:
            break
        upto = min(last for c in cursors if (last := c.last) is not None)
        taken = [cursors[i].take(upto) for i in live]
        sizes = np.concatenate([lists.lengths(ends) for ends, _ in taken])
        ends, items = np.cumsum(sizes), np.concatenate([items for _, items in taken])
        ranks, firsts = lists.rank(ends, items)
        out_ends, out_items = lists.take(ends, items, firsts)
        ends_out.append(out_ends + len(items_out))
        items_out.append(out_items)
        pieces = np.split(ranks + base, np.cumsum([len(e) for e, _ in taken])[:-1])
        for i, piece in zip(live, pieces, strict=True):
            new_ranks[i].append(piece)
        base += len(firsts)
    return ListTable(ends=ends_out.done(), items=items_out.done()), [out.done() for out in new_ranks]


# ---- blocks ----


def cut(runs: Sequence[Run], schema: BuildSchema, block_rows: int) -> Iterator[list[Stretch]]:
    """Blocks in order, each at most `block_rows` rows; rows of equal keys share one, unless they are too many."""
    keys = [list(run.key_columns(schema)) for run in runs]
    whole = [Stretch(i, 0, len(run)) for i, run in enumerate(runs) if len(run)]
    for block, alike in _split(keys, whole, 0, block_rows):
        if alike and not schema.rollup:
            yield from _pieces(block, block_rows)
        else:
            yield block  # with rollup every run has at most one row of a key, so even alike ones are few


def _split(
    keys: Sequence[Sequence[Column]], block: list[Stretch], level: int, limit: int
) -> Iterator[tuple[list[Stretch], bool]]:
    """Blocks of at most `limit` rows, and larger ones whose rows are all alike, which the flag tells."""
    few = sum(map(len, block)) <= limit
    if few or level == len(keys[0]):
        if block:
            yield block, not few
        return
    pivot = _pivot(keys, block, level)
    below, equal, above = [], [], []
    for s in block:
        column = keys[s.run][level]
        low = bisect(column, pivot, s.start, s.stop, right=False)
        high = bisect(column, pivot, low, s.stop, right=True)
        below.append(Stretch(s.run, s.start, low))
        equal.append(Stretch(s.run, low, high))
        above.append(Stretch(s.run, high, s.stop))
    yield from _split(keys, [s for s in below if len(s)], level, limit)
    yield from _split(keys, [s for s in equal if len(s)], level + 1, limit)
    yield from _split(keys, [s for s in above if len(s)], level, limit)


def _pivot(keys: Sequence[Sequence[Column]], block: list[Stretch], level: int) -> int:
    """A value near the median, which some row has."""
    values: list[int] = []
    weights: list[int] = []
    for s in block:
        column = keys[s.run][level]
        count = min(_SAMPLES, len(s))
        for i in range(count):
            at = s.start + (2 * i + 1) * len(s) // (2 * count)
            values.append(int(column[at : at + 1][0]))
            weights.append(len(s) // count)
    order = np.argsort(values, kind="stable")
    passed = np.cumsum(np.array(weights)[order])
    return values[int(order[int(np.searchsorted(passed, passed[-1] / 2))])]


def _pieces(block: list[Stretch], limit: int) -> Iterator[list[Stretch]]:
    """Rows that are all alike, in any number."""
    for s in block:
        for at in range(s.start, s.stop, limit):
            yield [Stretch(s.run, at, min(at + limit, s.stop))]


# ---- rows in and out ----


def load(runs: Sequence[Run], block: Sequence[Stretch]) -> Run:
    """The rows of a block in memory, run after run."""

    def stacked(columns: Sequence[Column]) -> Ints:
        return np.concatenate([c[s.start : s.stop] for c, s in zip(columns, block, strict=True)])

    def dimension(columns: Sequence[Dimension]) -> Dimension:
        first = columns[0]
        if isinstance(first, Numbers):
            numbers = [c for c in columns if isinstance(c, Numbers)]
            keys, valid = stacked([c.keys for c in numbers]), stacked([c.valid for c in numbers])
            return Numbers(keys=keys, valid=valid, kind=first.kind)
        if isinstance(first, Strings):
            return replace(first, codes=stacked([c.codes for c in columns if isinstance(c, Strings)]))
        return _load_lists([c for c in columns if isinstance(c, Lists)], block)

    chosen = [runs[s.run] for s in block]
    return Run(
        chunk=stacked([r.chunk for r in chosen]),
        time=stacked([r.time for r in chosen]),
        dimensions={name: dimension([r.dimensions[name] for r in chosen]) for name in chosen[0].dimensions},
        states=[_load_states(each, block) for each in zip(*(r.states for r in chosen), strict=True)],
    )


def _load_lists(columns: Sequence[Lists], block: Sequence[Stretch]) -> Lists:
    ends, items, codes, total = [], [], [], 0
    for c, s in zip(columns, block, strict=True):
        assert c.codes is not None
        begin = int(c.ends[s.start - 1 : s.start][0]) if s.start else 0
        here = c.ends[s.start : s.stop]
        items.append(c.items[begin : int(here[-1])])
        ends.append(here - begin + total)
        codes.append(c.codes[s.start : s.stop])
        total += len(items[-1])
    return Lists(
        ends=np.concatenate(ends),
        items=np.concatenate(items),
        codes=np.concatenate(codes),
        table=columns[0].table,
        ranked=columns[0].ranked,
    )


def _load_states(parts: Sequence[State], block: Sequence[Stretch]) -> State:
    return states.stack([part.rows(s.start, s.stop) for part, s in zip(parts, block, strict=True)])


class RunWriter:
    """Appends sorted blocks to a run on disk. All blocks share their tables with `model`."""

    def __init__(self, model: Run, scratch: Scratch) -> None:
        self._scratch = scratch
        self._model = model
        self._out: dict[str, ArrayWriter] = {}
        self._arrays: dict[int, dict[str, None]] = {}

    def append(self, block: Run) -> None:
        """Add rows that follow all those before."""
        self._put("chunk", block.chunk)
        self._put("time", block.time)
        for name, column in block.dimensions.items():
            if isinstance(column, Numbers):
                self._put(f"keys/{name}", column.keys)
                self._put(f"valid/{name}", column.valid)
            elif isinstance(column, Strings):
                self._put(f"codes/{name}", column.codes)
            else:
                assert column.codes is not None
                done = len(self._out[f"items/{name}"]) if f"items/{name}" in self._out else 0
                self._put(f"codes/{name}", column.codes)
                self._put(f"ends/{name}", column.ends[:] + done)
                self._put(f"items/{name}", column.items)
        for i, state in enumerate(block.states):
            self._put_state(i, state)

    def done(self) -> Run:
        """The run."""
        return Run(
            chunk=self._out["chunk"].done(),
            time=self._out["time"].done(),
            dimensions={name: self._dimension(name, column) for name, column in self._model.dimensions.items()},
            states=[self._state(i) for i in range(len(self._model.states))],
        )

    def _put_state(self, i: int, state: State) -> None:
        names = self._arrays.setdefault(i, dict.fromkeys(state.arrays))
        before = len(self._out["time"]) - len(state)
        for name in state.arrays.keys() - names.keys():  # left out so far, so True
            names[name] = None
            self._put(f"array/{i}/{name}", np.ones(before, np.bool_))
        for name in names:
            self._put(f"array/{i}/{name}", state.arrays[name] if name in state.arrays else state.flags(name))
        if state.cells is not None:
            done = len(self._out[f"data/{i}"]) if f"data/{i}" in self._out else 0
            self._put(f"cells/{i}", state.cells.ends[:] + done)
            self._put(f"data/{i}", state.cells.data)

    def _state(self, i: int) -> State:
        names = self._arrays.get(i, {})
        cells = None
        if f"cells/{i}" in self._out:
            cells = Cells(ends=self._out[f"cells/{i}"].done(), data=self._out[f"data/{i}"].done())
        return State(arrays={name: self._out[f"array/{i}/{name}"].done() for name in names}, cells=cells)

    def _dimension(self, name: str, model: Dimension) -> Dimension:
        if isinstance(model, Numbers):
            keys, valid = self._out[f"keys/{name}"].done(), self._out[f"valid/{name}"].done()
            return Numbers(keys=keys, valid=valid, kind=model.kind)
        codes = self._out[f"codes/{name}"].done()
        if isinstance(model, Strings):
            return replace(model, codes=codes)
        ends, items = self._out[f"ends/{name}"].done(), self._out[f"items/{name}"].done()
        return Lists(ends=ends, items=items, codes=codes, table=model.table, ranked=model.ranked)

    def _put(self, key: str, piece: Column) -> None:
        if key not in self._out:
            self._out[key] = ArrayWriter(self._scratch, piece.dtype)
        self._out[key].append(piece[:])
