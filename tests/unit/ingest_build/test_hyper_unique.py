"""hyperUnique against the plain way, one row after the other, and in any cut of the rows."""

import base64

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.ingest.rollup import aggregators, hyper_unique, order_rows, pieces
from workers.ingest.rollup.hyper_unique import REGISTERS, registers
from workers.ingest.rollup.murmur128 import murmur3_128
from workers.ingest.rollup.ordering import Groups
from workers.ingest.rollup.state import Cells, State, stack

HYPER = aggregators["hyperUnique"].from_json({"type": "hyperUnique", "name": "u", "fieldName": "x"})


class Plain:
    """A sketch as Druid folds it, register by register."""

    def __init__(self, cell=b""):
        self.offset, self.overflow, self.where, self.values = 0, 0, 0, [0] * REGISTERS
        if cell:
            self.offset, self.overflow, self.where = cell[1], cell[4], cell[5] << 8 | cell[6]
            body = cell[7:]
            pairs = (
                enumerate(body)
                if len(body) == 1024
                else ((int.from_bytes(body[i : i + 2], "big") - 7, body[i + 2]) for i in range(0, len(body), 3))
            )
            for place, byte in pairs:
                if byte:
                    self.values[2 * place], self.values[2 * place + 1] = byte >> 4, byte & 15

    def shift_if_full(self):
        if all(self.values):
            self.offset += 1
            self.values = [v - 1 for v in self.values]

    def add(self, register, rank):
        if rank <= self.offset:
            return
        if rank > self.offset + 15:
            if rank > self.overflow:
                if self.overflow <= self.offset + 15:
                    self.add(self.where, self.overflow)
                self.overflow, self.where = rank, register
            return
        self.values[register] = max(self.values[register], rank - self.offset)
        self.shift_if_full()

    def fold(self, other):
        if self.offset < other.offset:
            self.__dict__, other.__dict__ = other.__dict__, self.__dict__
        lower = self.offset - other.offset
        self.values = [max(a, b - lower) for a, b in zip(self.values, other.values, strict=True)]
        self.shift_if_full()
        self.add(other.where, other.overflow)

    def to_bytes(self):
        used = sum(map(bool, self.values))
        head = bytes([1, self.offset, used >> 8, used & 255, self.overflow, self.where >> 8, self.where & 255])
        body = [a << 4 | b for a, b in zip(self.values[::2], self.values[1::2], strict=True)]
        if used >= 128:
            return head + bytes(body)
        packed = b"".join(bytes([(i + 7) >> 8, (i + 7) & 255, b]) for i, b in enumerate(body) if b)
        return head + packed.ljust(3 * used, b"\0")


def plain(cells):
    whole = Plain()
    for cell in cells:
        whole.fold(Plain(cell))
    return whole.to_bytes()


def cells_of(register, rank):
    return hyper_unique._of_registers(np.array(register, np.int64), np.array(rank, np.int64))


def all_in_one(cells):
    state = HYPER.fold(State(cells=cells), Groups(np.arange(len(cells)), np.zeros(1, np.intp)))
    return state.cells.to_list()[0]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=70), max_size=20), st.sampled_from([0, 9001]))
def test_hashes_do_not_depend_on_their_neighbours(values, seed):
    data = np.frombuffer(b"".join(values), np.uint8)
    together = murmur3_128(data, np.cumsum([len(v) for v in values], dtype=np.int64), seed)
    for i, value in enumerate(values):
        alone = murmur3_128(np.frombuffer(value, np.uint8), np.array([len(value)]), seed)
        assert [h[i] for h in together] == [h[0] for h in alone]


def test_the_hash_is_murmur3_x64_128():
    text = b"The quick brown fox jumps over the lazy dog"
    h1, h2 = murmur3_128(np.frombuffer(text, np.uint8), np.array([len(text)]))
    assert (int(h1[0]), int(h2[0])) == (0xE34BBC7BBC071B6C, 0x7A433CA9C49A9347)
    assert [int(h[0]) for h in murmur3_128(np.empty(0, np.uint8), np.zeros(1, np.int64))] == [0, 0]


