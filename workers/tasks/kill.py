"""kill: rows of unused segments first, then their files, batch by batch.

Whatever dies in between leaves files without rows, never rows without files. A file that another row still has stays:
copies of a segment that were made by a concurrent replace share its file.
"""

from __future__ import annotations

from typing import Any

from overlord import faults
from overlord.errors import TaskFailed
from workers.context import TaskContext
from workers.publish.unused import UnusedSegments
from workers.tasks import jobs

REPORT = "killUnusedSegments"


@jobs.add("kill")
def run(ctx: TaskContext) -> None:
    """Delete what is unused inside the interval, for good."""
    task = ctx.payload
    batch_size, limit = int(task["batchSize"]), task.get("limit")
    most_batches = None if limit is None else -(-int(limit) // batch_size)
    unused = UnusedSegments(ctx.actions, ctx.settings, task_id=ctx.task_id, datasource=task["dataSource"])
    killed = batches = 0
    while True:
        if ctx.stopping.is_set():
            raise TaskFailed(f"Stopped after [{batches}] batches and [{killed}] segments")
        size = batch_size if limit is None else min(int(limit) - killed, batch_size)
        if size <= 0:
            break
        listed, gone = _batch(ctx, unused, size)
        batches += 1
        killed += gone
        ctx.log.info("Processed [%d] batches, killed [%d] segments", batches, killed)
        ctx.progress(segments=killed, batches=batches)
        if not listed or batches == most_batches:
            break
    ctx.report.set(REPORT, {"numSegmentsKilled": killed, "numBatchesProcessed": batches})


def _batch(ctx: TaskContext, unused: UnusedSegments, size: int) -> tuple[int, int]:
    """One batch: how many rows were listed, and how many segments went with their files."""
    task = ctx.payload
    only: dict[str, Any] = {"limit": size}
    for name in ("versions", "maxUsedStatusLastUpdatedTime"):
        if task.get(name) is not None:
            only[name] = task[name]
    segments = unused.listed(task["interval"], **only)
    if not segments:
        return 0, 0
    unused.check_locks(segments)
    for segment in segments:
        unused.store(segment.get("loadSpec"))  # what it cannot delete, it leaves alone
    ctx.actions.submit({"type": "segmentNuke", "segments": segments, "unusedOnly": True})
    faults.point("after_nuke")
    gone = unused.unreferenced(segments)
    if len(gone) < len(segments):
        ctx.log.info("Files of [%d] segments stay, as other segments have them too", len(segments) - len(gone))
    unused.remove_files(gone)
    return len(segments), len(gone)
