"""What an aggregator is: see `workers.ingest.rollup`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.registry import Registry
from workers.ingest.rollup.ordering import Groups
from workers.ingest.rollup.state import Cells, State


class Aggregator(ABC):
    """One metric of a metricsSpec.

    Attributes
    ----------
    name : str
        The metric's column.
    kind : str
        Type of its column in a segment: LONG, DOUBLE, FLOAT, or COMPLEX<...>.
    """

    kind: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    @abstractmethod
    def from_json(cls, json: Mapping[str, Any]) -> Aggregator:
        """From an entry of metricsSpec."""

    @abstractmethod
    def lift(self, values: pl.Series | None, rows: int) -> State:
        """The state of each of `rows` input rows by itself.

        Parameters
        ----------
        values : Series or None
            The input, as `workers.ingest.transform.metrics` gives it; None where there is no such field.
        """

    @abstractmethod
    def fold(self, state: State, groups: Groups) -> State:
        """One state a group, each folded over its rows in their order."""

    @abstractmethod
    def combining(self) -> dict[str, Any]:
        """The aggregator that folds this one's results, as `metadata.drd` names it."""

    def shown(self, state: State) -> list[Any]:
        """Results as values of JSON, bytes apart; None where no row had one."""
        values: list[Any] = state.values.tolist()
        if state.values.dtype == np.float32:
            values = [short(value) for value in values]
        if state.valid is None:
            return values
        return [value if there else None for value, there in zip(values, state.valid.tolist(), strict=True)]


class Complex(Aggregator):
    """A metric whose column is one of byte strings."""

    @property
    def type_name(self) -> str:
        """Druid's name of the column's type."""
        return self.kind.removeprefix("COMPLEX<").removesuffix(">")

    def stored(self, state: State) -> tuple[Cells, npt.NDArray[np.bool_] | None]:
        """The bytes of each row as a segment keeps them, and which rows are null."""
        return state.stored, None

    def shown(self, state: State) -> list[Any]:
        cells, nulls = self.stored(state)
        found = cells.to_list()
        return list(found) if nulls is None else [None if null else c for c, null in zip(found, nulls, strict=True)]


def short(value: float) -> float:
    """A float of 32 bits as the double that prints like it."""
    return float(str(np.float32(value)))


aggregators: Registry[type[Aggregator]] = Registry("aggregator")
