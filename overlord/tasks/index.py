"""index and index_parallel."""

from __future__ import annotations

from overlord.model.granularity import Granularity
from overlord.model.interval import Interval, condense
from overlord.model.lock import LockRequest, batch_lock_type
from overlord.model.task import Task
from overlord.tasks.base import task_types


class BatchIngestion:
    """Locks the time chunks of the intervals it is given; without any it locks what it finds, while it runs."""

    priority = 50

    def lock_requests(self, task: Task) -> list[LockRequest]:
        """Adjacent chunks are one lock."""
        spec = task.payload["spec"]
        granularity_spec = spec["dataSchema"].get("granularitySpec") or {}
        intervals = [Interval.parse(text) for text in granularity_spec.get("intervals") or ()]
        if granularity_spec.get("type", "uniform") == "uniform":
            granularity = Granularity.parse(granularity_spec.get("segmentGranularity") or "DAY")
            intervals = [granularity.around(interval) for interval in condense(intervals)]
        kind = batch_lock_type(task.context, append=bool(spec["ioConfig"].get("appendToExisting")))
        return [LockRequest(interval=interval, type=kind) for interval in condense(intervals)]


task_types.add("index", "index_parallel")(BatchIngestion())
