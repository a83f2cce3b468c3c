"""Which time chunk a row belongs to, and whether it is wanted at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from overlord.errors import TaskFailed
from overlord.model.granularity import ALL, AllGranularity, Granularity
from overlord.model.instant import format_instant
from overlord.model.interval import Interval, condense

Times = npt.NDArray[np.int64]


class Buckets:
    """Time chunks of a segmentGranularity.

    Parameters
    ----------
    intervals : iterable of Interval
        Of the granularitySpec. If there are any, only rows of the chunks they touch are kept.
    """

    def __init__(self, granularity: Granularity, intervals: Iterable[Interval] = ()) -> None:
        self._granularity = granularity
        self._wanted = condense(granularity.around(wide) for wide in intervals)
        self._known: dict[int, Interval] = {}
        if self._wanted and isinstance(granularity, AllGranularity):  # which leaves given intervals as they are
            self._known = {chunk.start: chunk for chunk in self._wanted}

    def within(self, stretches: Iterable[Interval]) -> list[Interval]:
        """The chunks of `intervals` that overlap one of some stretches of time."""
        parts = condense(stretches)
        common = [shared for wanted in self._wanted for part in parts if (shared := wanted.intersect(part))]
        if isinstance(self._granularity, AllGranularity):
            return [wanted for wanted in self._wanted if any(map(wanted.overlaps, common))]
        return sorted({chunk for part in common for chunk in self._granularity.intervals(part)})

    @property
    def wanted(self) -> list[Interval]:
        """The time of the chunks of `intervals`, in order; those that touch are one."""
        return self._wanted

    def keep(self, times: Times) -> npt.NDArray[np.bool_] | None:
        """Which rows lie in a wanted chunk; None if all do."""
        if not self._wanted:
            return None
        starts = np.array([i.start for i in self._wanted])
        ends = np.array([i.end for i in self._wanted])
        at = np.searchsorted(starts, times, side="right") - 1
        inside = (at >= 0) & (times < ends[at])
        return None if inside.all() else inside

    def starts(self, times: Times) -> Times:
        """Start of each row's chunk."""
        if self._wanted and isinstance(self._granularity, AllGranularity):
            given = np.array([i.start for i in self._wanted])
            return given[np.searchsorted(given, times, side="right") - 1]
        return self._granularity.bucket_starts(times)

    def interval(self, start: int) -> Interval:
        """The chunk that begins at `start`."""
        if start not in self._known:
            self._known[start] = self._granularity.bucket(start)
        return self._known[start]


class FixedBuckets(Buckets):
    """Chunks that are given one by one and need not be of one length; rows outside are not wanted.

    Parameters
    ----------
    intervals : iterable of Interval
        None overlaps another.
    """

    def __init__(self, intervals: Iterable[Interval]) -> None:
        super().__init__(ALL)
        self._chunks = sorted(set(intervals))
        self._wanted = condense(self._chunks)
        self._known = {chunk.start: chunk for chunk in self._chunks}
        self._starts = np.array([chunk.start for chunk in self._chunks], np.int64)

    def within(self, stretches: Iterable[Interval]) -> list[Interval]:
        """Those chunks that overlap one of some stretches of time."""
        parts = condense(stretches)
        return [chunk for chunk in self._chunks if any(map(chunk.overlaps, parts))]

    def keep(self, times: Times) -> npt.NDArray[np.bool_] | None:
        """Which rows lie in a chunk."""
        return super().keep(times) if self._chunks else np.zeros(len(times), np.bool_)

    def starts(self, times: Times) -> Times:
        """Start of each row's chunk; of the next one or the first for rows that lie in none."""
        if not self._chunks:
            return np.zeros(len(times), np.int64)
        return self._starts[np.maximum(np.searchsorted(self._starts, times, side="right") - 1, 0)]


class AllocatedBuckets(Buckets):
    """Chunks as the Overlord allocates them, which follow the segments that are there already.

    Parameters
    ----------
    allocate : callable
        From an instant to the interval of the segment that will take its row.
    """

    def __init__(
        self, granularity: Granularity, intervals: Iterable[Interval], allocate: Callable[[int], Interval]
    ) -> None:
        super().__init__(granularity, intervals)
        self._allocate = allocate
        self._chunks: list[Interval] = []

    def starts(self, times: Times) -> Times:
        """Start of each row's chunk; asks for those not known yet."""
        out, found = self._look_up(times)
        while not found.all():
            instant = int(times[int(np.argmin(found))])
            chunk = self._allocate(instant)
            if not chunk.contains_instant(instant):
                raise TaskFailed(f"The segment allocated for [{format_instant(instant)}] covers [{chunk}] only")
            self._chunks = sorted([*self._chunks, chunk], key=lambda c: c.start)
            self._known[chunk.start] = chunk
            out, found = self._look_up(times)
        return out

    def _look_up(self, times: Times) -> tuple[Times, npt.NDArray[Any]]:
        if not self._chunks:
            return np.zeros(len(times), np.int64), np.zeros(len(times), np.bool_)
        starts = np.array([c.start for c in self._chunks])
        ends = np.array([c.end for c in self._chunks])
        at = np.maximum(np.searchsorted(starts, times, side="right") - 1, 0)
        return starts[at], (times >= starts[at]) & (times < ends[at])
