"""Expressions over whole columns, for the operators and functions that polars has with the same outcome.

Whatever it does not know, or knows only for some values, raises `TooHard`; then the exact evaluator has the word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.expressions.functions.time import granularity, period_of
from workers.ingest.expressions.parser import Binary, Call, Identifier, Literal, Node, Unary
from workers.ingest.expressions.values import number
from workers.ingest.transform.strings import java_doubles

Ints = npt.NDArray[np.int64]

_PLAIN_NUMBER = r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"
_BEYOND_16_BITS = "[\U00010000-\U0010ffff]"
_KINDS: dict[Any, str] = {
    pl.String: "STRING", pl.Int64: "LONG", pl.Float64: "DOUBLE", pl.Boolean: "LONG", pl.Null: "NULL",
}  # fmt: skip
_COMPARED = {
    "<": pl.Expr.lt, "<=": pl.Expr.le, ">": pl.Expr.gt, ">=": pl.Expr.ge, "==": pl.Expr.eq, "!=": pl.Expr.ne,
}  # fmt: skip


class TooHard(Exception):
    """Not for this evaluator."""


@dataclass(frozen=True)
class Typed:
    """An expression of polars and what it gives: LONG, DOUBLE, STRING, or NULL for nothing but nulls."""

    expr: pl.Expr
    kind: str


def vectorised(node: Node, columns: Mapping[str, pl.Series | None]) -> pl.Series:
    """The value in each row.

    Parameters
    ----------
    columns : mapping of str to Series or None
        The raw columns the expression looks at; None for one that is not there.

    Returns
    -------
    Series
        Of dtype Int64, Float64 or String.

    Raises
    ------
    TooHard
        It has to be evaluated row by row.
    """
    there = {name: column for name, column in columns.items() if column is not None}
    if not there:
        raise TooHard
    found = _compile(node, {name: _kind(column) for name, column in there.items()})
    if found.kind == "NULL":
        raise TooHard
    frame = pl.DataFrame([_plain(column).alias(name) for name, column in there.items()])
    values = frame.select(found.expr.alias("value")).to_series()
    return values if len(values) == frame.height else values.new_from_index(0, frame.height)


def _plain(column: pl.Series) -> pl.Series:
    return column.cast(pl.Int64) if column.dtype == pl.Boolean else column


def _kind(column: pl.Series) -> str:
    kind = _KINDS.get(column.dtype)
    if kind is None:
        raise TooHard
    return kind


def _compile(node: Node, kinds: Mapping[str, str]) -> Typed:
    if isinstance(node, Literal):
        return _literal(node.value)
    if isinstance(node, Identifier):
        kind = kinds.get(node.name, "NULL")
        return Typed(pl.lit(None), kind) if kind == "NULL" else Typed(pl.col(node.name), kind)
    if isinstance(node, Unary):
        return _unary(node.op, _compile(node.operand, kinds))
    if isinstance(node, Binary):
        left, right = _compile(node.left, kinds), _compile(node.right, kinds)
        if node.op in ("&&", "||"):
            return _logic(node.op, left, right)
        return _compared(node.op, left, right) if node.op in _COMPARED else _arithmetic(node, left, right)
    if isinstance(node, Call) and node.name in _FUNCTIONS:
        return _FUNCTIONS[node.name](node, kinds)
    raise TooHard


def _literal(value: Any) -> Typed:
    if value is None:
        return Typed(pl.lit(None), "NULL")
    kinds = {int: ("LONG", pl.Int64), float: ("DOUBLE", pl.Float64), str: ("STRING", pl.String)}
    if type(value) not in kinds:
        raise TooHard
    kind, dtype = kinds[type(value)]
    return Typed(pl.lit(value, dtype=dtype), kind)


def _unary(op: str, operand: Typed) -> Typed:
    if op == "!":
        return Typed((~_truth(operand)).cast(pl.Int64), "LONG")
    if operand.kind not in ("LONG", "DOUBLE"):
        raise TooHard
    return Typed(-operand.expr, operand.kind)


def _truth(value: Typed) -> pl.Expr:
    """As a boolean; null stays null."""
    if value.kind == "STRING":
        return value.expr.str.to_lowercase() == "true"
    if value.kind == "NULL":
        return pl.lit(None, dtype=pl.Boolean)
    return value.expr > 0 if value.kind == "LONG" else (value.expr > 0) & value.expr.is_not_nan()


def _logic(op: str, left: Typed, right: Typed) -> Typed:
    a, b = _truth(left), _truth(right)
    return Typed((a & b if op == "&&" else a | b).cast(pl.Int64), "LONG")


def _meet(left: Typed, right: Typed) -> tuple[pl.Expr, pl.Expr, str]:
    """Both in the type in which they meet."""
    if "NULL" in (left.kind, right.kind):
        raise TooHard
    if left.kind == right.kind:
        return left.expr, right.expr, left.kind
    return _double(left), _double(right), "DOUBLE"


def _double(value: Typed) -> pl.Expr:
    if value.kind == "STRING":
        return value.expr.map_batches(_numbers, return_dtype=pl.Float64)
    return value.expr.cast(pl.Float64)


def _numbers(texts: pl.Series) -> pl.Series:
    """Texts as doubles, null for what is no number; unusual ones are read one by one."""
    plain = texts.str.contains(_PLAIN_NUMBER)
    values = texts.cast(pl.Float64, strict=False)
    if bool((plain | texts.is_null()).all()):
        return values
    odd = texts.filter(~plain).unique()
    known = {text: None if (found := number(text)) is None else float(found) for text in odd.to_list()}
    rare = texts.replace_strict(known, default=None, return_dtype=pl.Float64)
    return pl.select(pl.when(plain).then(values).otherwise(rare)).to_series()


def _compared(op: str, left: Typed, right: Typed) -> Typed:
    a, b, kind = _meet(left, right)
    if kind == "STRING" and op not in ("==", "!="):
        a, b = (each.map_batches(_same_order, return_dtype=pl.String) for each in (a, b))
    if kind == "DOUBLE":
        check = _no_nan if op in ("==", "!=") else _no_negative_zero
        a, b = (each.map_batches(check, return_dtype=pl.Float64) for each in (a, b))
    return Typed(_COMPARED[op](a, b).cast(pl.Int64), "LONG")


def _same_order(texts: pl.Series) -> pl.Series:
    if bool(texts.str.contains(_BEYOND_16_BITS).any()):
        raise TooHard
    return texts


def _no_nan(values: pl.Series) -> pl.Series:
    """NaN is equal to itself in polars alone."""
    if bool(values.is_nan().any()):
        raise TooHard
    return values


def _no_negative_zero(values: pl.Series) -> pl.Series:
    """-0.0 lies below 0.0, which polars does not see."""
    found = values.to_numpy()
    if bool((np.signbit(found) & (found == 0)).any()):
        raise TooHard
    return values


def _arithmetic(node: Binary, left: Typed, right: Typed) -> Typed:
    a, b, kind = _meet(left, right)
    if kind == "STRING":
        if node.op == "+":
            return Typed(a + b, kind)
        raise TooHard
    if node.op in ("+", "-", "*"):
        return Typed({"+": a + b, "-": a - b, "*": a * b}[node.op], kind)
    if node.op == "/" and kind == "DOUBLE":
        return Typed(a / b, kind)
    divisor = node.right.value if isinstance(node.right, Literal) else None
    if node.op in ("/", "%") and kind == "LONG" and isinstance(divisor, int) and divisor > 0:
        return Typed(a.map_batches(lambda s: _divided(s, node.op, divisor), return_dtype=pl.Int64), kind)
    raise TooHard


def _divided(values: pl.Series, op: str, divisor: int) -> pl.Series:
    """Towards zero, as Java divides."""
    found = values.fill_null(0).to_numpy()
    remainder = np.fmod(found, divisor)
    return _with_nulls(values, remainder if op == "%" else (found - remainder) // divisor)


def _with_nulls(of: pl.Series, values: npt.NDArray[Any]) -> pl.Series:
    result = pl.Series(of.name, values)
    if not of.null_count():
        return result
    return pl.select(pl.when(of.is_not_null()).then(result)).to_series()


# ---------------------------------------------------------------- functions

_FUNCTIONS: dict[str, Callable[[Call, Mapping[str, str]], Typed]] = {}


def _vector(*names: str) -> Callable[[Callable[[Call, Mapping[str, str]], Typed]], Callable[..., Typed]]:
    def add(compile_: Callable[[Call, Mapping[str, str]], Typed]) -> Callable[..., Typed]:
        _FUNCTIONS.update(dict.fromkeys(names, compile_))
        return compile_

    return add


def _one(node: Call, kinds: Mapping[str, str], *wanted: str) -> Typed:
    """The only argument, of a kind that is wanted."""
    if len(node.args) != 1:
        raise TooHard
    return _of(_compile(node.args[0], kinds), *wanted)


def _of(value: Typed, *wanted: str) -> Typed:
    if value.kind not in wanted:
        raise TooHard
    return value


def _constant(node: Call, place: int, *types: type) -> Any:
    arg = node.args[place] if place < len(node.args) else Literal(None)
    if not isinstance(arg, Literal) or not isinstance(arg.value, types):
        raise TooHard
    return arg.value


@_vector("if")
def _if(node: Call, kinds: Mapping[str, str]) -> Typed:
    if len(node.args) != 3:
        raise TooHard
    test, then, other = (_compile(arg, kinds) for arg in node.args)
    kind = _common_kind(then, other)
    chosen = pl.when(_truth(test).fill_null(False)).then(then.expr).otherwise(other.expr)
    return Typed(chosen, kind)


def _common_kind(*values: Typed) -> str:
    """The kind of values one of which is taken; they keep their own types, so all must be alike."""
    there = {value.kind for value in values} - {"NULL"}
    if len(there) != 1:
        raise TooHard
    return there.pop()


@_vector("nvl", "coalesce")
def _coalesce(node: Call, kinds: Mapping[str, str]) -> Typed:
    values = [_compile(arg, kinds) for arg in node.args]
    if node.name == "nvl" and len(values) != 2:
        raise TooHard
    return Typed(pl.coalesce(*(value.expr for value in values)), _common_kind(*values))


@_vector("case_searched")
def _case_searched(node: Call, kinds: Mapping[str, str]) -> Typed:
    values = [_compile(arg, kinds) for arg in node.args]
    if len(values) < 2:
        raise TooHard
    other = values.pop() if len(values) % 2 else Typed(pl.lit(None), "NULL")
    kind = _common_kind(*values[1::2], other)
    chosen = other.expr
    for test, then in reversed(list(zip(values[0::2], values[1::2], strict=True))):
        chosen = pl.when(_truth(test).fill_null(False)).then(then.expr).otherwise(chosen)
    return Typed(chosen, kind)


@_vector("isnull", "notnull")
def _isnull(node: Call, kinds: Mapping[str, str]) -> Typed:
    value = _one(node, kinds, "LONG", "DOUBLE", "STRING").expr
    return Typed((value.is_null() if node.name == "isnull" else value.is_not_null()).cast(pl.Int64), "LONG")


@_vector("cast")
def _cast(node: Call, kinds: Mapping[str, str]) -> Typed:
    if len(node.args) != 2:
        raise TooHard
    value, kind = _compile(node.args[0], kinds), str(_constant(node, 1, str)).upper()
    if kind == "STRING":
        return Typed(_text(value), kind)
    if kind == "DOUBLE" and value.kind != "NULL":
        return Typed(_double(value), kind)
    if kind == "LONG" and value.kind == "LONG":
        return value
    raise TooHard


def _text(value: Typed) -> pl.Expr:
    if value.kind == "DOUBLE":
        return value.expr.map_batches(java_doubles, return_dtype=pl.String)
    if value.kind == "NULL":
        raise TooHard
    return value.expr.cast(pl.String)


@_vector("concat")
def _concat(node: Call, kinds: Mapping[str, str]) -> Typed:
    if not node.args:
        raise TooHard
    return Typed(pl.concat_str([_text(_compile(arg, kinds)) for arg in node.args]), "STRING")


@_vector("lower", "upper")
def _cased(node: Call, kinds: Mapping[str, str]) -> Typed:
    value = _one(node, kinds, "STRING").expr.map_batches(_ascii, return_dtype=pl.String)
    return Typed(value.str.to_lowercase() if node.name == "lower" else value.str.to_uppercase(), "STRING")


def _ascii(texts: pl.Series) -> pl.Series:
    """The same texts; beyond ASCII libraries differ in a few letters."""
    if not bool((texts.str.len_bytes() == texts.str.len_chars()).all()):
        raise TooHard
    return texts


@_vector("strlen")
def _strlen(node: Call, kinds: Mapping[str, str]) -> Typed:
    value = _one(node, kinds, "STRING").expr
    units = value.str.len_chars() + value.str.count_matches(_BEYOND_16_BITS)
    return Typed(units.cast(pl.Int64), "LONG")


@_vector("substring")
def _substring(node: Call, kinds: Mapping[str, str]) -> Typed:
    if len(node.args) != 3:
        raise TooHard
    value = _of(_compile(node.args[0], kinds), "STRING").expr.map_batches(_same_order, return_dtype=pl.String)
    start, length = _constant(node, 1, int), _constant(node, 2, int)
    if start < 0:
        raise TooHard
    cut = value.str.slice(start, length if length >= 0 else None)
    return Typed(pl.when(value.str.len_chars() > start).then(cut), "STRING")


@_vector("replace")
def _replace(node: Call, kinds: Mapping[str, str]) -> Typed:
    if len(node.args) != 3:
        raise TooHard
    value = _of(_compile(node.args[0], kinds), "STRING").expr
    old, new = _constant(node, 1, str), _constant(node, 2, str)
    if not old:
        raise TooHard
    return Typed(value.str.replace_all(old, new, literal=True), "STRING")


@_vector("contains_string")
def _contains(node: Call, kinds: Mapping[str, str]) -> Typed:
    if len(node.args) != 2:
        raise TooHard
    value = _of(_compile(node.args[0], kinds), "STRING").expr
    return Typed(value.str.contains(_constant(node, 1, str), literal=True).cast(pl.Int64), "LONG")


@_vector("abs")
def _abs(node: Call, kinds: Mapping[str, str]) -> Typed:
    value = _one(node, kinds, "LONG", "DOUBLE")
    return Typed(value.expr.abs(), value.kind)


@_vector("floor", "ceil", "sqrt")
def _of_doubles(node: Call, kinds: Mapping[str, str]) -> Typed:
    value = _one(node, kinds, "LONG", "DOUBLE").expr.cast(pl.Float64)
    return Typed({"floor": value.floor(), "ceil": value.ceil(), "sqrt": value.sqrt()}[node.name], "DOUBLE")


@_vector("timestamp_floor")
def _timestamp_floor(node: Call, kinds: Mapping[str, str]) -> Typed:
    if not 2 <= len(node.args) <= 4:
        raise TooHard
    value = _of(_compile(node.args[0], kinds), "LONG").expr
    zone = _constant(node, 3, str, type(None))
    buckets = granularity(_constant(node, 1, str), _constant(node, 2, str, int, type(None)), zone)

    def floor(times: pl.Series) -> pl.Series:
        return _with_nulls(times, buckets.bucket_starts(_of_our_era(times).fill_null(0).to_numpy()))

    return Typed(value.map_batches(floor, return_dtype=pl.Int64), "LONG")


@_vector("timestamp_shift")
def _timestamp_shift(node: Call, kinds: Mapping[str, str]) -> Typed:
    if len(node.args) != 3:
        raise TooHard
    length, step = period_of(_constant(node, 1, str)).utc_ms, _constant(node, 2, int)
    if length is None or abs(length * step) > 2**62:
        raise TooHard
    return Typed(_of(_compile(node.args[0], kinds), "LONG").expr + length * step, "LONG")


_PARTS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "SECOND": lambda at: at.dt.second(),
    "MINUTE": lambda at: at.dt.minute(),
    "HOUR": lambda at: at.dt.hour(),
    "DAY": lambda at: at.dt.day(),
    "DOW": lambda at: at.dt.weekday(),
    "ISODOW": lambda at: at.dt.weekday(),
    "DOY": lambda at: at.dt.ordinal_day(),
    "WEEK": lambda at: at.dt.week(),
    "MONTH": lambda at: at.dt.month(),
    "QUARTER": lambda at: at.dt.quarter(),
    "YEAR": lambda at: at.dt.year(),
}
_FIRST_MS, _LAST_MS = -62135596800000, 253402300799999  # years 1 to 9999


@_vector("timestamp_extract")
def _timestamp_extract(node: Call, kinds: Mapping[str, str]) -> Typed:
    if len(node.args) != 2 or (part := _PARTS.get(str(_constant(node, 1, str)).upper())) is None:
        raise TooHard
    value = _of(_compile(node.args[0], kinds), "LONG").expr.map_batches(_of_our_era, return_dtype=pl.Int64)
    return Typed(part(value.cast(pl.Datetime("ms"))).cast(pl.Int64), "LONG")


def _of_our_era(times: pl.Series) -> pl.Series:
    if not bool(times.is_between(_FIRST_MS, _LAST_MS).all()):
        raise TooHard
    return times
