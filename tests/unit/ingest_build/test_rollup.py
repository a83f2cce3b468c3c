"""Ordering and folding against the plain way to do it."""

import math
import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ingest.building import lists
from workers.ingest.rollup import aggregators, order_rows
from workers.ingest.rollup.ordering import Groups
from workers.ingest.rollup.state import stack

LONGS = st.integers(-(2**63), 2**63 - 1)
ROWS = st.integers(1, 40)


@given(st.data())
def test_order_is_the_stable_lexicographic_one(data):
    rows = data.draw(ROWS)
    values = st.one_of(st.integers(0, 2), st.integers(-5, 1000), LONGS)
    columns = [data.draw(st.lists(values, min_size=rows, max_size=rows)) for _ in range(data.draw(st.integers(0, 6)))]
    groups = order_rows([np.array(c, np.int64) for c in columns], rows)
    keys = list(zip(*columns, strict=True)) if columns else [()] * rows
    expected = sorted(range(rows), key=lambda r: keys[r])
    assert groups.order.tolist() == expected
    starts = [i for i in range(rows) if i == 0 or keys[expected[i]] != keys[expected[i - 1]]]
    assert groups.starts.tolist() == starts
    assert groups.ids.tolist() == [sum(s <= i for s in starts) - 1 for i in range(rows)]


def test_order_of_many_wide_columns_and_rows():
    rng = np.random.default_rng(5)
    rows = 100_000
    columns = [rng.integers(0, 3, rows), *(rng.integers(0, 2**40, rows) // 2**39 * 7 for _ in range(9))]
    columns.append(rng.integers(-(2**62), 2**62, rows))
    groups = order_rows(columns, rows)
    expected = np.lexsort(columns[::-1])
    assert (groups.order == expected).all()


def grouped(*sizes):
    rows = sum(sizes)
    return Groups(np.arange(rows), np.cumsum([0, *sizes[:-1]]))


def fold(kind, values, groups, dtype):
    aggregator = aggregators[kind].from_json({"type": kind, "name": "m", "fieldName": "x"})
    state = aggregator.fold(aggregator.lift(pl.Series("m", values, dtype=dtype), len(values)), groups)
    valid = [True] * len(groups) if state.valid is None else state.valid.tolist()
    return [v if ok else None for v, ok in zip(state.values.tolist(), valid, strict=True)]


def test_nulls_are_skipped_and_only_nulls_give_null():
    for kind in ("longSum", "longMin", "longMax"):
        expected = {"longSum": 5, "longMin": 2, "longMax": 3}[kind]
        assert fold(kind, [None, 2, 3, None, None], grouped(3, 2), pl.Int64) == [expected, None]
    for kind in ("doubleSum", "doubleMin", "doubleMax"):
        expected = {"doubleSum": 5.0, "doubleMin": 2.0, "doubleMax": 3.0}[kind]
        assert fold(kind, [None, 2.0, 3.0, None], grouped(3, 1), pl.Float64) == [expected, None]


def test_a_missing_field_is_all_null():
    aggregator = aggregators["floatMax"].from_json({"type": "floatMax", "name": "m", "fieldName": "x"})
    assert aggregator.lift(None, 2).valid.tolist() == [False, False]


def test_long_sum_wraps():
    assert fold("longSum", [2**63 - 1, 1], grouped(2), pl.Int64) == [-(2**63)]


@pytest.mark.parametrize("sizes", [(1,), (2,)])
def test_sum_of_negative_zeros_is_zero(sizes):
    for kind, dtype in (("doubleSum", pl.Float64), ("floatSum", pl.Float32)):
        (total,) = fold(kind, [-0.0] * sum(sizes), grouped(*sizes), dtype)
        assert math.copysign(1, total) == 1


@pytest.mark.parametrize("order", [(0.0, -0.0), (-0.0, 0.0)])
def test_min_and_max_tell_the_zeros_apart(order):
    for dtype, least, most in ((pl.Float64, "doubleMin", "doubleMax"), (pl.Float32, "floatMin", "floatMax")):
        assert math.copysign(1, fold(least, list(order), grouped(2), dtype)[0]) == -1
        assert math.copysign(1, fold(most, list(order), grouped(2), dtype)[0]) == 1
    assert math.copysign(1, fold("doubleMin", [-0.0], grouped(1), pl.Float64)[0]) == -1


@pytest.mark.parametrize("kind", ["doubleMin", "doubleMax", "floatMin", "floatMax", "doubleSum", "floatSum"])
def test_nan_wins(kind):
    dtype = pl.Float64 if kind.startswith("d") else pl.Float32
    assert math.isnan(fold(kind, [1.0, math.nan, math.inf], grouped(3), dtype)[0])


def test_sums_add_row_after_row_in_their_own_precision():
    doubles = np.random.default_rng(1).normal(size=1000) * 10.0 ** np.arange(-500, 500).clip(-15, 15)
    expected = 0.0
    for x in doubles.tolist():
        expected += x
    assert fold("doubleSum", doubles, grouped(1000), pl.Float64) == [expected]
    total = np.float32(0)
    for x in doubles.astype(np.float32):
        total = np.float32(total + x)
    assert fold("floatSum", doubles.astype(np.float32), grouped(1000), pl.Float32) == [float(total)]


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.floats(width=32))), max_size=40))
def test_folding_parts_and_then_the_results_is_folding_all(rows):
    """For min and max, where the order of folding cannot show."""
    for kind in ("doubleMin", "doubleMax"):
        aggregator = aggregators[kind].from_json({"type": kind, "name": "m", "fieldName": "x"})
        keys = np.array([k for k, _ in rows], np.int64)
        state = aggregator.lift(pl.Series("m", [v for _, v in rows], dtype=pl.Float64), len(rows))
        groups = order_rows([keys], len(rows))
        once = aggregator.fold(state, groups)
        half = len(rows) // 2
        parts, part_keys = [], []
        for part in (slice(0, half), slice(half, None)):
            inner = order_rows([keys[part]], len(keys[part]))
            parts.append(aggregator.fold(state.take(part), inner))
            part_keys.append(keys[part][inner.first])
        both = stack(parts)
        again = aggregator.fold(both, order_rows([np.concatenate(part_keys)], len(both)))
        assert bits(once) == bits(again)


