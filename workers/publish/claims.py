"""What makes built rows a segment others can name: its version and its partition number.

Replacing, the version is that of the task's lock, and partitions are numbered from 0. Appending, the Overlord
allocates both, and perhaps another interval than asked for, so that the segment joins those that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from overlord.errors import TaskFailed
from overlord.model.granularity import Granularity
from overlord.model.instant import format_instant
from overlord.model.interval import Interval, condense
from overlord.model.lock import batch_lock_type
from overlord.model.segment import DataSegment
from overlord.model.shard_spec import ShardSpec
from workers.client import Actions as Actions
from workers.ingest.building import Buckets, BuiltSegment

LOCK_TIMEOUT_MS = 300_000


def lock_type(context: Mapping[str, Any], *, append: bool) -> str:
    """The lock a batch task takes, by its context."""
    return batch_lock_type(context, append=append).value


class Locks:
    """The task's locks, by interval."""

    def __init__(self, actions: Actions, kind: str) -> None:
        self._actions = actions
        self._kind = kind
        self._held: list[tuple[Interval, str]] = []

    def held(self) -> None:
        """Those it was given before it ran."""
        for lock in self._actions.submit({"type": "lockList"}) or []:
            self._take(lock)

    def take(self, intervals: Iterable[Interval], timeout_ms: int) -> None:
        """One lock for each stretch of adjacent intervals, in order of time; waits for other tasks."""
        for interval in condense(intervals):
            action = {"lockType": self._kind, "interval": str(interval)}
            lock = self._actions.submit({"type": "lockTryAcquire"} | action)
            if lock is None:
                lock = self._actions.submit({"type": "lockAcquire"} | action | {"timeoutMs": timeout_ms})
            if lock is None:
                raise TaskFailed(
                    f"Failed to get locks: another task has held interval[{interval}] for {timeout_ms} ms. "
                    "Context taskLockTimeout sets how long to wait"
                )
            self._take(lock)

    def version(self, interval: Interval) -> str:
        """Version of segments made under the lock on `interval`."""
        for held, version in self._held:
            if held.contains(interval):
                return version
        raise TaskFailed(f"The task holds no lock on interval[{interval}]")

    def _take(self, lock: Mapping[str, Any]) -> None:
        if lock.get("revoked"):
            raise TaskFailed(f"Lock for interval[{lock['interval']}] was revoked by a task of higher priority")
        self._held.append((Interval.parse(lock["interval"]), lock["version"]))


class Replacing:
    """Claims for segments that replace what was there."""

    def __init__(self, datasource: str, locks: Locks) -> None:
        self._datasource = datasource
        self._locks = locks

    def claim(self, built: BuiltSegment) -> DataSegment:
        """The segment as it is pushed; `complete` puts in how many its chunk has."""
        version = self._locks.version(built.interval)
        return _segment(self._datasource, built, built.interval, version, built.shard_spec.counted(built.order, 1))

    def complete(self, segments: Sequence[DataSegment]) -> list[dict[str, Any]]:
        """Payloads to publish."""
        sizes: dict[Interval, int] = {}
        for segment in segments:
            sizes[segment.interval] = sizes.get(segment.interval, 0) + 1
        return [
            replace(s, shard_spec=s.shard_spec.counted(s.shard_spec.partition_num, sizes[s.interval])).to_json()
            for s in segments
        ]


class Appending:
    """Claims for segments that join what is there."""

    def __init__(
        self,
        datasource: str,
        actions: Actions,
        *,
        sequence: str,
        lock_type: str,
        query_granularity: Granularity,
        segment_granularity: Granularity,
        lineage: bool = True,
    ) -> None:
        self._datasource = datasource
        self._actions = actions
        self._lineage = lineage
        self._request = {
            "type": "segmentAllocate",
            "dataSource": datasource,
            "queryGranularity": query_granularity.to_json(),
            "preferredSegmentGranularity": segment_granularity.to_json(),
            "sequenceName": sequence,
            "skipSegmentLineageCheck": not lineage,
            "shardSpecFactory": {"type": "numbered"},
            "lockGranularity": "TIME_CHUNK",
            "taskLockType": lock_type,
        }
        self._previous: str | None = None
        self._waiting: dict[Interval, Mapping[str, Any]] = {}

    def allocate(self, instant: int) -> Interval:
        """The interval of the segment that will take the row of an instant."""
        answer = self._ask(instant)
        interval = Interval.parse(answer["interval"])
        self._waiting[interval] = answer
        return interval

    def claim(self, built: BuiltSegment) -> DataSegment:
        """The segment as it is pushed and published."""
        answer = self._waiting.pop(built.interval, None)
        if answer is None:  # a further partition of the chunk
            answer = self._ask(built.interval.start)
        interval = Interval.parse(answer["interval"])
        if interval != built.interval:
            raise TaskFailed(f"The segment allocated for interval[{built.interval}] covers interval[{interval}]")
        return _segment(self._datasource, built, interval, answer["version"], ShardSpec.parse(answer["shardSpec"]))

    def complete(self, segments: Sequence[DataSegment]) -> list[dict[str, Any]]:
        """Payloads to publish."""
        return [segment.to_json() for segment in segments]

    def _ask(self, instant: int) -> Mapping[str, Any]:
        when = format_instant(instant)
        answer = self._actions.submit(self._request | {"timestamp": when, "previousSegmentId": self._previous})
        if answer is None:
            raise TaskFailed(
                f"org.apache.druid.java.util.common.ISE: Failed to add a row with timestamp[{when}]\n"
                "No segment could be allocated for it. Its time chunk may "
                "be locked by another task, or its segments lie across the one asked for"
            )
        if self._lineage:
            self._previous = str(DataSegment.from_json(answer).id)
        result: Mapping[str, Any] = answer
        return result


Claims = Replacing | Appending


def _segment(
    datasource: str, built: BuiltSegment, interval: Interval, version: str, shard_spec: ShardSpec
) -> DataSegment:
    return DataSegment(
        datasource=datasource,
        interval=interval,
        version=version,
        shard_spec=shard_spec,
        dimensions=built.dimensions,
        metrics=built.metrics,
        size=built.size,
    )


def tombstones(
    actions: Actions, datasource: str, buckets: Buckets, filled: Iterable[Interval], locks: Locks
) -> list[dict[str, Any]]:
    """Payloads that empty those chunks of the task's intervals which hold segments now and got no new ones."""
    new = set(filled)
    asked = [str(interval) for interval in buckets.wanted]
    used = actions.submit(
        {"type": "segmentListUsed", "dataSource": datasource, "intervals": asked, "visibility": "ONLY_VISIBLE"}
    )
    there = buckets.within(Interval.parse(segment["interval"]) for segment in used or [])
    return [
        DataSegment(
            datasource=datasource,
            interval=chunk,
            version=locks.version(chunk),
            shard_spec=ShardSpec.parse({"type": "tombstone", "partitionNum": 0, "partitions": 0}),
            load_spec={"type": "tombstone", "path": None},
            binary_version=None,
            size=1,
        ).to_json()
        for chunk in there
        if chunk not in new
    ]
