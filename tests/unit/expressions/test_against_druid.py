"""Expressions and filters against answers of Druid 33.0.0's own classes, over rows of every kind of value.

`expressions.json` and `filters.json` hold three rows and, for each expression or filter, what Druid made of each row.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from workers.ingest.expressions import Expression, ExpressionError
from workers.ingest.expressions.values import bind
from workers.ingest.formats.base import column
from workers.ingest.transform.filters import read_filter

HERE = Path(__file__).parent
EXPRESSIONS = json.loads((HERE / "expressions.json").read_text())
FILTERS = json.loads((HERE / "filters.json").read_text())
NAMES = list(EXPRESSIONS["rows"][0])


def shown(value):
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return [shown(item) for item in value] if isinstance(value, list) else value


def same(left, right):
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-12)  # libm and StrictMath differ in the last digit
    return type(left) is type(right) and left == right


def outcome(text, row):
    """What the exact evaluator makes of one row, in the recording's form."""
    try:
        expression = Expression(text)
        return {"value": shown(expression._exact({name: bind(value) for name, value in row.items()}))}
    except ExpressionError:
        return {"error": True}


def groups(cases, of):
    found = {}
    for case in cases:
        found.setdefault(of(case[0]), []).append(case)
    return [pytest.param(each, id=name) for name, each in sorted(found.items())]


def family(text):
    name = text.split("(")[0]
    return name if name.isidentifier() else "operators"


@pytest.mark.parametrize("cases", groups(EXPRESSIONS["cases"], family))
def test_the_exact_evaluator_answers_as_druid(cases):
    for text, expected in cases:
        for row, wanted in zip(EXPRESSIONS["rows"], expected, strict=True):
            found = outcome(text, row)
            assert found.keys() == wanted.keys() and same(found.get("value"), wanted.get("value")), (text, row, found)


@pytest.mark.parametrize("cases", groups(EXPRESSIONS["cases"], family))
def test_over_columns_the_values_are_the_same(cases):
    """Each row as a column of its own: the fast path takes whatever it can."""
    for text, expected in cases:
        for row, wanted in zip(EXPRESSIONS["rows"], expected, strict=True):
            try:
                values, faults = Expression(text).evaluate({name: column(name, [row[name]]) for name in NAMES}, 1)
            except ExpressionError:
                assert "error" in wanted, text
                continue
            if "error" in wanted:
                assert faults, (text, row)
            else:
                assert not faults and same(shown(values.to_list()[0]), wanted["value"]), (text, row, values)


@pytest.mark.parametrize("cases", groups(FILTERS["cases"], lambda json: json["type"]))
def test_filters_keep_what_druid_keeps(cases):
    for json_, expected in cases:
        chosen = read_filter(json_)
        kept = [
            bool(chosen.keeps({name: column(name, [row[name]]) for name in NAMES}, 1)[0]) for row in FILTERS["rows"]
        ]
        assert kept == expected, json_


@pytest.mark.parametrize("cases", groups(FILTERS["cases"], lambda json: json["type"]))
def test_filters_do_not_depend_on_the_other_rows_of_a_column(cases):
    columns = {name: column(name, [row[name] for row in FILTERS["rows"]]) for name in NAMES}
    uniform = [name for name in NAMES if len({type(row[name]) for row in FILTERS["rows"]} - {type(None)}) == 1]
    for json_, expected in cases:
        chosen = read_filter(json_)
        if chosen.fields <= set(uniform):
            assert np.array_equal(chosen.keeps(columns, 3), expected), json_


def test_a_null_column_is_a_column_of_nulls():
    nothing = {"a": pl.Series([None, None])}
    assert read_filter({"type": "null", "column": "a"}).keeps(nothing, 2).all()
    assert Expression("nvl(a, 7)").evaluate(nothing, 2)[0].to_list() == [7, 7]
