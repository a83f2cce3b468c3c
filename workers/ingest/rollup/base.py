"""What an aggregator is: see `workers.ingest.rollup`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import polars as pl

from overlord.registry import Registry
from workers.ingest.rollup.ordering import Groups
from workers.ingest.rollup.state import State


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
