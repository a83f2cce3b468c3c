"""compact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from overlord.errors import BadRequest
from overlord.model.compaction_input import fault_of_input, input_interval
from overlord.model.granularity import AllGranularity, Granularity
from overlord.model.interval import Interval, condense
from overlord.model.lock import LockRequest, batch_lock_type
from overlord.model.segment import DataSegment
from overlord.model.task import Task
from overlord.tasks.base import task_types


class Compaction:
    """Locks the time chunks of the segments that it will rewrite."""

    priority = 25

    def lock_requests(self, task: Task) -> list[LockRequest]:
        """See `lock_requests_among`: without a look at the segments none can be told."""
        return []

    def lock_requests_among(
        self, task: Task, used: Callable[[Interval], Sequence[DataSegment]]
    ) -> Iterable[LockRequest]:
        """Whole chunks, adjacent ones as one lock."""
        input_spec = task.payload["ioConfig"]["inputSpec"]
        found = used(input_interval(input_spec))
        if fault := fault_of_input(input_spec, found):
            raise BadRequest(fault)
        told = (task.payload.get("granularitySpec") or {}).get("segmentGranularity")
        intervals = {segment.interval for segment in found}
        if told is not None and not isinstance(granularity := Granularity.parse(told), AllGranularity):
            intervals = {_aligned(granularity, interval) for interval in intervals}
        kind = batch_lock_type(task.context, append=False)
        return [LockRequest(interval=interval, type=kind) for interval in condense(intervals)]


def _aligned(granularity: Granularity, interval: Interval) -> Interval:
    return Interval(granularity.bucket(interval.start).start, granularity.bucket(interval.end - 1).end)


task_types.add("compact")(Compaction())
