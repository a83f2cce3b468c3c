"""WAITING: for a lock that others hold, or for the end of a back-off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from overlord import locks, schemas
from overlord.errors import OverlordError
from overlord.explain.base import Finding, Row, instant, length
from overlord.model.instant import now_ms
from overlord.model.interval import Interval
from overlord.model.timeline import visible
from overlord.store import explain as store
from overlord.store import segments
from overlord.tasks import ByItsSegments, task_types

if TYPE_CHECKING:
    from overlord.model.lock import LockRequest
    from overlord.model.task import Task
    from overlord.services import Services
    from overlord.store.db import Transaction


def find(services: Services, tx: Transaction, row: Row) -> Finding:
    """The lock that is in the way, its holders first of all."""
    if row["not_before_ms"] is not None and row["not_before_ms"] > now_ms():
        return _back_off(row)
    task, wanted = _wanted(tx, row)
    blocked_by = [each for request in wanted if task for each in locks.in_the_way(tx, task, request)]
    held = store.holders(tx, row["datasource"], {blocker["task_id"] for blocker in blocked_by})
    holders = [_holder(lock) for lock in held if _in_the_way(lock, blocked_by)]
    before = store.waiting_before(tx, row["datasource"], row["seq"])
    details: dict[str, Any] = {
        "lock": {
            "dataSource": row["datasource"],
            "wanted": [{"interval": str(each.interval), "type": each.type.value} for each in wanted],
            "holders": holders,
            "waitingBefore": before,
        }
    }
    if services.queue.draining:
        return Finding(kind="draining", cause="The server is about to stop and starts nothing more", details=details)
    if not holders:
        return Finding(kind="admission", cause="It is about to be tried: no lock known is in its way", details=details)
    first = holders[0]
    lock = _overlapping(wanted, first["interval"])
    since = f" since {first['since']}" if first["since"] else ""
    cause = (
        f"Waits for the {lock.type.value if lock else first['lockType']} lock on "
        f"{lock.interval if lock else first['interval']}: task [{first['task']}] holds {first['lockType']} on "
        f"{first['interval']}{since}"
    )
    return Finding(kind="lock", cause=cause, next_step=_next_step(row, first, len(holders)), details=details)


def _back_off(row: Row) -> Finding:
    left_ms = max(0, row["not_before_ms"] - now_ms())
    return Finding(
        kind="backoff",
        cause=f"Attempt {row['attempt']} failed; the next one is due in {length(left_ms)} (context.retry)",
        next_step="none: it goes on by itself. What went wrong stands under attempts",
    )


def _wanted(tx: Transaction, row: Row) -> tuple[Task | None, list[LockRequest]]:
    """The task with the locks it asks for; nothing where its payload cannot be read."""
    try:
        task = schemas.task_from_payload(orjson.loads(bytes(row["payload"])))
        kind = task_types[task.type]
        if not isinstance(kind, ByItsSegments):
            return task, list(kind.lock_requests(task))
        found = kind.lock_requests_among(
            task, lambda interval: visible(segments.used_overlapping(tx, task.datasource, [interval]))
        )
        return task, list(found)
    except (OverlordError, ValueError, KeyError, TypeError, AttributeError):
        return None, []


def _in_the_way(lock: Row, blocked_by: list[Row]) -> bool:
    interval = str(Interval(lock["start_ms"], lock["end_ms"]))
    return any(each["task_id"] == lock["task_id"] and each["interval"] == interval for each in blocked_by)


def _holder(lock: Row) -> dict[str, Any]:
    return {
        "task": lock["task_id"],
        "taskType": lock["task_type"],
        "taskState": lock["state"],
        "groupId": lock["group_id"],
        "priority": lock["priority"],
        "lockType": lock["type"],
        "interval": str(Interval(lock["start_ms"], lock["end_ms"])),
        "since": instant(lock["granted_ms"]),
    }


def _overlapping(wanted: list[LockRequest], interval: str) -> LockRequest | None:
    held = Interval.parse(interval)
    return next((each for each in wanted if each.interval.start < held.end and held.start < each.interval.end), None)


def _next_step(row: Row, holder: dict[str, Any], count: int) -> str:
    others = f" and {count - 1} more lock{'s' if count > 2 else ''} in its way are given back" if count > 1 else ""
    return (
        f"it goes on when task [{holder['task']}] ends{others}. To have it sooner: shut that task down, or submit "
        f"this one again with a context.priority above {holder['priority']} (now {row['priority']})"
    )
