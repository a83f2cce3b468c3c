"""Filters over columns: which rows a `transformSpec.filter` keeps.

Each filter gives an answer a row: 1 yes, 0 no, -1 unknown (a null that was compared). Only yes keeps a row, and `not`
turns unknown into no.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.expressions import Expression, ExpressionError
from workers.ingest.expressions.values import truth
from workers.ingest.java import parse_double, parse_exact_long, text_of
from workers.ingest.transform import predicates as p

Answers = npt.NDArray[np.int8]
Columns = Mapping[str, pl.Series]
Evaluate = Callable[[Columns, int], Answers]


@dataclass(frozen=True)
class Filter:
    """A filter.

    Attributes
    ----------
    fields : frozenset of str
        Columns it looks at.
    answers : callable
        From columns and the number of rows to an answer a row.
    """

    fields: frozenset[str]
    answers: Evaluate

    def keeps(self, columns: Columns, rows: int) -> npt.NDArray[np.bool_]:
        """Which rows it keeps."""
        kept: npt.NDArray[np.bool_] = self.answers(columns, rows) == 1
        return kept


def read_filter(json: Any) -> Filter:
    """From JSON.

    Raises
    ------
    TaskFailed
        Its type is unknown or cannot be used here, or it lacks a field.
    """
    if not isinstance(json, Mapping):
        raise TaskFailed(f"A filter must be an object with a type, not {json!r:.100}")
    kind = str(json.get("type"))
    if kind in _LEAVES:
        return _leaf(json, _LEAVES[kind](json))
    if kind not in _OTHERS:
        known = ", ".join(sorted({*_LEAVES, *_OTHERS}))
        raise TaskFailed(f"A filter of type [{kind}] cannot be used at ingestion here. Known: {known}")
    return _OTHERS[kind](json)


def _required(json: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        if json.get(name) is not None:
            return json[name]
    raise TaskFailed(f"A filter of type [{json.get('type')}] needs [{names[0]}]")


# ---------------------------------------------------------------- of one column


def _in_type(json: Mapping[str, Any]) -> p.Predicate:
    return p.Equal(str(json.get("matchValueType") or "STRING").upper(), list(_required(json, "sortedValues", "values")))


def _equals(json: Mapping[str, Any]) -> p.Predicate:
    return p.Equal(str(json.get("matchValueType") or "STRING").upper(), [_required(json, "matchValue")])


_LEAVES: dict[str, Callable[[Mapping[str, Any]], p.Predicate]] = {
    "selector": lambda json: p.OneOf([json.get("value")]),
    "in": lambda json: p.OneOf(list(json.get("values") or [])),
    "inType": _in_type,
    "bound": p.Bound,
    "range": p.Range,
    "equals": _equals,
    "null": lambda json: p.Null(),
    "like": p.like,
    "regex": lambda json: p.regex(str(_required(json, "pattern"))),
    "search": p.Containing,
    "interval": lambda json: p.Within(list(_required(json, "intervals"))),
}


def _leaf(json: Mapping[str, Any], predicate: p.Predicate) -> Filter:
    if json.get("extractionFn") is not None:
        raise TaskFailed(f"A filter of type [{json['type']}] cannot have an extractionFn here; use a transform")
    name = str(_required(json, "dimension", "column"))

    def answers(columns: Columns, rows: int) -> Answers:
        column = columns.get(name)
        if column is None or column.dtype == pl.Null:
            return np.full(rows, _code(predicate.unknown), np.int8)
        return _of_column(predicate, column)

    return Filter(frozenset({name}), answers)


def _code(answer: p.Answer) -> int:
    return -1 if answer is None else int(answer)


def _of_column(predicate: p.Predicate, column: pl.Series) -> Answers:
    if isinstance(predicate, p.OneOf) and column.dtype == pl.String:
        found = column.is_in(list(predicate.values)).cast(pl.Int8)
        return found.fill_null(_code(predicate.unknown)).to_numpy()
    if isinstance(predicate, p.Bound) and predicate.numeric and column.dtype in (pl.Int64, pl.Float64):
        whole = _bounded(predicate, column)
        if whole is not None:
            return whole
    if column.dtype in (pl.String, pl.Int64, pl.Float64, pl.Boolean):
        distinct = column.unique()
        known = pl.Series([_code(predicate.of(value)) for value in distinct.to_list()], dtype=pl.Int8)
        answers: Answers = column.replace_strict(distinct, known, return_dtype=pl.Int8).to_numpy()
        return answers
    return np.array([_code(predicate.of(value)) for value in column.to_list()], np.int8)


def _bounded(predicate: p.Bound, column: pl.Series) -> Answers | None:
    """Numbers between two bounds that are exact in their type; None if they are not."""
    inside = pl.Series([True]).new_from_index(0, len(column))
    for given, strict, lower in (
        (predicate.lower, predicate.lower_strict, True),
        (predicate.upper, predicate.upper_strict, False),
    ):
        if given is None:
            continue
        bound: Any = parse_exact_long(given) if column.dtype == pl.Int64 else parse_double(given)
        if bound is None or bound != bound or (column.dtype == pl.Float64 and bound == 0):
            return None
        if lower:
            inside &= column > bound if strict else column >= bound
        else:
            inside &= column < bound if strict else column <= bound
    return inside.cast(pl.Int8).fill_null(_code(predicate.unknown)).to_numpy()


# ---------------------------------------------------------------- of others


def _inner(json: Mapping[str, Any]) -> list[Filter]:
    fields = json.get("fields")
    if not isinstance(fields, list) or not fields:
        raise TaskFailed(f"A filter of type [{json['type']}] needs [fields], an array of filters")
    return [read_filter(field) for field in fields]


def _all_fields(filters: list[Filter]) -> frozenset[str]:
    return frozenset().union(*(each.fields for each in filters))


def _and(json: Mapping[str, Any]) -> Filter:
    filters = _inner(json)

    def answers(columns: Columns, rows: int) -> Answers:
        found = np.stack([each.answers(columns, rows) for each in filters])
        return np.where((found == 0).any(0), 0, found.min(0)).astype(np.int8)

    return Filter(_all_fields(filters), answers)


def _or(json: Mapping[str, Any]) -> Filter:
    filters = _inner(json)

    def answers(columns: Columns, rows: int) -> Answers:
        found = np.stack([each.answers(columns, rows) for each in filters])
        return np.where((found == 1).any(0), 1, found.min(0)).astype(np.int8)

    return Filter(_all_fields(filters), answers)


def _not(json: Mapping[str, Any]) -> Filter:
    inner = read_filter(_required(json, "field"))
    codes = np.array([1, 0, -1], np.int8)  # of 0, 1 and, from the end, -1
    return Filter(inner.fields, lambda columns, rows: codes[inner.answers(columns, rows)])


def _is(wanted: int) -> Callable[[Mapping[str, Any]], Filter]:
    def read(json: Mapping[str, Any]) -> Filter:
        inner = read_filter(_required(json, "field"))
        return Filter(inner.fields, lambda columns, rows: (inner.answers(columns, rows) == wanted).astype(np.int8))

    return read


def _always(answer: int) -> Callable[[Mapping[str, Any]], Filter]:
    return lambda json: Filter(frozenset(), lambda columns, rows: np.full(rows, answer, np.int8))


def _expression(json: Mapping[str, Any]) -> Filter:
    try:
        expression = Expression(str(_required(json, "expression")))
    except ExpressionError as error:
        raise TaskFailed(str(error)) from None

    def answers(columns: Columns, rows: int) -> Answers:
        several = [n for n in expression.inputs if n in columns and columns[n].dtype in (pl.Object, pl.List(pl.String))]
        if several:
            return _of_each(expression, columns, several, rows)
        values, _ = expression.evaluate(columns, rows)
        if values.dtype in (pl.Int64, pl.Float64):
            return (values > 0).cast(pl.Int8).fill_null(-1).to_numpy()
        return np.array([-1 if value is None else int(truth(value)) for value in values.to_list()], np.int8)

    return Filter(expression.inputs, answers)


def _of_each(expression: Expression, columns: Columns, several: list[str], rows: int) -> Answers:
    """Of a row with several values in a field one has to do, whichever it is."""
    given = {name: columns[name].to_list() for name in expression.inputs if name in columns}
    found = np.zeros(rows, np.int8)
    for row in range(rows):
        fields = {name: values[row] for name, values in given.items()}
        choices = [fields[name] if isinstance(fields[name], list) else [fields[name]] for name in several]
        answers = []
        for chosen in itertools.product(*(choice or [None] for choice in choices)):
            value = expression.of_row({**fields, **dict(zip(several, chosen, strict=True))})
            answers.append(-1 if value is None else int(truth(value)))
        found[row] = 1 if 1 in answers else min(answers)
    return found


def _columns_equal(json: Mapping[str, Any]) -> Filter:
    names = [each.get("dimension") if isinstance(each, Mapping) else each for each in _required(json, "dimensions")]

    def answers(columns: Columns, rows: int) -> Answers:
        lists = [_texts(columns.get(str(name)), rows) for name in names]
        return np.array([int(bool(set.intersection(*row))) for row in zip(*lists, strict=True)], np.int8)

    return Filter(frozenset(map(str, names)), answers)


def _texts(column: pl.Series | None, rows: int) -> list[set[str | None]]:
    values = [None] * rows if column is None else column.to_list()
    return [
        {None if item is None else text_of(item) for item in value} or {None}
        if isinstance(value, list)
        else {None if value is None else text_of(value)}
        for value in values
    ]


def _array_contains(json: Mapping[str, Any]) -> Filter:
    name = str(_required(json, "column"))
    element = p.Equal(str(json.get("elementMatchValueType") or "STRING").upper(), [json.get("elementMatchValue")])

    def of(value: Any) -> p.Answer:
        if value is None:
            return None
        return any(element.of(item) is True for item in (value if isinstance(value, list) else [value]))

    def answers(columns: Columns, rows: int) -> Answers:
        values = columns[name].to_list() if name in columns else [None] * rows
        return np.array([_code(of(value)) for value in values], np.int8)

    return Filter(frozenset({name}), answers)


_OTHERS: dict[str, Callable[[Mapping[str, Any]], Filter]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "istrue": _is(1),
    "isfalse": _is(0),
    "true": _always(1),
    "false": _always(0),
    "expression": _expression,
    "columnComparison": _columns_equal,
    "arrayContainsElement": _array_contains,
}
