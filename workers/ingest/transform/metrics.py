"""What each metric takes from the rows: which fields it looks at, and its aggregator's input made of them.

==========================  ==========================================================================
sum, min, max               Int64, Float64, Float32
first, last                 Struct of `lhs` (millis; null where the row does not count) and `rhs`
hyperUnique                 String; List(String), or Binary, sketches that are ready, where null is a row left
                            out, and one without a value has a list without items, or no bytes
theta and HLL sketches      String, Int64, Float64 or lists of String; of Binary, the bytes to hash; or Binary, ready
                            sketches. Null adds nothing
quantiles sketches          Float64, or Binary, ready sketches
count                       no input, or Boolean where a filter says which rows count
filtered                    that of the metric within, null in rows left out
==========================  ==========================================================================
"""

from __future__ import annotations

import re
import struct
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.expressions import Expression, ExpressionError
from workers.ingest.expressions.values import number
from workers.ingest.formats.base import column
from workers.ingest.java import class_of, text_of
from workers.ingest.transform.filters import Filter, read_filter
from workers.ingest.transform.numbers import (
    DoubleDimension,
    DoubleMetric,
    FloatMetric,
    LongMetric,
    Metric,
    Typed,
    as_long,
)
from workers.ingest.transform.strings import ARRAY, string_column
from workers.segment.read_columns import as_lists

TIME = "__time"
NUMBERS: dict[str, type[Metric]] = {"long": LongMetric, "double": DoubleMetric, "float": FloatMetric}
_NUMERIC = re.compile("(long|double|float)(Sum|Min|Max)")
_PAIR = re.compile("(long|double|float|string)(First|Last)")

_ONE_NUMBER = struct.Struct("<4BHxxQ3d")
_LEAST_K = 2

Fields = Mapping[str, pl.Series]


class MetricInput(ABC):
    """The input of one metric.

    Attributes
    ----------
    name : str
        Of the metric.
    fields : frozenset of str
        What it looks at, `__time` apart.
    excluded : frozenset of str
        Fields that do not become dimensions by themselves.
    """

    def __init__(self, name: str, fields: frozenset[str]) -> None:
        self.name = name
        self.excluded = fields
        self.fields = fields - {TIME}

    @abstractmethod
    def read(self, fields: Fields, times: pl.Series) -> Typed:
        """The input of each row.

        Parameters
        ----------
        fields : mapping of str to Series
            Raw columns.
        times : Series of Int64
            Millis of each row.
        """


class Number(MetricInput):
    """One field as a number."""

    def __init__(self, name: str, reader: Metric) -> None:
        super().__init__(name, frozenset({reader.field}))
        self._reader = reader

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        return self._reader.read(_field(fields, times, self._reader.field), len(times))


class Computed(MetricInput):
    """An expression's value as a number."""

    def __init__(self, name: str, expression: Expression, reader: Metric) -> None:
        super().__init__(name, expression.inputs)
        self._expression = expression
        self._reader = reader

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        values, wrong = self._expression.evaluate({**fields, TIME: times}, len(times))
        faults = [(row, f"Could not compute metric {self.name} reason: {why}") for row, why in wrong.items()]
        if values.dtype not in (pl.Int64, pl.Float64):
            values = column(self.name, [number(value) for value in values.to_list()])
        return Typed(values=self._reader.read(values, len(times)).values, faults=faults)


class Filtered(MetricInput):
    """The input of another metric, null in the rows that a filter does not take; for `count`, which rows it takes."""

    def __init__(self, name: str, inner: MetricInput | None, condition: Filter) -> None:
        super().__init__(name, condition.fields | (frozenset() if inner is None else inner.excluded))
        self._inner = inner
        self._filter = condition

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        taken = self._filter.keeps({**fields, TIME: times}, len(times))
        mask = pl.Series(self.name, taken, dtype=pl.Boolean)
        if self._inner is None:
            return Typed(values=mask)
        done = self._inner.read(fields, times)
        values = done.values
        if values.dtype == pl.String and isinstance(self._inner, Values):
            values = _lists_of(values)
        nothing = pl.Series([None], dtype=values.dtype).new_from_index(0, len(times))
        faults = [fault for fault in done.faults if taken[fault[0]]]
        return Typed(values=values.zip_with(mask, nothing).alias(self.name), faults=faults)


def _lists_of(texts: pl.Series) -> pl.Series:
    """Each text as a list of one, null as one of none."""
    counts = texts.is_not_null().to_numpy().astype(np.int64)
    return as_lists(texts.drop_nulls(), counts)


