"""compact: segments read, merged and written anew, one ingestion after the other under the task's id and locks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from overlord.errors import TaskFailed
from overlord.model.compaction_input import fault_of_input, input_interval
from overlord.model.segment import DataSegment
from workers.compaction.existing import Existing
from workers.compaction.plan import plan
from workers.context import TaskContext
from workers.report import Report
from workers.tasks import index, jobs

PRIORITY = 25


@jobs.add("compact")
def run(ctx: TaskContext) -> None:
    """Find the segments, plan, and run each ingestion; one that fails does not keep the others from running."""
    task = ctx.payload
    used = _used(ctx)
    if fault := fault_of_input(task["ioConfig"]["inputSpec"], used):
        raise TaskFailed(f"org.apache.druid.java.util.common.ISE: {fault}")
    specs = plan(task, used, lambda segments: Existing.of(segments, ctx.settings, ctx.dir))
    if not specs:
        raise TaskFailed(f"Can't find segments from inputSpec[{_told(task['ioConfig']['inputSpec'])}], nothing to do.")
    ctx.log.info("Generated [%d] compaction task specs", len(specs))
    failed = 0
    for number, spec in enumerate(specs):
        if ctx.stopping.is_set():
            raise TaskFailed("Task was asked to stop. Finish as failed.")
        try:
            index.run(_part(ctx, number, spec))
        except TaskFailed as failure:
            failed += 1
            interval = spec["ioConfig"]["inputSource"]["interval"]
            ctx.log.error("Compacting interval[%s] failed: %s", interval, failure.message)
    outcome = f"Ran [{len(specs)}] specs, [{len(specs) - failed}] succeeded, [{failed}] failed"
    ctx.log.info(outcome)
    if failed:
        raise TaskFailed(outcome)


def _used(ctx: TaskContext) -> list[DataSegment]:
    datasource = ctx.payload["dataSource"]
    interval = input_interval(ctx.payload["ioConfig"]["inputSpec"])
    action = {
        "type": "segmentListUsed",
        "dataSource": datasource,
        "intervals": [str(interval)],
        "visibility": "ONLY_VISIBLE",
    }
    return [DataSegment.from_json(each) for each in ctx.actions.submit(action) or []]


def _part(ctx: TaskContext, number: int, spec: dict[str, Any]) -> TaskContext:
    """The task as one of its ingestions sees it."""
    context = {
        "storeCompactionState": True,
        **ctx.context,
        "appenderatorTrackingTaskId": ctx.task_id,
        "priority": ctx.context.get("priority", PRIORITY),
    }
    folder = ctx.dir / f"spec-{number}"
    folder.mkdir()
    payload = {**ctx.payload, "type": "index_parallel", "spec": spec, "context": context}
    # without an Overlord to post sub-tasks to: it all happens here
    return replace(ctx, payload=payload, dir=folder, report=_NumberedReport(ctx.report, number), overlord=None)


class _NumberedReport(Report):
    """The report of the whole task, with a number behind each key."""

    def __init__(self, whole: Report, number: int) -> None:
        self._whole = whole
        self._number = number

    def set(self, key: str, payload: Any, *, type: str | None = None) -> None:
        self._whole.set(f"{key}_{self._number}", payload, type=type or key)

    def finish(self) -> bool:
        return self._whole.finish()


def _told(input_spec: dict[str, Any]) -> str:
    """An inputSpec in Druid's words."""
    if input_spec.get("type") == "segments":
        return f"SpecificSegmentsSpec{{segments=[{', '.join(input_spec['segments'])}]}}"
    told = input_spec.get("sha256OfSortedSegmentIds")
    return (
        f"CompactionIntervalSpec{{interval={input_spec['interval']}, "
        f"sha256OfSortedSegmentIds='{'null' if told is None else told}'}}"
    )
