"""count, and sum, min and max of long, double and float.

Nulls are skipped; only nulls give null. Rows of a group are added one after the other in their order, in the
metric's own precision, as Druid does: `np.add.reduceat` would add floats pairwise and round differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.rollup.base import Aggregator, aggregators
from workers.ingest.rollup.ordering import Groups
from workers.ingest.rollup.state import State

Values = npt.NDArray[Any]


@aggregators.add("count")
class Count(Aggregator):
    """Number of input rows."""

    kind = "LONG"

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Count:
        return cls(json["name"])

    def lift(self, values: pl.Series | None, rows: int) -> State:
        if values is None:
            return State.of_numbers(np.ones(rows, np.int64))
        return State.of_numbers(values.to_numpy().astype(np.int64))  # 1 for a row that counts

    def fold(self, state: State, groups: Groups) -> State:
        return State.of_numbers(_long_sum(state.values, groups))

    def combining(self) -> dict[str, Any]:
        return {"type": "longSum", "name": self.name, "fieldName": self.name}


class NumericAggregator(Aggregator):
    """Folds the numbers of one field."""

    type: ClassVar[str]
    dtype: ClassVar[np.dtype[Any]]
    neutral: ClassVar[Any]

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> NumericAggregator:
        return cls(json["name"])

    def lift(self, values: pl.Series | None, rows: int) -> State:
        if values is None or values.null_count() == rows:
            return State.of_numbers(np.zeros(rows, self.dtype), np.zeros(rows, np.bool_))
        if values.null_count() == 0:
            return State.of_numbers(self._one(values.to_numpy().astype(self.dtype, copy=False)))
        valid = values.is_not_null().to_numpy()
        return State.of_numbers(self._one(values.fill_null(0).to_numpy().astype(self.dtype, copy=False)), valid)

    def fold(self, state: State, groups: Groups) -> State:
        if groups.single:
            return state.take(groups.order)
        if state.valid is None:
            return State.of_numbers(self._reduce(state.values, groups))
        valid = np.logical_or.reduceat(state.valid[groups.order], groups.starts)
        values = self._reduce(np.where(state.valid, state.values, self.neutral), groups)
        values[~valid] = 0
        return State.of_numbers(values, None if valid.all() else valid)

    def combining(self) -> dict[str, Any]:
        return {"type": self.type, "name": self.name, "fieldName": self.name}

    def _one(self, values: Values) -> Values:
        """The state of single values: the values, unless the fold's start shows in them."""
        return values

    def _reduce(self, values: Values, groups: Groups) -> Values:
        raise NotImplementedError


class _Long(NumericAggregator):
    kind = "LONG"
    dtype = np.dtype(np.int64)


class _Double(NumericAggregator):
    kind = "DOUBLE"
    dtype = np.dtype(np.float64)


class _Float(NumericAggregator):
    kind = "FLOAT"
    dtype = np.dtype(np.float32)


@aggregators.add("longSum")
class LongSum(_Long):
    """Sum of longs; wraps as Java's."""

    type = "longSum"
    neutral = np.int64(0)

    def _reduce(self, values: Values, groups: Groups) -> Values:
        return _long_sum(values, groups)


class _FloatingSum(NumericAggregator):
    """A sum that starts at +0.0, so that a lone -0.0 gives 0.0."""

    def _one(self, values: Values) -> Values:
        return np.asarray(values + self.dtype.type(0))


@aggregators.add("doubleSum")
class DoubleSum(_FloatingSum, _Double):
    """Sum of doubles."""

    type = "doubleSum"
    neutral = np.float64(0)

    def _reduce(self, values: Values, groups: Groups) -> Values:
        return np.bincount(groups.ids, weights=values[groups.order], minlength=len(groups))


@aggregators.add("floatSum")
class FloatSum(_FloatingSum, _Float):
    """Sum of floats, kept as float throughout."""

    type = "floatSum"
    neutral = np.float32(0)

    def _reduce(self, values: Values, groups: Groups) -> Values:
        out = np.zeros(len(groups), np.float32)
        with np.errstate(all="ignore"):
            np.add.at(out, groups.ids, values[groups.order])
        return out


@aggregators.add("longMin")
class LongMin(_Long):
    """Least long."""

    type = "longMin"
    neutral = np.int64(np.iinfo(np.int64).max)

    def _reduce(self, values: Values, groups: Groups) -> Values:
        return np.asarray(np.minimum.reduceat(values[groups.order], groups.starts))


@aggregators.add("longMax")
class LongMax(_Long):
    """Greatest long."""

    type = "longMax"
    neutral = np.int64(np.iinfo(np.int64).min)

    def _reduce(self, values: Values, groups: Groups) -> Values:
        return np.asarray(np.maximum.reduceat(values[groups.order], groups.starts))


class _FloatingMin(NumericAggregator):
    """Java's Math.min: NaN wins, and -0.0 is less than 0.0."""

    def _reduce(self, values: Values, groups: Groups) -> Values:
        values = values[groups.order]
        out = np.asarray(np.minimum.reduceat(values, groups.starts))
        return _with_zero(out, values, groups, negative=True)


class _FloatingMax(NumericAggregator):
    """Java's Math.max: NaN wins, and 0.0 is greater than -0.0."""

    def _reduce(self, values: Values, groups: Groups) -> Values:
        values = values[groups.order]
        out = np.asarray(np.maximum.reduceat(values, groups.starts))
        return _with_zero(out, values, groups, negative=False)


@aggregators.add("doubleMin")
class DoubleMin(_FloatingMin, _Double):
    """Least double."""

    type = "doubleMin"
    neutral = np.float64(np.inf)


@aggregators.add("doubleMax")
class DoubleMax(_FloatingMax, _Double):
    """Greatest double."""

    type = "doubleMax"
    neutral = np.float64(-np.inf)


@aggregators.add("floatMin")
class FloatMin(_FloatingMin, _Float):
    """Least float."""

    type = "floatMin"
    neutral = np.float32(np.inf)


@aggregators.add("floatMax")
class FloatMax(_FloatingMax, _Float):
    """Greatest float."""

    type = "floatMax"
    neutral = np.float32(-np.inf)


def _long_sum(values: Values, groups: Groups) -> Values:
    if groups.single:
        return values[groups.order]
    return np.asarray(np.add.reduceat(values[groups.order], groups.starts))


def _with_zero(out: Values, values: Values, groups: Groups, *, negative: bool) -> Values:
    """Results that are zero, given the sign the group's zeros ask for; numpy leaves it open."""
    if not (out == 0).any():
        return out
    wanted = (values == 0) & (np.signbit(values) == negative)
    has = np.logical_or.reduceat(wanted, groups.starts)
    zero = np.where(has, -0.0 if negative else 0.0, 0.0 if negative else -0.0).astype(out.dtype)
    return np.where(out == 0, zero, out)
