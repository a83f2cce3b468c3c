"""hyperUnique: Druid's own HyperLogLog, in the very bytes it stores.

A sketch has 2048 registers of four bits, which count from `offset`. A rank above 15 + offset goes to the one overflow
register, which keeps the largest; when no register is zero, all go down by one and the offset up. The bytes:

    u8 1, u8 offset, i16 registers that are not zero, u8 overflow, i16 its register, and
    1024 bytes, the even register in the high half, or, of less than 128 registers, `i16 byte + 7, u8 value` each

Where neither overflow nor offset come in, a group's sketch is the greatest of each register, found for all groups at
once. For the others, and the large ones, the order of rows shows, and they are folded as Druid does, row by row; but
only rows that bring an overflow or an offset are steps of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.rollup import pieces
from workers.ingest.rollup.base import Complex, aggregators
from workers.ingest.rollup.murmur128 import murmur3_128
from workers.ingest.rollup.ordering import Groups, singles
from workers.ingest.rollup.state import Array, Cells, State, memory, stack_cells

REGISTERS, RANGE = 2048, 15
HEAD, DENSE = 7, 7 + REGISTERS // 2
EMPTY = b"\1".ljust(HEAD, b"\0")
DENSE_FROM = 128
SAMPLE = 4096
"""Rows that tell whether it is worth while to look at each distinct text only once."""
_NEVER = 2**62


@aggregators.add("hyperUnique")
class HyperUnique(Complex):
    """About how many distinct values there are.

    State: cells, a sketch each. A cell without bytes is of rows that a filter left out: null, as long as no row is
    seen; a row without a value is seen.
    """

    kind = "COMPLEX<hyperUnique>"

    def __init__(self, name: str, rounded: bool) -> None:
        super().__init__(name)
        self._rounded = rounded

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> HyperUnique:
        return cls(json["name"], bool(json.get("round")))

    def lift(self, values: pl.Series | None, rows: int) -> State:
        if values is None:
            values = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
        if values.dtype == pl.Binary:
            return State(cells=_given(values))
        if values.dtype == pl.List(pl.String):
            return State(cells=_hashed_lists(values))
        return State(cells=_hashed(values))

    def fold(self, state: State, groups: Groups) -> State:
        if groups.single:
            return state.take(groups.order)
        return State(cells=_folded(state.stored, groups))

    def stored(self, state: State) -> tuple[Cells, npt.NDArray[np.bool_] | None]:
        nothing = np.diff(state.stored.ends[:], prepend=0) == 0
        return state.stored, nothing if nothing.any() else None

    def combining(self) -> dict[str, Any]:
        named = {"type": "hyperUnique", "name": self.name, "fieldName": self.name}
        return named | {"isInputHyperUnique": False, "round": self._rounded}


def _given(values: pl.Series) -> Cells:
    """Sketches that somebody made, in the shortest form; no bytes are an empty one, and null is no row."""
    cells = [b"" if cell is None else cell or EMPTY for cell in values.to_list()]
    return _folded(Cells.of(cells), singles(np.arange(len(cells))))


# ---- of values ----


def _hashed(texts: pl.Series) -> Cells:
    """A sketch of each text; an empty one of null."""
    rows = len(texts)
    distinct = texts if texts.head(SAMPLE).n_unique() > SAMPLE // 4 else texts.unique().drop_nulls()
    if not len(distinct):
        return _of_registers(np.zeros(rows, np.int64), np.zeros(rows, np.int64))
    sizes = distinct.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
    joined: str = distinct.str.join("").item()
    register, rank = registers(np.frombuffer(joined.encode(), np.uint8), np.cumsum(sizes))
    if distinct is texts:
        rank[texts.is_null().to_numpy()] = 0
        return _of_registers(register, rank)
    codes = (texts.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64) + 1).fill_null(0).to_numpy()
    return _of_registers(np.append(0, register)[codes], np.append(0, rank)[codes])


def _hashed_lists(lists: pl.Series) -> Cells:
    """A sketch of each list of texts; of null, none."""
    counts = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    items = _hashed(lists.filter(pl.Series(counts > 0)).explode())
    sizes = np.maximum(counts, 1)
    others = len(items) + lists.is_null().to_numpy()  # which of two cells that are put after the items
    order = np.repeat(others, sizes)
    order[np.repeat(counts > 0, sizes)] = np.arange(len(items))
    return _folded(stack_cells([items, Cells.of([EMPTY, b""])]), Groups(order, np.cumsum(sizes) - sizes))


def registers(data: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Register and rank of byte strings."""
    h1, h2 = murmur3_128(data, ends)
    register = ((h2 >> np.uint64(48)) & np.uint64(0xFF)) << np.uint64(8) | (h2 >> np.uint64(56))
    lowest = h1 & (~h1 + np.uint64(1))
    rank = np.where(h1 == 0, 64, np.bitwise_count(lowest - np.uint64(1)) + np.uint8(1))
    return (register & np.uint64(REGISTERS - 1)).astype(np.int64), rank.astype(np.int64)