def bits(state):
    """Zeros differ by their sign; any NaN is NaN, as Java's own min and max do not say which they give."""
    valid = [True] * len(state) if state.valid is None else state.valid.tolist()
    values = [math.nan if math.isnan(v) else v for v in state.values.tolist()]
    return [struct.pack(">d", v) if ok else None for v, ok in zip(values, valid, strict=True)]


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5), min_size=1, max_size=30))
def test_lists_rank_as_python_orders_them(rows):
    ends = np.cumsum([len(r) for r in rows])
    items = np.array([i for r in rows for i in r], np.int32)
    ranks, firsts = lists.rank(ends, items)
    distinct = sorted({tuple(r) for r in rows})
    assert ranks.tolist() == [distinct.index(tuple(r)) for r in rows]
    assert firsts.tolist() == [next(i for i, r in enumerate(rows) if tuple(r) == d) for d in distinct]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=20), st.data())
def test_lists_are_taken_and_filled_up(rows, data):
    ends = np.cumsum([len(r) for r in rows]).astype(np.int64)
    items = np.array([i for r in rows for i in r], np.int32)
    pick = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=20)) if rows else []
    new_ends, new_items = lists.take(ends, items, np.array(pick, np.intp))
    got = [new_items[a:b].tolist() for a, b in zip([0, *new_ends[:-1]], new_ends, strict=True)] if pick else []
    assert got == [rows[i] for i in pick]
    key_ends, key_items = lists.as_keys(ends, items)
    filled = [key_items[a:b].tolist() for a, b in zip([0, *key_ends[:-1]], key_ends, strict=True)] if rows else []
    assert filled == [r or [0] for r in rows]
