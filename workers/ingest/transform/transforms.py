"""transformSpec: columns computed from others, then a filter, over the raw rows that have a readable time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.expressions import Expression, ExpressionError
from workers.ingest.java import double_to_long, parse_metric
from workers.ingest.transform.filters import Filter, read_filter

TIME = "__time"


@dataclass(frozen=True, kw_only=True)
class Transformed:
    """Rows after their transforms.

    Attributes
    ----------
    columns : dict of str to Series
        Raw columns, those that were computed in place of, or beside, those that were read.
    times : ndarray of int64
        Millis of each row.
    timeless : ndarray of bool
        Rows whose time was transformed into nothing.
    untimely : dict of int to str or None
        What each of those was transformed into.
    keeps : ndarray of bool or None
        Rows that the filter keeps; None for all.
    faults : dict of int to list of str
        What went wrong, by row.
    """

    columns: dict[str, pl.Series]
    times: npt.NDArray[np.int64]
    timeless: npt.NDArray[np.bool_]
    untimely: dict[int, str | None]
    keeps: npt.NDArray[np.bool_] | None
    faults: dict[int, list[str]]


@dataclass(frozen=True, kw_only=True)
class TransformSpec:
    """The transforms and the filter of a dataSchema.

    Attributes
    ----------
    expressions : tuple of (str, Expression)
        Name of the column that each one gives.
    filter : Filter or None
    """

    expressions: tuple[tuple[str, Expression], ...] = ()
    filter: Filter | None = None

    @classmethod
    def from_json(cls, json: Any) -> TransformSpec:
        """From `dataSchema.transformSpec`.

        Raises
        ------
        TaskFailed
            An expression or a filter cannot be understood.
        """
        where = "spec.dataSchema.transformSpec"
        spec = json if isinstance(json, Mapping) else {}
        expressions = []
        for number, entry in enumerate(spec.get("transforms") or []):
            try:
                expressions.append((str(entry["name"]), Expression(str(entry["expression"]))))
            except ExpressionError as error:
                raise TaskFailed(str(error), where=f"{where}.transforms[{number}].expression") from None
        found = spec.get("filter")
        try:
            return cls(expressions=tuple(expressions), filter=None if found is None else read_filter(found))
        except (TaskFailed, ExpressionError) as error:
            raise TaskFailed(str(error), where=f"{where}.filter") from None

    def __bool__(self) -> bool:
        return bool(self.expressions) or self.filter is not None

    @property
    def inputs(self) -> frozenset[str]:
        """Fields of the input that it looks at."""
        fields = set(self.filter.fields) if self.filter is not None else set()
        for _, expression in self.expressions:
            fields |= expression.inputs
        return frozenset(fields - {TIME})

    @property
    def decides(self) -> frozenset[str]:
        """Fields on which a row's time, and whether it stays, depend."""
        moves_time = any(name == TIME for name, _ in self.expressions)
        return self.inputs if moves_time or self.filter is not None else frozenset()

    def apply(self, columns: Mapping[str, pl.Series], times: npt.NDArray[np.int64]) -> Transformed:
        """Compute, then filter. Every expression sees the fields as they were read.

        Parameters
        ----------
        columns : mapping of str to Series
            Raw columns.
        times : ndarray of int64
            Millis of each row.
        """
        rows = len(times)
        seen = {**columns, TIME: pl.Series(TIME, times)}
        after = dict(seen)
        faults: dict[int, list[str]] = {}
        for name, expression in self.expressions:
            values, wrong = expression.evaluate(seen, rows)
            after[name] = values.alias(name)
            for row, why in wrong.items():
                faults.setdefault(row, []).append(f"Could not transform value for {name} reason: {why}")
        millis, timeless = _millis(after[TIME])
        untimely = {int(row): _text(after[TIME][int(row)]) for row in np.flatnonzero(timeless)}
        after[TIME] = pl.Series(TIME, millis)
        keeps = None if self.filter is None else self.filter.keeps(after, rows)
        del after[TIME]
        return Transformed(
            columns=after, times=millis, timeless=timeless, untimely=untimely, keeps=keeps, faults=faults
        )


def _millis(values: pl.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """A time that was computed as instants, and which rows have none."""
    if values.dtype == pl.Int64:
        return values.fill_null(0).to_numpy(), values.is_null().to_numpy()
    found = [_one_time(value) for value in values.to_list()]
    return np.array([value or 0 for value in found], np.int64), np.array([value is None for value in found], np.bool_)


def _one_time(value: Any) -> int | None:
    """Any number; a text is one as the input of a metric is."""
    if isinstance(value, str):
        value = parse_metric(value)
    if isinstance(value, float):
        return double_to_long(value)
    return value if type(value) is int else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