class NumberAndTime(MetricInput):
    """A number and its time."""

    def __init__(self, name: str, reader: Metric, time_column: str) -> None:
        super().__init__(name, frozenset({reader.field, time_column}))
        self._reader = reader
        self._time = _Time(name, time_column)

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        raw = _field(fields, times, self._reader.field)
        if raw is not None and isinstance(raw.dtype, pl.Struct):
            known = self._reader.numbers(_wide(raw.struct.field("rhs")))
            return _pairs(self.name, raw.struct.field("lhs"), known)
        when = self._time.read(fields, times)
        values = self._reader.read(raw, len(times))
        return _pairs(self.name, when.values, values.values, [*values.faults, *when.faults])


class TextAndTime(MetricInput):
    """A text and its time; a row without a text does not count."""

    def __init__(self, name: str, field: str, time_column: str) -> None:
        super().__init__(name, frozenset({field, time_column}))
        self._field = field
        self._time = _Time(name, time_column)

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        raw = fields.get(self._field)
        if raw is not None and isinstance(raw.dtype, pl.Struct):
            return _pairs(self.name, raw.struct.field("lhs"), raw.struct.field("rhs").cast(pl.String))
        texts = _texts(raw, len(times))
        when = self._time.read(fields, times)
        if raw is None and self._field == TIME:  # known to be no text, so that Druid looks for none
            return _pairs(self.name, when.values, texts, when.faults)
        nulls = texts.is_null()
        faults = [fault for fault in when.faults if not nulls[fault[0]]]  # of other rows the time is not looked at
        return _pairs(self.name, when.values.set(nulls, None), texts, faults)


class Values(MetricInput):
    """Texts of which each row adds any number, or ready sketches."""

    def __init__(self, name: str, field: str, ready: bool) -> None:
        super().__init__(name, frozenset({field}))
        self._field = field
        self._ready = ready

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        raw = fields.get(self._field)
        if raw is not None and raw.dtype == pl.Binary:
            return Typed(values=raw.fill_null(b"").alias(self.name))
        if self._ready:
            return _decoded(self.name, self._field, raw, len(times))
        texts = string_column(self.name, raw, len(times), ARRAY)
        if isinstance(texts.dtype, pl.List):
            texts = texts.fill_null(pl.Series([[]], dtype=texts.dtype))
            if texts.explode().null_count():
                texts = texts.list.eval(pl.element().fill_null("null"))  # as Java prints a list
        return Typed(values=texts)


def _decoded(name: str, field: str, raw: pl.Series | None, rows: int) -> Typed:
    """Base64."""
    cells: list[bytes] = []
    faults = []
    for row, value in enumerate([None] * rows if raw is None else raw.to_list()):
        try:
            cells.append(b"" if value is None else b64decode(value, validate=True))
        except (ValueError, TypeError):
            cells.append(b"")
            faults.append((row, f"Unable to parse value[{text_of(value)}] for field[{field}]"))
    return Typed(values=pl.Series(name, cells, dtype=pl.Binary), faults=faults)


class Distinct(MetricInput):
    """Values for a sketch to hash: texts and whole numbers as they are, of lists the texts of their items."""

    def __init__(self, name: str, field: str, ready: bool, encoding: str) -> None:
        super().__init__(name, frozenset({field}))
        self._field = field
        self._ready = ready
        self._encoding = encoding

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        raw = _field(fields, times, self._field)
        if raw is None or raw.dtype == pl.Null:
            return Typed(values=pl.Series(self.name, [None], dtype=pl.String).new_from_index(0, len(times)))
        if self._ready and raw.dtype != pl.Binary:
            return _decoded(self.name, self._field, raw, len(times))
        if raw.dtype in (pl.Binary, pl.String, pl.Int64, pl.Float64, pl.List(pl.String)):
            return Typed(values=raw.alias(self.name))
        rows: list[list[bytes]] = []
        faults = []
        for row, value in enumerate(raw.to_list()):
            if isinstance(value, bool | dict):
                faults.append((row, f"Unsupported type [{class_of(value)}] for field[{self._field}]"))
                value = None
            rows.append(_hashable(value, self._encoding))
        return Typed(values=pl.Series(self.name, rows, dtype=pl.List(pl.Binary)), faults=faults)


def _hashable(value: Any, encoding: str) -> list[bytes]:
    """The bytes of a value, or of each of several, that are hashed."""
    if isinstance(value, list):
        return [text_of(item).encode(encoding) for item in value if item is not None]
    if isinstance(value, int):
        return [struct.pack("<q", as_long(value))]
    if isinstance(value, float):
        return [struct.pack("<d", value or 0.0)]
    return [] if value is None else [str(value).encode(encoding)]


