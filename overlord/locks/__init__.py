"""Who may work on which stretch of time.

All of it is decided over rows of `ovl_locks`, within a transaction that has called `tx.lock_datasource`; each row has
its copy in Druid's own table. The rules are those of the references ("Locks"), observed on a 33.0.0.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from overlord.errors import ActionFailed, BadRequest
from overlord.locks.rules import coexist, reusable
from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval
from overlord.model.lock import LockRequest, LockType, TaskLock

if TYPE_CHECKING:
    from overlord.model.task import Task
    from overlord.store.db import Transaction

APPEND_VERSION = "1970-01-01T00:00:00.000Z"

__all__ = ["APPEND_VERSION", "Acquired", "active", "of_task", "release", "release_task", "try_acquire"]


@dataclass(frozen=True)
class Held:
    """A lock and the task that holds it; several tasks of a group may hold the same."""

    id: int
    task_id: str
    lock: TaskLock

    def described(self) -> dict[str, Any]:
        """As a blocker is told to people."""
        return {
            "task_id": self.task_id,
            "group_id": self.lock.group_id,
            "type": self.lock.type.value,
            "interval": str(self.lock.interval),
            "priority": self.lock.priority,
        }


@dataclass(frozen=True)
class Acquired:
    """Answer to a request.

    Attributes
    ----------
    lock : TaskLock or None
        What the task holds now; it may be an own lock that was revoked meanwhile.
    blockers : list of dict
        What is in the way, where there is no lock.
    """

    lock: TaskLock | None
    blockers: list[dict[str, Any]]


def try_acquire(tx: Transaction, task: Task, request: LockRequest, *, now_ms: int) -> Acquired:
    """Take a lock now or not at all.

    Raises
    ------
    ActionFailed
        The interval is empty, or the task is not active.
    """
    if request.interval.empty:
        raise ActionFailed("interval empty", java="java.lang.IllegalArgumentException")
    tx.lock_datasource(task.datasource)
    if tx.one("locks.is_active", id=task.id) is None:
        raise ActionFailed(f"Unable to grant lock to inactive Task [{task.id}]")
    held = _overlapping(tx, task.datasource, request.interval)
    own = [each for each in held if reusable(each.lock, task.group_id, request)]
    if own:
        return Acquired(_share(tx, task, own), [])
    standing = [each for each in held if not each.lock.revoked]
    conflicts = [each for each in standing if not coexist(each.lock, request)]
    if all(each.lock.priority < task.priority for each in conflicts):
        _revoke(tx, conflicts)
    elif not all(each.lock.group_id == task.group_id and each.lock.interval == request.interval for each in conflicts):
        return Acquired(None, [each.described() for each in conflicts])
    lock = TaskLock(
        type=request.type,
        group_id=task.group_id,
        datasource=task.datasource,
        interval=request.interval,
        version=request.version or _version(tx, task.datasource, request, now_ms),
        priority=task.priority,
        granularity=request.granularity,
        partition_id=request.partition_id,
    )
    _grant(tx, task.id, lock)
    return Acquired(lock, [])


def release(tx: Transaction, task_id: str, interval: Interval) -> bool:
    """Give back a task's time chunk locks, of whatever type, on exactly this interval."""
    return tx.run("locks.release", task_id=task_id, start_ms=interval.start, end_ms=interval.end) > 0


def release_task(tx: Transaction, task_id: str) -> bool:
    """Give back all that a task holds."""
    return tx.run("locks.release_task", task_id=task_id) > 0


def of_task(tx: Transaction, task_id: str) -> list[TaskLock]:
    """A task's locks in order of time, revoked ones too."""
    return [_held(row).lock for row in tx.all("locks.of_task", task_id=task_id)]


def active(tx: Transaction, datasource: str) -> list[TaskLock]:
    """All locks on a datasource in order of time, revoked ones too; one that tasks share comes once for each."""
    return [_held(row).lock for row in tx.all("locks.of_datasource", datasource=datasource)]


def _overlapping(tx: Transaction, datasource: str, interval: Interval) -> list[Held]:
    rows = tx.all("locks.overlapping", datasource=datasource, start_ms=interval.start, end_ms=interval.end)
    return [_held(row) for row in rows]


def _held(row: dict[str, Any]) -> Held:
    lock = TaskLock(
        type=LockType(row["type"]),
        group_id=row["group_id"],
        datasource=row["datasource"],
        interval=Interval(row["start_ms"], row["end_ms"]),
        version=row["version"],
        priority=row["priority"],
        revoked=row["revoked"],
        granularity=row["granularity"],
        partition_id=row["partition_id"],
    )
    return Held(row["id"], row["task_id"], lock)


def _share(tx: Transaction, task: Task, own: list[Held]) -> TaskLock:
    """The group's lock, with the task among its holders."""
    best = min(own, key=lambda each: (each.lock.revoked, each.task_id != task.id, each.id)).lock
    if not any(each.task_id == task.id and each.lock == best for each in own):
        _grant(tx, task.id, best)
    return best


def _version(tx: Transaction, datasource: str, request: LockRequest, now_ms: int) -> str:
    """The time of granting; later than any segment there, however fast tasks follow or clocks go back."""
    if request.type is LockType.APPEND:
        return APPEND_VERSION
    if request.version_is_now:
        return format_instant(now_ms)
    interval = request.interval
    row = tx.one(
        "locks.newest_version",
        datasource=datasource,
        start=format_instant(interval.start),
        end=format_instant(interval.end),
    )
    if row is not None and row["version"] is not None:
        with contextlib.suppress(BadRequest):  # a version that is no time
            now_ms = max(now_ms, parse_instant(row["version"]) + 1)
    return format_instant(now_ms)


def _revoke(tx: Transaction, conflicts: list[Held]) -> None:
    """Mark locks as lost; their owners find out when they ask or publish."""
    rows = [
        {"id": each.id, "payload": orjson.dumps(replace(each.lock, revoked=True).to_json(stored=True))}
        for each in conflicts
    ]
    tx.run_many("locks.revoke", rows=rows)


def _grant(tx: Transaction, task_id: str, lock: TaskLock) -> None:
    tx.run(
        "locks.grant",
        task_id=task_id,
        group_id=lock.group_id,
        datasource=lock.datasource,
        granularity=lock.granularity,
        type=lock.type.value,
        start_ms=lock.interval.start,
        end_ms=lock.interval.end,
        version=lock.version,
        partition_id=lock.partition_id,
        priority=lock.priority,
        revoked=lock.revoked,
        payload=orjson.dumps(lock.to_json(stored=True)),
    )
