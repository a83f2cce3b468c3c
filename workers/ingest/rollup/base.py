"""What an aggregator is: see `workers.ingest.rollup`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.registry import Registry
from workers.ingest.rollup.ordering import Groups


@dataclass(frozen=True, kw_only=True)
class State:
    """One partial aggregate a row.

    Attributes
    ----------
    values : ndarray of int64, float64 or float32, shape (rows,)
        Zero where there is none.
    valid : ndarray of bool, shape (rows,), or None
        False where no value was seen yet. None: there is one everywhere.
    """

    values: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return self.values.nbytes + (0 if self.valid is None else self.valid.nbytes)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> State:
        """The states at `rows`."""
        return State(values=self.values[rows], valid=None if self.valid is None else self.valid[rows])


class Aggregator(ABC):
    """One metric of a metricsSpec.

    Attributes
    ----------
    name : str
        The metric's column.
    kind : {"LONG", "DOUBLE", "FLOAT"}
        Type of its column in a segment.
    dtype : numpy dtype
        Of the state's values.
    """

    kind: ClassVar[str]
    dtype: ClassVar[np.dtype[Any]]

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    @abstractmethod
    def from_json(cls, json: Mapping[str, Any]) -> Aggregator:
        """From an entry of metricsSpec."""

    @abstractmethod
    def lift(self, values: pl.Series | None, rows: int) -> State:
        """The state of each of `rows` input rows by itself. `values` is None when the input has no such field."""

    @abstractmethod
    def fold(self, state: State, groups: Groups) -> State:
        """One state a group, each folded over its rows in their order."""

    @abstractmethod
    def combining(self) -> dict[str, Any]:
        """The aggregator that folds this one's results, as `metadata.drd` names it."""


aggregators: Registry[type[Aggregator]] = Registry("aggregator")