def _of_registers(register: Array, rank: Array) -> Cells:
    """A sketch of one register each; of none where the rank is 0."""
    rows = len(register)
    low = (rank > 0) & (rank <= RANGE)
    high = rank > RANGE
    heads = np.zeros((rows, HEAD + 3), np.uint8)
    heads[:, 0] = 1
    heads[:, 3] = low
    heads[high, 4] = rank[high]
    heads[high, 5], heads[high, 6] = register[high] >> 8, register[high] & 0xFF
    place = (register >> 1) + HEAD
    heads[:, 7], heads[:, 8] = place >> 8, place & 0xFF
    heads[:, 9] = np.where(register & 1, rank, rank << 4) & 0xFF
    sizes = np.where(low, HEAD + 3, HEAD)
    keep = np.arange(HEAD + 3) < sizes[:, None]
    return Cells(ends=np.cumsum(sizes, dtype=np.int64), data=heads[keep])


# ---- of sketches ----


@dataclass(frozen=True, kw_only=True)
class _Sketches:
    """Sketches in the order of their groups, taken apart.

    Attributes
    ----------
    offset, overflow, overflow_register : ndarray, shape (rows,)
    row, register, value : ndarray, shape (entries,)
        The registers that are not zero; `row` ascends.
    """

    offset: Array
    overflow: Array
    overflow_register: Array
    row: Array
    register: Array
    value: Array

    @classmethod
    def of(cls, cells: Cells) -> _Sketches:
        ends, data = memory(cells.ends), memory(cells.data)
        sizes = np.diff(ends, prepend=0)
        begins = ends - sizes
        there = sizes >= HEAD
        safe = np.concatenate((data, np.zeros(HEAD, np.uint8)))
        at = np.where(there, begins, len(data))
        head = safe[at[:, None] + np.arange(HEAD)].astype(np.int64)
        row, place, value = _bytes_of(sizes, begins, data)
        rows = np.concatenate((row, row))
        found = np.concatenate((2 * place, 2 * place + 1))
        halves = np.concatenate((value >> 4, value & 0x0F))
        seen = np.flatnonzero(halves)
        seen = seen[np.argsort(rows[seen], kind="stable")]
        return cls(
            offset=head[:, 1],
            overflow=head[:, 4],
            overflow_register=head[:, 5] << 8 | head[:, 6],
            row=rows[seen],
            register=found[seen],
            value=halves[seen],
        )


