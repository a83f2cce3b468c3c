"""noop: does nothing, for as long as it is told to."""

from __future__ import annotations

import time

from overlord.errors import TaskFailed
from workers.context import TaskContext
from workers.tasks import jobs

DEFAULT_MS = 2500


@jobs.add("noop")
def run(ctx: TaskContext) -> None:
    """Wait `runTime` ms; 0 or none is 2500 and less than 0 fails at once."""
    run_ms = int(ctx.payload.get("runTime") or DEFAULT_MS)
    if run_ms < 0:
        raise TaskFailed(f"Run time of noop task is negative: {run_ms} ms")
    ctx.log.info("Running noop task[%s] for %d ms", ctx.task_id, run_ms)
    deadline = time.monotonic() + run_ms / 1000
    while (left_s := deadline - time.monotonic()) > 0:
        ctx.progress(runTimeMs=run_ms, leftMs=int(left_s * 1000))
        if ctx.stopping.wait(min(left_s, 1.0)):
            raise TaskFailed("Stopped before its time was over")
    ctx.log.info("Woke up!")
