"""move, archive and restore: unused segments taken to another place of deep storage.

A batch is copied, then its rows name the copies, then the old files go, unless another row has them. Whatever dies in
between leaves files without rows, never rows without files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from overlord import faults
from overlord.errors import TaskFailed
from overlord.model.segment import DataSegment
from workers.context import TaskContext
from workers.publish.base import Pusher
from workers.publish.unused import Payload, UnusedSegments
from workers.tasks import jobs

BATCH = 100

Target = Callable[[Pusher], dict[str, Any]]


@jobs.add("move")
def move(ctx: TaskContext) -> None:
    """To `target`."""
    _relocate(ctx, lambda store: dict(ctx.payload.get("target") or {}))


@jobs.add("archive")
def archive(ctx: TaskContext) -> None:
    """To the archive of the deep storage."""
    _relocate(ctx, lambda store: store.archive())


@jobs.add("restore")
def restore(ctx: TaskContext) -> None:
    """To where segments are pushed."""
    _relocate(ctx, lambda store: store.home())


def _relocate(ctx: TaskContext, target: Target) -> None:
    task = ctx.payload
    unused = UnusedSegments(ctx.actions, ctx.settings, task_id=ctx.task_id, datasource=task["dataSource"])
    segments = unused.listed(task["interval"])
    ctx.log.info("Found [%d] unused segments in interval[%s]", len(segments), task["interval"])
    moved = 0
    for start in range(0, len(segments), BATCH):
        if ctx.stopping.is_set():
            raise TaskFailed(f"Stopped after [{moved}] segments")
        moved += _batch(ctx, unused, segments[start : start + BATCH], target)
        ctx.progress(segments=moved, segmentsSeen=min(start + BATCH, len(segments)))
    ctx.log.info("Took [%d] of [%d] segments to their new place", moved, len(segments))


def _batch(ctx: TaskContext, unused: UnusedSegments, segments: Sequence[Payload], target: Target) -> int:
    unused.check_locks(segments)
    before, after, stores = [], [], set()
    for segment in segments:
        store = unused.store(segment.get("loadSpec"))
        copied = None if store is None else store.copy(DataSegment.from_json(segment), target(store))
        if copied is None or copied == segment["loadSpec"]:
            ctx.log.info("No action was taken for [%s]", segment["identifier"])
            continue
        before.append(segment)
        after.append(segment | {"loadSpec": copied})
        stores.add(store)
    if not after:
        return 0
    for store in stores:
        assert store is not None
        store.settle()
    faults.point("after_copy")
    ctx.actions.submit({"type": "segmentMetadataUpdate", "segments": after})
    faults.point("after_update")
    unused.remove_files(unused.unreferenced(before))
    return len(after)