def _bytes_of(sizes: Array, begins: Array, data: Array) -> tuple[Array, Array, Array]:
    """Row, place and value of each byte of registers that is not zero."""
    sparse = np.where((sizes == DENSE) | (sizes < HEAD), 0, (sizes - HEAD) // 3)
    row = np.repeat(np.arange(len(sizes)), sparse)
    number = np.arange(len(row)) - np.repeat(np.cumsum(sparse) - sparse, sparse)
    at = begins[row] + HEAD + 3 * number
    place = (data[at].astype(np.int64) << 8 | data[at + 1]) - HEAD
    value = data[at + 2].astype(np.int64)
    dense = np.flatnonzero(sizes == DENSE)
    if len(dense):
        whole = data[(begins[dense] + HEAD)[:, None] + np.arange(DENSE - HEAD)]
        which, places = np.nonzero(whole)
        row = np.concatenate((row, dense[which]))
        place = np.concatenate((place, places))
        value = np.concatenate((value, whole[which, places].astype(np.int64)))
    keep = (value != 0) & (place >= 0) & (place < REGISTERS // 2)
    return row[keep], place[keep], value[keep]


def _folded(cells: Cells, groups: Groups) -> Cells:
    """One sketch a group."""
    return pieces.folded(cells, groups, _fold_piece)


def _fold_piece(cells: Cells, groups: Groups) -> Cells:
    """One sketch a group, of cells in the order of their groups."""
    sketches = _Sketches.of(cells)
    group = groups.ids
    entries = np.bincount(group[sketches.row], minlength=len(groups))
    special = (sketches.offset > 0) | (sketches.overflow > 0)
    hard = entries >= DENSE_FROM
    hard[group[special]] = True
    easy = ~hard[group[sketches.row]]
    seen = np.logical_or.reduceat(np.diff(memory(cells.ends), prepend=0) > 0, groups.starts)
    done = _greatest(group[sketches.row][easy], sketches.register[easy], sketches.value[easy], seen)
    if not hard.any():
        return done
    return _replaced(done, _one_by_one(sketches, group, np.flatnonzero(hard), special))


def _greatest(group: Array, register: Array, value: Array, seen: npt.NDArray[np.bool_]) -> Cells:
    """Sketches of less than 128 registers: of each the greatest value. Groups that are not `seen` have none."""
    keys = np.sort((group * REGISTERS + register) << 4 | value)
    last = np.append(keys[1:] >> 4 != keys[:-1] >> 4, np.ones(min(1, len(keys)), np.bool_))
    keys = keys[last]
    value, register, group = keys & 0x0F, (keys >> 4) % REGISTERS, (keys >> 4) // REGISTERS
    used = np.bincount(group, minlength=len(seen))
    sizes = np.where(seen, HEAD + 3 * used, 0)
    ends = np.cumsum(sizes, dtype=np.int64)
    begins = ends - sizes
    data = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    data[begins[seen]] = 1
    data[begins[seen] + 3] = used[seen]
    if len(keys):
        byte = group * (REGISTERS // 2) + (register >> 1)
        starts = np.flatnonzero(np.append(True, byte[1:] != byte[:-1]))
        both = np.add.reduceat(np.where(register & 1, value, value << 4), starts)
        owner, place = group[starts], (register[starts] >> 1) + HEAD
        first = np.searchsorted(owner, owner)  # of each byte, the first one of its sketch
        at = begins[owner] + HEAD + 3 * (np.arange(len(starts)) - first)
        data[at], data[at + 1], data[at + 2] = place >> 8, place & 0xFF, both
    return Cells(ends=ends, data=data)


def _one_by_one(sketches: _Sketches, group: Array, hard: Array, special: Array) -> dict[int, bytes]:
    """The sketches of some groups, row after row."""
    starts = np.searchsorted(group, hard)
    stops = np.searchsorted(group, hard, side="right")
    found = {}
    for which, start, stop in zip(hard.tolist(), starts.tolist(), stops.tolist(), strict=True):
        whole = _Registers()
        at = start
        for row in [*(np.flatnonzero(special[start:stop]) + start).tolist(), stop]:
            low, high, after = np.searchsorted(sketches.row, (at, row, row + 1)).tolist()
            whole.fold_plain(sketches.row[low:high], sketches.register[low:high], sketches.value[low:high])
            if row < stop:
                other = _Registers(
                    offset=int(sketches.offset[row]),
                    overflow=int(sketches.overflow[row]),
                    overflow_register=int(sketches.overflow_register[row]),
                )
                other.values[sketches.register[high:after]] = sketches.value[high:after]
                whole.fold(other)
            at = row + 1
        found[which] = whole.to_bytes()
    return found


def _replaced(cells: Cells, others: Mapping[int, bytes]) -> Cells:
    """The cells with some of them replaced."""
    ends, data = memory(cells.ends), memory(cells.data)
    parts, sizes, at = [], np.diff(ends, prepend=0), 0
    for row, other in others.items():
        begin = int(ends[row] - sizes[row])
        parts += [data[at:begin], np.frombuffer(other, np.uint8)]
        at = int(ends[row])
    for row, other in others.items():
        sizes[row] = len(other)
    return Cells(ends=np.cumsum(sizes, dtype=np.int64), data=np.concatenate([*parts, data[at:]]))


@dataclass(kw_only=True)
class _Registers:
    """One sketch that is added to."""

    offset: int = 0
    overflow: int = 0
    overflow_register: int = 0
    values: Array = field(default_factory=lambda: np.zeros(REGISTERS, np.int64))

    def fold_plain(self, row: Array, register: Array, value: Array) -> None:
        """Rows without overflow or offset of their own; `row` ascends."""
        while len(row):
            counted = value - self.offset
            upto = self._full_after(row, register, counted)
            stop = len(row) if upto == _NEVER else int(np.searchsorted(row, upto, side="right"))
            np.maximum.at(self.values, register[:stop], counted[:stop])
            if upto == _NEVER:
                return
            self._shift()
            row, register, value = row[stop:], register[stop:], value[stop:]

    def _full_after(self, row: Array, register: Array, counted: Array) -> int:
        """The row with which no register is zero any more."""
        zero = self.values == 0
        if not zero.any():
            return int(row[0])
        if int(zero.sum()) > len(row):
            return _NEVER
        first = np.full(REGISTERS, _NEVER)
        seen = counted > 0
        first[register[seen][::-1]] = row[seen][::-1]
        return int(first[zero].max())

    def fold(self, other: _Registers) -> None:
        """Any sketch; the one with the lower offset goes into the other."""
        if self.offset < other.offset:
            mine = _Registers(**vars(self))
            vars(self).update(vars(other))
            other = mine
        self.values = np.maximum(self.values, other.values - (self.offset - other.offset))
        if self.values.all():
            self._shift()
        self._add(other.overflow_register, other.overflow)

    def _add(self, register: int, rank: int) -> None:
        if rank <= self.offset:
            return
        if rank > self.offset + RANGE:
            if rank > self.overflow:
                if self.overflow <= self.offset + RANGE:
                    self._add(self.overflow_register, self.overflow)
                self.overflow, self.overflow_register = rank, register
            return
        self.values[register] = max(int(self.values[register]), rank - self.offset)
        if self.values.all():
            self._shift()

    def _shift(self) -> None:
        self.offset += 1
        self.values = self.values - 1

    def to_bytes(self) -> bytes:
        """The bytes that Druid stores."""
        used = int(np.count_nonzero(self.values))
        head = bytes((1, self.offset)) + used.to_bytes(2, "big") + bytes((self.overflow,))
        head += self.overflow_register.to_bytes(2, "big")
        packed = (self.values[::2] << 4 | self.values[1::2]).astype(np.uint8)
        if used >= DENSE_FROM:
            return head + packed.tobytes()
        body = b"".join(
            (p + HEAD).to_bytes(2, "big") + bytes((int(packed[p]),)) for p in np.flatnonzero(packed).tolist()
        )
        return head + body.ljust(3 * used, b"\0")
