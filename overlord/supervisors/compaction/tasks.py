"""The compact task for a candidate, as Druid's Coordinator would issue it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from overlord.model.compaction_input import hash_of_ids
from overlord.model.granularity import STANDARD, Granularity
from overlord.model.instant import format_instant
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.schemas.task import letters
from overlord.supervisors.compaction.policy import Candidate, umbrella

PREFIX = "coordinator-issued_"
Json = Mapping[str, Any]


def compact_task(config: Json, candidate: Candidate, now_ms: int) -> dict[str, Any]:
    """JSON of the task."""
    datasource = candidate.datasource
    told = config.get("granularitySpec") or {}
    granularity = told.get("segmentGranularity") or _granularity_of(candidate.segments)
    interval = _aligned(candidate.interval, granularity)
    dropping = (config.get("ioConfig") or {}).get("dropExisting") or all(each.tombstone for each in candidate.segments)
    task: dict[str, Any] = {
        "type": "compact",
        "id": f"{PREFIX}compact_{datasource}_{letters()}_{format_instant(now_ms)}",
        "dataSource": datasource,
        "ioConfig": {
            "type": "compact",
            "inputSpec": {
                "type": "interval",
                "interval": str(interval),
                "sha256OfSortedSegmentIds": hash_of_ids(candidate.segments),
            },
            "dropExisting": bool(dropping),
        },
        "granularitySpec": {
            "segmentGranularity": granularity,
            "queryGranularity": told.get("queryGranularity"),
            "rollup": told.get("rollup"),
        },
        "tuningConfig": _tuning(config),
        "context": {
            **(config.get("taskContext") or {}),
            "priority": config["taskPriority"],
            "storeCompactionState": True,
            "compactionReason": candidate.reason,
        },
    }
    for name in ("dimensionsSpec", "metricsSpec", "transformSpec", "projections"):
        if config.get(name) is not None:
            task[name] = config[name]
    return task


def _granularity_of(segments: Sequence[DataSegment]) -> str | None:
    """The granularity that the segments have, if Druid has a name for it."""
    span = umbrella(each.interval for each in segments)
    for name in STANDARD:
        if Granularity.parse(name).bucket(span.start) == span:
            return name
    return None


def _aligned(interval: Interval, granularity: Any) -> Interval:
    if granularity is None:
        return interval
    cut = Granularity.parse(granularity)
    return Interval(cut.bucket_start(interval.start), cut.bucket(interval.end - 1).end)


def _tuning(config: Json) -> dict[str, Any]:
    tuning = {name: value for name, value in (config.get("tuningConfig") or {}).items() if value is not None}
    if "partitionsSpec" not in tuning and config.get("maxRowsPerSegment") is not None:
        tuning["maxRowsPerSegment"] = config["maxRowsPerSegment"]
    return {**tuning, "type": "index_parallel"}


def slots_of(task: Json) -> int:
    """Most slots that a compact task takes at once."""
    tuning = task.get("tuningConfig") or {}
    sub_tasks = tuning.get("maxNumConcurrentSubTasks") or 1
    by_range = (tuning.get("partitionsSpec") or {}).get("type") in ("range", "single_dim")
    given = tuning.get("maxNumConcurrentSubTasks") is not None
    return sub_tasks + 1 if given and sub_tasks >= (1 if by_range else 2) else 1


def available_slots(total: int, cluster: Json, busy: int) -> int:
    """Slots that may be given to compaction now; one at least while none is busy."""
    most = int(cluster["maxCompactionTaskSlots"])
    if most <= 0:
        return 0
    capacity = min(int(total * float(cluster["compactionTaskSlotRatio"])), most)
    return max(0, capacity - busy) if busy else max(1, capacity)