def test_a_rank_is_the_place_of_the_lowest_bit():
    register, rank = registers(np.frombuffer(b"", np.uint8), np.zeros(1, np.int64))
    assert (register.tolist(), rank.tolist()) == ([0], [64])  # the hash of nothing is 0


@settings(deadline=None)
@given(st.data())
def test_folding_in_any_cut_gives_the_same_bytes_where_nothing_overflows(data):
    value = st.one_of(st.none(), st.text(max_size=3), st.integers(0, 400).map(str))
    rows = data.draw(st.lists(st.tuples(st.integers(0, 2), value), min_size=1, max_size=60))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    states, keys = [], []
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        part = rows[start:stop]
        key = np.array([k for k, _ in part], np.int64)
        groups = order_rows([key], len(part))
        states.append(HYPER.fold(HYPER.lift(pl.Series([v for _, v in part], dtype=pl.String), len(part)), groups))
        keys.append(key[groups.first])
    keys = np.concatenate(keys)
    groups = order_rows([keys], len(keys))
    found = HYPER.fold(stack(states), groups).cells.to_list()
    for key, cell in zip(keys[groups.first].tolist(), found, strict=True):
        alone = HYPER.lift(pl.Series([v for k, v in rows if k == key], dtype=pl.String), 0)
        assert cell == plain(alone.cells.to_list())


@pytest.mark.parametrize("piece", [1, 700, 1 << 17])
@pytest.mark.parametrize("seed", range(2))
def test_overflow_and_offset_are_those_of_druid_row_by_row(seed, piece, monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", piece)
    rng = np.random.default_rng(seed)
    fill = [rng.permutation(REGISTERS) for _ in range(2)]
    register = np.concatenate([*fill, rng.integers(0, REGISTERS, 500)])
    rank = np.minimum(rng.geometric(0.5 if seed else 0.3, len(register)), 60)
    rank[rng.integers(0, len(rank), 12)] += 14
    cells = cells_of(register, rank)
    if piece == 1:
        cells = cells.take(slice(0, REGISTERS // 2))
    assert all_in_one(cells) == plain(cells.to_list())


def sketches(seed):
    """Sketches of different sizes, offsets and overflows."""
    rng = np.random.default_rng(seed)
    made = []
    for size in (0, 3, 200, 2500, 9000, 40_000):
        register, rank = rng.integers(0, REGISTERS, size), np.minimum(rng.geometric(0.5, size), 60)
        made.append(all_in_one(cells_of(register, rank)) if size else b"\1" + bytes(6))
    return made


@pytest.mark.parametrize("seed", range(2))
def test_sketches_fold_as_druids_do_in_any_order(seed):
    made = sketches(seed)
    order = np.random.default_rng(seed).permutation(len(made)).tolist()
    cells = [made[i] for i in order]
    assert all_in_one(Cells.of(cells)) == plain(cells)


def test_lists_add_each_of_their_values_empty_ones_none_and_null_is_no_row():
    lists = pl.Series([["a", "b"], None, [], ["a"], ["b", "a", "b"]], dtype=pl.List(pl.String))
    state = HYPER.lift(lists, 5)
    ab, nothing, empty, a, bab = state.cells.to_list()
    assert ab == bab == plain(HYPER.lift(pl.Series(["a", "b"]), 2).cells.to_list())
    assert a == HYPER.lift(pl.Series(["a"]), 1).cells.to_list()[0]
    assert (nothing, empty) == (b"", b"\1" + bytes(6))
    assert HYPER.shown(state)[1] is None
    both = HYPER.fold(state, Groups(np.array([1, 2, 1, 1]), np.array([0, 2])))
    assert both.cells.to_list() == [empty, b""]


def test_a_missing_field_is_an_empty_sketch():
    state = HYPER.lift(None, 2)
    assert [base64.b64encode(cell) for cell in HYPER.shown(state)] == [b"AQAAAAAAAA=="] * 2


def test_many_distinct_values_are_hashed_like_few():
    many = pl.Series([str(i) for i in range(5000)] + [None])
    few = pl.concat([many.slice(i, 1) for i in (0, 4999, 5000)])
    wide = HYPER.lift(many, len(many)).cells.to_list()
    assert HYPER.lift(few, 3).cells.to_list() == [wide[0], wide[4999], wide[5000]]