class Quantities(MetricInput):
    """Numbers, or ready sketches."""

    def __init__(self, name: str, field: str) -> None:
        super().__init__(name, frozenset({field}))
        self._reader = DoubleDimension(name, field)

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        raw = _field(fields, times, self._reader.field)
        if raw is not None and raw.dtype == pl.Binary:
            return Typed(values=raw.alias(self.name))
        done = self._reader.read(raw, len(times))
        if raw is None or not done.faults:
            return done
        left = [(row, text) for row, text in done.faults if raw[row] != ""]  # no text is no value
        if raw.dtype == pl.String and left and all(str(raw[row]).startswith("A") for row, _ in left):
            return self._sketches(raw, done)
        return Typed(values=done.values, faults=left)

    def _sketches(self, raw: pl.Series, numbers: Typed) -> Typed:
        """Base64 of sketches, perhaps with numbers among them."""
        given = _decoded(self.name, self._reader.field, raw.set(numbers.values.is_not_null(), None), len(raw))
        cells = [
            cell if number is None else _ONE_NUMBER.pack(2, 3, 8, 8, _LEAST_K, 1, number, number, number)
            for cell, number in zip(given.values.to_list(), numbers.values.to_list(), strict=True)
        ]
        return Typed(values=pl.Series(self.name, cells, dtype=pl.Binary), faults=given.faults)


class _Time:
    """The column that says when a row's value was."""

    def __init__(self, name: str, column: str) -> None:
        self._reader = LongMetric(name, column)
        self._column = column

    def read(self, fields: Fields, times: pl.Series) -> Typed:
        if self._column == TIME:
            return Typed(values=times)
        return self._reader.read(fields.get(self._column), len(times))


def _field(fields: Fields, times: pl.Series, name: str) -> pl.Series | None:
    return times if name == TIME else fields.get(name)


def _pairs(name: str, times: pl.Series, values: pl.Series, faults: list[tuple[int, str]] | None = None) -> Typed:
    values = values.set(times.is_null(), None) if times.null_count() else values
    pairs = pl.DataFrame([times.alias("lhs"), values.alias("rhs")]).to_struct(name)
    return Typed(values=pairs, faults=faults or [])


def _wide(values: pl.Series) -> pl.Series:
    return values.cast(pl.Float64) if values.dtype == pl.Float32 else values


def _texts(raw: pl.Series | None, rows: int) -> pl.Series:
    """Values as Java prints them."""
    if raw is None or raw.dtype == pl.Null:
        return pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    if raw.dtype == pl.String:
        return raw
    if raw.dtype in (pl.Int64, pl.Boolean):
        return raw.cast(pl.String)
    values = raw.to_list()
    if raw.dtype == pl.List(pl.String):  # of delimited text one value is a plain cell
        values = [value[0] if value is not None and len(value) == 1 else value for value in values]
    return pl.Series([None if value is None else text_of(value) for value in values], dtype=pl.String)


def name_of(json: Mapping[str, Any]) -> str:
    """Name of the column that a metricsSpec entry makes."""
    return str(json.get("name") or name_of(json["aggregator"]))


def _expression(name: str, text: Any) -> Expression:
    try:
        return Expression(str(text))
    except ExpressionError as error:
        raise TaskFailed(f"Metric {name!r}: {error}") from None


def read_metric(json: Mapping[str, Any]) -> MetricInput | None:
    """The input of a metricsSpec entry; None for `count`.

    Raises
    ------
    TaskFailed
        It cannot be built here.
    """
    kind = str(json.get("type"))
    name = name_of(json)
    if kind == "count":
        return None
    if kind == "filtered":
        return Filtered(name, read_metric({**json["aggregator"], "name": name}), read_filter(json.get("filter")))
    field = str(json.get("fieldName") or name)
    if (match := _NUMERIC.fullmatch(kind)) is not None:
        reader = NUMBERS[match[1]](name, field)
        text = json.get("expression")
        return Number(name, reader) if text is None else Computed(name, _expression(name, text), reader)
    if (match := _PAIR.fullmatch(kind)) is not None:
        time_column = str(json.get("timeColumn") or TIME)
        if match[1] == "string":
            return TextAndTime(name, field, time_column)
        return NumberAndTime(name, NUMBERS[match[1]](name, field), time_column)
    if kind == "hyperUnique":
        return Values(name, field, bool(json.get("isInputHyperUnique")))
    if kind == "thetaSketch":
        return Distinct(name, field, bool(json.get("isInputThetaSketch")), "utf-8")
    if kind in ("HLLSketchBuild", "HLLSketchMerge"):
        utf8 = str(json.get("stringEncoding")).lower() == "utf8"
        return Distinct(name, field, kind == "HLLSketchMerge", "utf-8" if utf8 else "utf-16-le")
    if kind in ("quantilesDoublesSketch", "quantilesDoublesSketchMerge"):
        return Quantities(name, field)
    raise TaskFailed(f"Metric {name!r}: type {kind} is not supported yet")
