"""Sketches against the library's own, fed value by value, in any cut of the rows."""

import sys

import datasketches as ds
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlord.errors import TaskFailed
from tests.sketches import content, coupons, estimate
from workers.ingest.rollup import aggregators, order_rows, pieces
from workers.ingest.rollup.sketches import hashes
from workers.ingest.rollup.state import stack

THETA = {"type": "thetaSketch", "name": "m", "size": 32}
HLL = {"type": "HLLSketchBuild", "name": "m", "stringEncoding": "utf8"}
QUANTILES = {"type": "quantilesDoublesSketch", "name": "m", "k": 16}
TEXTS = st.one_of(st.none(), st.text(max_size=3), st.integers(0, 60).map(str))
NUMBERS = st.one_of(st.none(), st.integers(-20, 20), st.floats(allow_nan=False, width=32))


def made(spec):
    return aggregators[spec["type"]].from_json(spec)


def folded(aggregator, rows, cuts, dtype):
    """(key, cell) of rows of (key, value), folded in parts, and then the parts."""
    states, keys = [], []
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        key = np.array([k for k, _ in rows[start:stop]], np.int64)
        values = pl.Series([v for _, v in rows[start:stop]], dtype=dtype, strict=False)
        groups = order_rows([key], len(key))
        states.append(aggregator.fold(aggregator.lift(values, len(key)), groups))
        keys.append(key[groups.first])
    key = np.concatenate(keys)
    groups = order_rows([key], len(key))
    return dict(zip(key[groups.first].tolist(), aggregator.fold(stack(states), groups).cells.to_list(), strict=True))


def cut(data, values):
    rows = data.draw(st.lists(st.tuples(st.integers(0, 2), values), min_size=1, max_size=150))
    return rows, sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))


@settings(deadline=None)
@given(st.data())
def test_theta_in_any_cut_keeps_the_hashes_of_the_librarys_own(data):
    rows, cuts = cut(data, TEXTS)
    for key, cell in folded(made(THETA), rows, cuts, pl.String).items():
        plain = ds.update_theta_sketch(14)
        for text in {v for k, v in rows if k == key and v}:
            plain.update(text)
        least = sorted(plain)
        if len(least) <= 32:
            assert content("thetaSketch", cell) == (least or b"")
        else:
            sketch = ds.compact_theta_sketch.deserialize(cell)
            assert sorted(sketch) == [h for h in least if h < sketch.theta64]
            assert sketch.num_retained >= 32


@settings(deadline=None)
@given(st.data())
def test_hll_in_any_cut_has_the_coupons_of_the_librarys_own(data):
    rows, cuts = cut(data, TEXTS)
    for key, cell in folded(made(HLL), rows, cuts, pl.String).items():
        plain = ds.hll_sketch(12, ds.tgt_hll_type.HLL_4)
        for text in {v for k, v in rows if k == key and v}:
            plain.update(text)
        assert (coupons(cell) if cell else []) == coupons(plain.serialize_compact())


@settings(deadline=None)
@given(st.data())
def test_quantiles_in_any_cut_count_all_values_and_keep_few_ones_as_they_are(data):
    rows, cuts = cut(data, NUMBERS)
    for key, cell in folded(made(QUANTILES), rows, cuts, pl.Float64).items():
        values = sorted(float(v) for k, v in rows if k == key and v is not None)
        if not values:
            assert cell == b""
            continue
        found = content("quantilesDoublesSketch", cell)
        assert found[:4] == (16, len(values), values[0], values[-1])
        assert len(values) >= 32 or found[4] == values


