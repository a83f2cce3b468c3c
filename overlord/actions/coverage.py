"""Whether a task holds the locks for what it wants to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from overlord import locks
from overlord.actions import java_text
from overlord.errors import ActionFailed
from overlord.model.lock import LockType, TaskLock
from overlord.model.segment import DataSegment

if TYPE_CHECKING:
    from overlord.model.task import Task
    from overlord.store.db import Transaction

_SHOWN = 20


def check_locks(tx: Transaction, task: Task, segments: Sequence[DataSegment]) -> list[TaskLock]:
    """Be alone with the datasources, and sure that every segment lies under a lock of the task.

    Returns
    -------
    list of TaskLock
        The task's locks that stand.

    Raises
    ------
    ActionFailed
        A segment is not covered.
    """
    for datasource in sorted({segment.datasource for segment in segments} | {task.datasource}):
        tx.lock_datasource(datasource)
    held = locks.of_task(tx, task.id)
    standing = [lock for lock in held if not lock.revoked]
    bad = [segment for segment in segments if not any(covers(lock, segment) for lock in standing)]
    if bad:
        texts = [java_text.segment(segment) for segment in bad[:_SHOWN]]
        texts += [f"and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
        raise ActionFailed(
            f"Segments[{java_text.listed(texts)}] are not covered by locks"
            f"[{java_text.listed(map(java_text.lock, held))}] for task[{task.id}]"
        )
    return standing


def covers(lock: TaskLock, segment: DataSegment) -> bool:
    """Whether a lock is enough to write a segment. Versions compare as texts; APPEND covers any."""
    if lock.datasource != segment.datasource or not lock.interval.contains(segment.interval):
        return False
    if lock.granularity == "segment":
        return lock.version == segment.version and lock.partition_id == segment.shard_spec.partition_num
    return lock.type is LockType.APPEND or lock.version >= segment.version
