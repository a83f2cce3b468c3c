"""The work of a parent: split the input, have it read by sub-tasks, publish once.

====================  ====================================================================================
dynamic               each split's segments by a sub-task; the parent counts and publishes them
hashed                [counts, if parts or intervals are not given]; each split parted; the parts merged
range, single_dim     how values lie; each split parted; the parts merged
====================  ====================================================================================

Files go through the exchange, as folders of whole segments in the end; the parent only moves them on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from overlord import faults
from overlord.errors import TaskFailed
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.model.shard_spec import ShardSpec
from overlord.model.subtasks import is_parent
from workers.context import TaskContext
from workers.exchange import open_exchange
from workers.ingest import Input
from workers.ingest.account import Ledger, Tolerance
from workers.ingest.building import BuiltSegment
from workers.ingest.partition import HashedPartitions, RangePartitions
from workers.ingest.partition.counting import bounds_of, cardinality, from_bytes, smallest, together
from workers.ingest.partition.hashed import shards_for
from workers.ingest.sources import Access, InputSource, SplitHint
from workers.parallel import handing
from workers.parallel.parts import bounds_to_json, merge_inputs, parts_of
from workers.parallel.phase import Phase, SubTaskSpec
from workers.parallel.shown import Shown
from workers.publish import open_pusher
from workers.publish.claims import LOCK_TIMEOUT_MS, Appending, Claims, Replacing
from workers.publish.transaction import Transaction
from workers.tasks.index import REPORT, Ingestion, failing_into

Result = Mapping[str, Any]

NO_ROWS = "No valid rows for range partitioning. All rows may have invalid timestamps or multiple dimension values."


def is_wanted(ctx: TaskContext) -> bool:
    """Whether the task works by sub-tasks: its spec wants it, the input can be split, and there is a slot for them."""
    if ctx.overlord is None or not is_parent(ctx.payload):
        return False
    if int(ctx.settings.get("druid.worker.capacity") or 1) < 2:
        ctx.log.warning("There is one slot only, which this task has: it works without sub-tasks")
        return False
    return _source(ctx).splittable


def run(ctx: TaskContext) -> None:
    """Ingest by sub-tasks, and report how it went."""
    shown = Shown(ctx)
    ctx.report.set(REPORT, shown.report())
    ctx.report.set("taskContext", ctx.context)
    with failing_into(ctx, shown.report):
        published = Parent(ctx, shown).run()
    ctx.report.set(REPORT, shown.report(published=published))
    ctx.log.info("Published [%d] segments of dataSource[%s]", published, ctx.payload["dataSource"])


def _source(ctx: TaskContext) -> InputSource:
    access = Access(actions=ctx.actions, scratch=ctx.dir)
    return Input(ctx.payload["spec"], ctx.settings, access=access).source


class Parent(Ingestion):
    """One ingestion by sub-tasks."""

    def __init__(self, ctx: TaskContext, shown: Shown) -> None:
        ledger = Ledger(Tolerance.from_json(ctx.payload["spec"].get("tuningConfig") or {}), determining=False)
        super().__init__(ctx, ledger)
        self._shown = shown
        self._exchange = open_exchange(ctx.settings)
        self._intervals = list(self._given)

    def run(self) -> int:
        """All phases; gives the number of segments."""
        if self._append and self._ctx.attempt > 1:
            self._exchange.remove(self._ctx.task_id)  # what was allocated is not ours any more
        if self._given:
            self._locks.held()
        splits = list(_source(self._ctx).splits(_hint(self._tuning)))
        if isinstance(self._partitions, HashedPartitions):
            results = self._hashed(splits, self._partitions)
        elif isinstance(self._partitions, RangePartitions):
            results = self._ranges(splits, self._partitions)
        else:
            results = self._phase("single_phase_sub_task", self._of_splits("single_phase_sub_task", splits))
        published = 0
        if not self._ctx.remarks:  # else Druid publishes nothing, not even that chunks are empty now
            published = self._publish_all([segment for result in results for segment in result["segments"]])
        self._exchange.remove(self._ctx.task_id)
        return published

    def _report(self) -> None:
        self._ctx.report.set(REPORT, self._shown.report())

    # ---- ways ----

    def _hashed(self, splits: Sequence[Any], partitions: HashedPartitions) -> list[Result]:
        extra: dict[str, Any] = {}
        if partitions.num_shards is None or not self._given:
            kind = "partial_dimension_cardinality"
            found: dict[str, list[Any]] = defaultdict(list)
            for result in self._phase(kind, self._of_splits(kind, splits)):
                for chunk, key in result["chunks"].items():
                    found[chunk].append(np.frombuffer(handing.required(self._exchange, key), np.uint64))
            self._found(found)
            if partitions.num_shards is None:
                counts = {c: shards_for(cardinality(smallest(h)), partitions.target_rows) for c, h in found.items()}
                extra["intervalToNumShardsOverride"] = counts
        return self._merged("partial_index_generate", splits, extra)

    def _ranges(self, splits: Sequence[Any], partitions: RangePartitions) -> list[Result]:
        kind = "partial_dimension_distribution"
        found: dict[str, list[Any]] = defaultdict(list)
        for result in self._phase(kind, self._of_splits(kind, splits)):
            for chunk, key in result["chunks"].items():
                found[chunk].append(from_bytes(handing.required(self._exchange, key)))
        if not found:
            self._ctx.remarks.append(NO_ROWS)
            return []
        self._found(found)
        bounds = {chunk: bounds_to_json(bounds_of(together(tables), partitions)) for chunk, tables in found.items()}
        return self._merged("partial_range_index_generate", splits, {"intervalToPartitions": bounds})

    def _merged(self, kind: str, splits: Sequence[Any], extra: Mapping[str, Any]) -> list[Result]:
        parts = parts_of(self._phase(kind, self._of_splits(kind, splits, extra)))
        url = self._ctx.overlord.address() if self._ctx.overlord is not None else ("localhost", -1)
        located = merge_inputs(parts, int(self._tuning.get("totalNumMergeTasks") or 10), *url)
        kind = "partial_index_generic_merge"
        specs = [
            SubTaskSpec(payload=self._payload(kind, n, {"type": kind, "partitionLocations": locations}, {}))
            for n, locations in enumerate(located)
        ]
        return self._phase(kind, specs)

    def _found(self, chunks: Iterable[str]) -> None:
        """Chunks that turned up; locked, those that touch by one lock, unless the spec named its intervals."""
        if not self._given:
            self._intervals = sorted(map(Interval.parse, chunks), key=lambda interval: interval.start)
            self._lock(set(self._intervals))

    def _lock_chunks(self, chunks: Iterable[Interval]) -> None:
        timeout_ms = int(self._ctx.context.get("taskLockTimeout") or LOCK_TIMEOUT_MS)
        for chunk in chunks:
            self._locks.take([chunk], timeout_ms)
        faults.point("after_lock")

    # ---- sub-tasks ----

    def _phase(self, kind: str, specs: Sequence[SubTaskSpec]) -> list[Result]:
        assert self._ctx.overlord is not None
        phase = Phase(
            parent=self._ctx.task_id,
            kind=kind,
            specs=specs,
            most=int(self._tuning.get("maxNumConcurrentSubTasks") or 1),
            tries=max(1, int(self._tuning.get("maxRetry") or 3)),
            look_s=max(1, int(self._tuning.get("taskStatusCheckPeriodMs") or 1000)) / 1000,
            exchange=self._exchange,
            overlord=self._ctx.overlord,
            changed=self._shown.show,
            stopping=self._ctx.stopping.is_set,
            done=self._result,
        )
        self._shown.begin(phase)
        return list(phase.run())

    def _result(self, result: Result) -> None:
        """A sub-task is done: lock the chunks of its segments, if they were not known."""
        self._shown.count(result)
        if self._given or self._append or "segments" not in result:
            return
        chunks = {Interval.parse(segment["interval"]) for segment in result["segments"]}
        new = chunks - set(self._intervals)
        self._intervals += sorted(new, key=lambda interval: interval.start)
        self._lock_chunks(self._intervals[len(self._intervals) - len(new) :])

    def _of_splits(self, kind: str, splits: Sequence[Any], extra: Mapping[str, Any] | None = None) -> list[SubTaskSpec]:
        io = self._spec["ioConfig"]
        return [
            SubTaskSpec(payload=self._payload(kind, n, {**io, "inputSource": split}, extra or {}), split=split)
            for n, split in enumerate(splits)
        ]

    def _payload(self, kind: str, number: int, io: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        data = self._spec["dataSchema"]
        if self._intervals and not self._append and kind != "single_phase_sub_task":
            granularity = {**(data.get("granularitySpec") or {}), "intervals": list(map(str, self._intervals))}
            data = {**data, "granularitySpec": granularity}
        return {
            "type": kind,
            "groupId": self._ctx.payload.get("groupId") or self._ctx.task_id,
            "supervisorTaskId": self._ctx.task_id,
            "subtaskSpecId": f"{self._ctx.task_id}_{number}",
            "spec": {"dataSchema": data, "ioConfig": dict(io), "tuningConfig": self._tuning},
            "context": self._ctx.context,
            **extra,
        }

    # ---- publishing ----

    def _publish_all(self, found: Sequence[Mapping[str, Any]]) -> int:
        claims: Claims = self._appending() if self._append else Replacing(self._datasource, self._locks)
        numbers: dict[str, int] = defaultdict(int)
        with Transaction(open_pusher(self._ctx.settings), self._ctx.actions) as transaction:
            segments = []
            for one in found:
                if self._ctx.stopping.is_set():
                    raise TaskFailed("Stopped while segments were pushed")
                number = numbers[one["interval"]]
                numbers[one["interval"]] += 1
                segments.append(transaction.push(self._fetch(one), self._claimed(claims, one, number)))
                self._ctx.progress(phase="PUSH", segments=len(segments))
            payloads = self._commit(transaction, segments, claims, self._chunks_of_spec())
        self._wait(payloads)
        self._shown.availability = self._ledger.availability
        return len(payloads)

    def _fetch(self, one: Mapping[str, Any]) -> Any:
        return self._exchange.fetch(one["key"], self._ctx.dir / "fetched")

    def _claimed(self, claims: Claims, one: Mapping[str, Any], number: int) -> DataSegment:
        if isinstance(claims, Appending):
            return replace(DataSegment.from_json(one["claimed"]), load_spec={})
        built = BuiltSegment(
            interval=Interval.parse(one["interval"]),
            order=number,
            directory=self._ctx.dir,
            rows=one["rows"],
            size=one["size"],
            dimensions=tuple(one["dimensions"]),
            metrics=tuple(one["metrics"]),
            shard_spec=ShardSpec.parse(one["shardSpec"]),
        )
        return claims.claim(built)


def _hint(tuning: Mapping[str, Any]) -> SplitHint:
    """From a splitHintSpec."""
    json = tuning.get("splitHintSpec") or {}
    of_segments = json.get("type") == "segments"
    most_bytes = json.get("maxInputSegmentBytesPerTask" if of_segments else "maxSplitSize")
    most = json.get("maxNumSegments" if of_segments else "maxNumFiles")
    default = SplitHint()
    return SplitHint(max_bytes=int(most_bytes or default.max_bytes), max_objects=int(most or default.max_objects))