@pytest.mark.parametrize("piece", [50, 1 << 17])
@pytest.mark.parametrize("spec", [
    {**THETA, "size": 4096}, HLL, {**HLL, "lgK": 10, "tgtHllType": "HLL_8"}, {**HLL, "lgK": 7, "tgtHllType": "HLL_6"},
], ids=str)  # fmt: skip
def test_many_values_are_estimated_as_the_library_would(spec, piece, monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", piece)
    rows = [(i % 2, str(i // 3)) for i in range(6000 if piece == 50 else 60_000)]
    aggregator = made(spec)
    kind = aggregator.type_name
    error = 0.2 if spec.get("lgK") == 7 else 0.05
    for cell in folded(aggregator, rows, [len(rows) // 3], pl.String).values():
        assert estimate(kind, cell) == pytest.approx(len(rows) / 3, rel=error)


@pytest.mark.parametrize("cuts", [[], [100, 5000]])
def test_quantiles_of_many_values_are_near_the_true_ones(cuts):
    rng = np.random.default_rng(7)
    rows = [(0, float(v)) for v in rng.permutation(20_000)]
    cell = folded(made({**QUANTILES, "k": 128}), rows, cuts, pl.Float64)[0]
    sketch = ds.quantiles_doubles_sketch.deserialize(cell)
    assert (sketch.n, sketch.get_min_value(), sketch.get_max_value()) == (20_000, 0.0, 19_999.0)
    for share in (0.1, 0.5, 0.9):
        assert sketch.get_quantile(share) == pytest.approx(share * 20_000, abs=0.05 * 20_000)


def test_sketches_that_others_wrote_are_merged():
    theta, hll = ds.update_theta_sketch(10), ds.hll_sketch(11, ds.tgt_hll_type.HLL_6)
    quantiles = ds.quantiles_doubles_sketch(64)
    for i in range(3000):
        theta.update(i)
        hll.update(i)
        quantiles.update(float(i))
    for spec, cell in (
        (THETA | {"size": 1024}, theta.compact().serialize()),
        (HLL, hll.serialize_updatable()),
        (QUANTILES, quantiles.serialize()),
    ):
        aggregator = made(spec)
        state = aggregator.lift(pl.Series([cell, None, b"", cell], dtype=pl.Binary), 4)
        (whole,) = aggregator.fold(state, order_rows([np.zeros(4, np.int64)], 4)).cells.to_list()
        times = 2 if spec is QUANTILES else 1
        assert estimate(aggregator.type_name, whole) == pytest.approx(3000 * times, rel=0.1)


def test_numbers_and_lists_are_hashed_as_the_library_does():
    for values, dtype in (
        ([1, -5, 2**40], pl.Int64),
        ([0.5, -0.0, 1e300], pl.Float64),
        (["ü", "\U0001f600"], pl.String),
    ):
        plain = ds.update_theta_sketch(12)
        for value in values:
            plain.update(value)
        _, first, _ = hashes(pl.Series(values, dtype=dtype), utf16=False)
        assert sorted((first >> np.uint64(1)).tolist()) == sorted(plain)
    row, first, _ = hashes(pl.Series([["a", "b"], None, [], [None, "a", ""]], dtype=pl.List(pl.String)), utf16=True)
    assert (row.tolist(), first[0]) == ([0, 0, 3], first[2])


def test_utf16_counts_units():
    texts = ["a", "ü\U0001f600x", "\U0001f600"]
    together = hashes(pl.Series(texts), utf16=True)[1].tolist()
    assert together == [int(hashes(pl.Series([text]), utf16=True)[1][0]) for text in texts]
    assert together == hashes(pl.Series([[t.encode("utf-16-le")] for t in texts]), utf16=False)[1].tolist()


def test_bytes_that_are_no_sketch_fail_naming_the_metric():
    with pytest.raises(TaskFailed, match=r"\[m\]: a value is no sketch"):
        made(THETA).lift(pl.Series([b"nonsense of some length"], dtype=pl.Binary), 1)


@pytest.mark.parametrize("spec", [THETA, HLL, QUANTILES], ids=lambda spec: spec["type"])
def test_without_the_library_the_task_fails_and_says_what_to_install(spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketches", None)
    with pytest.raises(TaskFailed, match=r"pip install 'overlord\[sketches\]'"):
        made(spec)


@pytest.mark.parametrize(("spec", "named"), [
    (THETA | {"size": 1000}, "size"), (HLL | {"lgK": 30}, "lgK"), (HLL | {"tgtHllType": "HLL_5"}, "tgtHllType"),
    (QUANTILES | {"k": 100}, "k"),
])  # fmt: skip
def test_an_option_out_of_bounds_fails_by_name(spec, named):
    with pytest.raises(TaskFailed, match=rf"\[m\]: {named} is \["):
        made(spec)
