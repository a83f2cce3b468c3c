"""first and last against the plain way to find them, in any cut of the rows."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.ingest.rollup import aggregators, order_rows
from workers.ingest.rollup.first_last import chop
from workers.ingest.rollup.state import stack

KINDS = {
    "long": (pl.Int64, st.integers(-3, 3)),
    "double": (pl.Float64, st.sampled_from([-1.5, 0.0, 2.5])),
    "float": (pl.Float32, st.sampled_from([-1.5, 0.0, 2.5])),
    "string": (pl.String, st.sampled_from(["", "a", "ü", "\U0001f600", "longer"])),
}
UNSEEN = {"First": 2**63 - 1, "Last": -(2**63), "stringFirst": 2**62 - 1, "stringLast": -(2**62)}


def plain(rows, what, unseen):
    """(time, value) of the row that counts; a row without a time does not."""
    best = (unseen, None)
    for time, value in rows:
        if time is not None and (time < best[0] if what == "First" else time >= best[0]):
            best = (time, value)
    return {"lhs": best[0], "rhs": best[1]}


def folded(aggregator, state, keys):
    groups = order_rows([keys], len(keys))
    return aggregator.fold(state, groups), keys[groups.first]


@pytest.mark.parametrize("what", ["First", "Last"])
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(data=st.data())
def test_folding_in_any_cut_gives_the_first_or_last_row(kind, what, data):
    dtype, values = KINDS[kind]
    row = st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(0, 4)), st.one_of(st.none(), values))
    rows = [(k, t, None if t is None else v) for k, t, v in data.draw(st.lists(row, min_size=1, max_size=40))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    aggregator = aggregators[kind + what].from_json({"type": kind + what, "name": "m", "fieldName": "x"})
    states, keys = [], []
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        part = rows[start:stop]
        pairs = pl.DataFrame(
            {"lhs": [t for _, t, _ in part], "rhs": [v for *_, v in part]}, schema={"lhs": pl.Int64, "rhs": dtype}
        )
        state, seen = folded(
            aggregator, aggregator.lift(pairs.to_struct("m"), len(part)), np.array([k for k, *_ in part], np.int64)
        )
        states.append(state)
        keys.append(seen)
    result, groups = folded(aggregator, stack(states), np.concatenate(keys))
    unseen = UNSEEN.get(kind + what, UNSEEN[what])
    expected = [plain([(t, v) for k, t, v in rows if k == group], what, unseen) for group in groups.tolist()]
    assert aggregator.shown(result) == expected


def test_a_missing_field_is_never_seen():
    first = aggregators["longFirst"].from_json({"name": "m", "fieldName": "x"})
    text = aggregators["stringLast"].from_json({"name": "m", "fieldName": "x"})
    assert first.shown(first.lift(None, 2)) == [{"lhs": 2**63 - 1, "rhs": None}] * 2
    assert text.shown(text.lift(None, 1)) == [{"lhs": -(2**62), "rhs": None}]


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("abcdef", 5, "abcde"),
        ("abüde", 3, "ab"),
        ("üüü", 5, "üü"),
        ("ab\U0001f600d", 5, "ab"),
        ("ab\U0001f600d", 3, "ab?"),
        ("abcd\U0001f600", 8, "abcd\U0001f600"),
        ("abc", 0, ""),
    ],
)
def test_text_is_cut_as_druid_cuts_it(text, most, expected):
    assert chop(text, most) == expected


def test_long_texts_are_cut_where_they_come_in():
    last = aggregators["stringLast"].from_json({"name": "m", "fieldName": "x", "maxStringBytes": 2})
    pairs = pl.DataFrame({"lhs": [1, 2, 3], "rhs": ["abc", None, "ü€"]}).to_struct("m")
    assert [pair["rhs"] for pair in last.shown(last.lift(pairs, 3))] == ["ab", None, "ü"]
