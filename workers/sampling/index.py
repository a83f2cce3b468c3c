"""Typed rows as they would stand in a segment: times truncated, rolled up if asked for, metrics finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from overlord.model.granularity import Granularity
from workers.ingest.building.schema import aggregator
from workers.ingest.rollup import Aggregator, Groups, State
from workers.ingest.rollup.state import stack
from workers.ingest.transform import Examined
from workers.sampling.values import cast, python_values, wire

TIME = "__time"


class Index:
    """The rows of a sample, as columns.

    Parameters
    ----------
    data_schema : mapping
    dimensions : sequence of str
        In the order in which they are shown.
    as_is : set of str
        Those whose values keep the type they came with.
    casts : mapping of str to str
        Types that values of these are made to have.
    """

    def __init__(
        self,
        data_schema: Mapping[str, Any],
        dimensions: Sequence[str],
        as_is: frozenset[str],
        casts: Mapping[str, str],
    ) -> None:
        granularity = data_schema.get("granularitySpec") or {}
        self.rollup = granularity.get("rollup", True) is not False
        self.aggregators: list[Aggregator] = [aggregator(each) for each in data_schema.get("metricsSpec") or ()]
        self.dimensions = [name for name in dimensions if name != TIME]
        self.values: dict[str, list[Any]] = {name: [] for name in self.dimensions}
        self._granularity = Granularity.parse(granularity.get("queryGranularity") or "NONE")
        self._as_is = as_is
        self._casts = casts
        self._times: list[int] = []
        self._states: list[list[State]] = [[] for _ in self.aggregators]

    def add(self, step: Examined) -> None:
        """Add the rows of a step."""
        rows = len(step.kept)
        times = step.columns[TIME].to_numpy()
        starts = self._granularity.bucket_starts(times)
        # The bucket that has all of time starts at 1970 for Druid's index, which holds nothing older.
        self._times += np.where(times >= 0, np.maximum(starts, 0), starts).tolist()
        for name, column in self.values.items():
            column.extend(self._column(step, name, rows))
        for each, states in zip(self.aggregators, self._states, strict=True):
            states.append(each.lift(None if each.name in self.values else step.columns.get(each.name), rows))

    def _column(self, step: Examined, name: str, rows: int) -> list[Any]:
        if name in self._as_is:
            raw = step.raw.columns.get(name)
            values = [None] * rows if raw is None else raw.gather(step.kept).to_list()
            return [cast(value, self._casts[name]) for value in values] if name in self._casts else values
        typed = step.columns.get(name)
        return [None] * rows if typed is None else python_values(typed)

    def parsed(self) -> list[dict[str, Any] | None]:
        """Each row as it would be stored; None for one that became part of an earlier one."""
        groups = self._groups()
        firsts = groups.first.tolist()
        metrics = {
            each.name: each.shown(each.fold(stack(states), groups)) if states else []
            for each, states in zip(self.aggregators, self._states, strict=True)
        }
        found: list[dict[str, Any] | None] = [None] * len(self._times)
        for number, row in enumerate(firsts):
            shown = {TIME: self._times[row]}
            shown |= {name: wire(column[row]) for name, column in self.values.items()}
            found[row] = shown | {name: wire(column[number]) for name, column in metrics.items()}
        return found

    def _groups(self) -> Groups:
        """Rows of equal time and dimensions together, in the order of their first ones."""
        rows = len(self._times)
        if not self.rollup:
            return Groups(np.arange(rows), np.arange(rows))
        known: dict[Any, int] = {}
        ids: npt.NDArray[np.intp] = np.array(
            [known.setdefault(self._key(row), len(known)) for row in range(rows)], np.intp
        )
        order = np.argsort(ids, kind="stable")
        return Groups(order, np.searchsorted(ids[order], np.arange(len(known))))

    def _key(self, row: int) -> tuple[Any, ...]:
        return (self._times[row], *(_hashable(column[row]) for column in self.values.values()))


def _hashable(value: Any) -> Any:
    """What two values must share to be one: 1 is 1.0, but neither is true."""
    if isinstance(value, list | dict):
        return orjson.dumps(wire(value), option=orjson.OPT_SORT_KEYS)
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value), value
