"""The evaluator over columns and the exact one are two ways to the same values."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from workers.ingest.expressions import Expression
from workers.ingest.expressions.values import bind
from workers.ingest.formats.base import column

COLUMNS = ["i", "d", "s", "t", "b", "none"]
operands = st.sampled_from([*COLUMNS, "3", "0", "2.5", "'x'", "'12'", "null", "-1", "1.0"])
binary = st.sampled_from(["+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!=", "&&", "||"])
unary = st.sampled_from(["isnull", "notnull", "abs", "floor", "ceil", "lower", "upper", "strlen", "!", "-", "concat"])


def _extended(inner):
    return st.one_of(
        st.tuples(inner, binary, inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(unary, inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"if({p[0]}, {p[1]}, {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"nvl({p[0]}, {p[1]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"case_searched({p[0]}, {p[1]}, {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"concat({p[0]}, {p[1]})"),
        st.tuples(inner, st.sampled_from(["LONG", "DOUBLE", "STRING"])).map(lambda p: f"cast({p[0]}, '{p[1]}')"),
        inner.map(lambda p: f"timestamp_floor({p}, 'P1M', null, 'Europe/Paris')"),
        st.tuples(inner, st.sampled_from(["YEAR", "WEEK", "DOY", "HOUR"])).map(
            lambda p: f"timestamp_extract({p[0]}, '{p[1]}')"
        ),
        inner.map(lambda p: f"substring({p}, 1, 2)"),
        inner.map(lambda p: f"contains_string({p}, 'x')"),
        inner.map(lambda p: f"replace({p}, 'x', '$1')"),
    )


expressions = st.recursive(operands, _extended, max_leaves=6)
longs = st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1))
texts = st.one_of(st.sampled_from(["12", "-7.5", "x", "X😀x", "true", "", "é", "1e3", "NaN"]), st.text(max_size=4))
rows = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | longs,
            "d": st.none() | st.sampled_from([0.0, -0.0, 2.5, math.nan]) | st.floats(),
            "s": st.none() | texts.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)),
            "t": st.none() | st.integers(-(10**13), 10**13),
            "b": st.none() | st.booleans(),
            "none": st.none(),
        }
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expressions, rows)
@example("(s == s)", [{"i": None, "d": None, "s": "x", "t": 0, "b": None, "none": None}])
@example("(d == d)", [{"i": None, "d": math.nan, "s": "x", "t": 0, "b": None, "none": None}])
@example("(i / 3)", [{"i": -(2**63), "d": None, "s": "x", "t": 0, "b": None, "none": None}])
def test_columns_and_rows_give_the_same(text, given_rows):
    expression = Expression(text)
    columns = {name: column(name, [row[name] for row in given_rows]) for name in COLUMNS}
    values, faults = expression.evaluate(columns, len(given_rows))
    for number, row in enumerate(given_rows):
        wanted, fault = expression._one({name: bind(value) for name, value in row.items()})
        assert (number in faults) == (fault is not None)
        found = values.to_list()[number]
        assert type(found) is type(wanted), (found, wanted)
        assert found == wanted or (found != found and wanted != wanted)
