"""Who may work on which stretch of time.

All of it is decided over rows of `ovl_locks`, within a transaction that has called `tx.lock_datasource`; each row has
its copy in Druid's own table. The rules are those of the references ("Locks"), observed on a 33.0.0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from overlord.errors import ActionFailed, BadRequest
from overlord.locks.rules import coexist, concurrent_segment, reusable
from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval
from overlord.model.lock import LockRequest, LockType, TaskLock

if TYPE_CHECKING:
    from overlord.model.task import Task
    from overlord.store.db import Transaction

APPEND_VERSION = "1970-01-01T00:00:00.000Z"

__all__ = [
    "APPEND_VERSION",
    "Acquired",
    "Board",
    "active",
    "in_the_way",
    "of_task",
    "release",
    "release_task",
    "try_acquire",
]


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


class Board:
    """Locks of one datasource during one transaction, so that many requests need few questions.

    What is granted and revoked through it is seen by the requests that follow; nothing else can change meanwhile,
    since the transaction has the datasource to itself.
    """

    def __init__(self, tx: Transaction, datasource: str) -> None:
        tx.lock_datasource(datasource)
        self._tx = tx
        self._datasource = datasource
        self._held: dict[int, Held] = {}
        self._read: set[Interval] = set()
        self._found: dict[Interval, list[Held]] = {}
        self._active: dict[str, bool] = {}

    def read(self, intervals: Iterable[Interval]) -> None:
        """Read all locks that overlap any of these, in one go."""
        missing = [interval for interval in dict.fromkeys(intervals) if interval not in self._read]
        if not missing:
            return
        rows = self._tx.all(
            "locks.overlapping",
            datasource=self._datasource,
            starts=[interval.start for interval in missing],
            ends=[interval.end for interval in missing],
        )
        self._held.update({row["id"]: self._held.get(row["id"]) or _held(row) for row in rows})
        self._read.update(missing)
        self._found.clear()

    def read_active(self, task_ids: Iterable[str]) -> None:
        """Find out which of these tasks are active. They stay so until the transaction ends."""
        missing = [task_id for task_id in dict.fromkeys(task_ids) if task_id not in self._active]
        if missing:
            active = {row["id"] for row in self._tx.all("locks.active", ids=missing)}
            self._active.update({task_id: task_id in active for task_id in missing})

    def is_active(self, task_id: str) -> bool:
        """Whether a task may hold locks: accepted and not ended."""
        self.read_active([task_id])
        return self._active[task_id]

    def overlapping(self, interval: Interval) -> list[Held]:
        """In order of granting."""
        self.read([interval])
        found = self._found.get(interval)
        if found is None:
            there = (each for each in self._held.values() if each.lock.interval.overlaps(interval))
            found = self._found[interval] = sorted(there, key=lambda each: each.id)
        return found

    def grant(self, task_id: str, lock: TaskLock) -> None:
        """Write a new row."""
        granted = Held(_grant(self._tx, task_id, lock), task_id, lock)
        self._held[granted.id] = granted
        self._found.clear()

    def drop(self, locks: list[Held]) -> None:
        """Give some back."""
        if locks:
            self._tx.run("locks.drop", ids=[each.id for each in locks])
            self._held = {id_: each for id_, each in self._held.items() if each not in locks}
            self._found.clear()

    def revoke(self, conflicts: list[Held]) -> None:
        """Mark locks as lost; their owners find out when they ask or publish."""
        lost = [replace(each, lock=replace(each.lock, revoked=True)) for each in conflicts]
        self._held.update({each.id: each for each in lost})
        self._found.clear()
        rows = [{"id": each.id, "payload": orjson.dumps(each.lock.to_json(stored=True))} for each in lost]
        self._tx.run_many("locks.revoke", rows=rows)


def try_acquire(
    tx: Transaction, task: Task, request: LockRequest, *, now_ms: int, board: Board | None = None
) -> Acquired:
    """Take a lock now or not at all.

    Parameters
    ----------
    board : Board, optional
        Of the task's datasource, when the transaction takes more than this lock.

    Raises
    ------
    ActionFailed
        The interval is empty, or the task is not active.
    """
    if request.interval.empty:
        raise ActionFailed("interval empty", java="java.lang.IllegalArgumentException")
    board = board or Board(tx, task.datasource)
    if not board.is_active(task.id):
        raise ActionFailed(f"Unable to grant lock to inactive Task [{task.id}]")
    held = board.overlapping(request.interval)
    own = [each for each in held if reusable(each.lock, task.group_id, request)]
    if own:
        shared = _share(board, task, own)
        board.drop(_redundant(board, task, shared))
        return Acquired(shared, [])
    standing = [each for each in held if not each.lock.revoked]
    conflicts = [each for each in standing if not coexist(each.lock, request)]
    if all(each.lock.priority < task.priority for each in conflicts):
        board.revoke(conflicts)
    elif concurrent_segment(request) or not all(
        each.lock.group_id == task.group_id and each.lock.interval == request.interval for each in conflicts
    ):
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
    board.grant(task.id, lock)
    board.drop(_redundant(board, task, lock))
    return Acquired(lock, [])


def _redundant(board: Board, task: Task, granted: TaskLock) -> list[Held]:
    """APPEND locks of a task that it needs no more, now that it has one on more time."""
    if granted.type is not LockType.APPEND or granted.revoked:
        return []
    return [
        each
        for each in board.overlapping(granted.interval)
        if each.task_id == task.id
        and each.lock.type is LockType.APPEND
        and not each.lock.revoked
        and each.lock.interval != granted.interval
        and granted.interval.contains(each.lock.interval)
    ]


def in_the_way(tx: Transaction, task: Task, request: LockRequest) -> list[dict[str, Any]]:
    """What keeps a task from a lock, as it looks now: for people to read, nothing is taken or held still."""
    interval = request.interval
    rows = tx.all("locks.overlapping", datasource=task.datasource, starts=[interval.start], ends=[interval.end])
    held = [_held(row) for row in rows]
    if any(reusable(each.lock, task.group_id, request) for each in held):
        return []
    conflicts = [each for each in held if not each.lock.revoked and not coexist(each.lock, request)]
    if all(each.lock.priority < task.priority for each in conflicts):
        return []
    return [each.described() for each in conflicts]


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


def _share(board: Board, task: Task, own: list[Held]) -> TaskLock:
    """The group's lock, with the task among its holders."""
    best = min(own, key=lambda each: (each.lock.revoked, each.task_id != task.id, each.id)).lock
    if not any(each.task_id == task.id and each.lock == best for each in own):
        board.grant(task.id, best)
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


def _grant(tx: Transaction, task_id: str, lock: TaskLock) -> int:
    row = tx.one(
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
    assert row is not None
    return int(row["id"])
