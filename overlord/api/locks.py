"""What is locked, for whoever plans work around it (the Coordinator's compaction does)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response

from overlord import locks
from overlord.api.wire import INT_MAX, JSON, answer, json_body, kind, services
from overlord.errors import BadRequest, BareText
from overlord.model.interval import Interval
from overlord.model.lock import LockType, TaskLock
from overlord.schemas.base import token

bp = Blueprint("locks", __name__, url_prefix="/druid/indexer/v1")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One entry of the request: a datasource, and which of its locks the asker minds."""

    datasource: str
    priority: int = 0
    intervals: tuple[Interval, ...] | None = None
    context: dict[str, Any] = field(default_factory=dict)

    def passes_append(self, lock_type: str) -> bool:
        """Whether the asker, who will take locks of `lock_type`, is not in the way of APPEND locks."""
        return self.context.get("useConcurrentLocks") is True or self.context.get("taskLockType") == lock_type

    def overlaps(self, lock: TaskLock) -> bool:
        """Whether a lock touches the intervals asked for; all do if none were."""
        return self.intervals is None or any(lock.interval.overlaps(interval) for interval in self.intervals)


@bp.post("/activeLocks")
def active_locks() -> Response:
    """The locks themselves, by datasource."""

    def shown(wanted: Filter, lock: TaskLock) -> bool:
        return wanted.overlaps(lock) and not (lock.type is LockType.APPEND and wanted.passes_append("APPEND"))

    found = _find(shown)
    return answer({"datasourceToLocks": {name: [lock.to_json(stored=True) for lock in some] for name, some in found}})


@bp.post("/lockedIntervals/v2")
def locked_intervals() -> Response:
    """The intervals alone; as in Druid whatever intervals were asked for."""

    def shown(wanted: Filter, lock: TaskLock) -> bool:
        return not (lock.type is LockType.APPEND and wanted.passes_append("REPLACE"))

    return answer({name: list(dict.fromkeys(str(lock.interval) for lock in some)) for name, some in _find(shown)})


def _find(shown: Callable[[Filter, TaskLock], bool]) -> list[tuple[str, list[TaskLock]]]:
    """Locks that are not revoked, of at least the filter's priority, and `shown`; by datasource that has any."""
    found: dict[str, dict[TaskLock, None]] = {}
    filters = _filters()
    with services().db.transaction() as tx:
        for wanted in filters:
            for lock in locks.active(tx, wanted.datasource):
                if not lock.revoked and lock.priority >= wanted.priority and shown(wanted, lock):
                    found.setdefault(wanted.datasource, {})[lock] = None
    return [(name, list(some)) for name, some in found.items()]


def _filters() -> list[Filter]:
    body = json_body()
    if body is None or body == []:
        raise BareText("No filter provided", content_type=JSON)
    if not isinstance(body, list):
        shown = "String value (token `JsonToken.VALUE_STRING`)" if isinstance(body, str) else token(body)
        java = "java.util.ArrayList<org.apache.druid.metadata.LockFilterPolicy>"
        raise BadRequest(f"Cannot deserialize value of type `{java}` from {shown}", hint="send an array of filters")
    return [found for number, entry in enumerate(body) if (found := _filter(entry, number)) is not None]


def _filter(entry: Any, number: int) -> Filter | None:
    """One filter; None for one without datasource, which finds nothing."""
    if not isinstance(entry, dict):
        raise BadRequest(f"Filter [{number}] must be an object, got {kind(entry)}", where=f"[{number}]")
    datasource, priority = entry.get("datasource"), entry.get("priority")
    intervals, context = entry.get("intervals"), entry.get("context")
    for name, value, wanted in (
        ("datasource", datasource, str),
        ("priority", priority, (int, float)),
        ("intervals", intervals, list),
        ("context", context, dict),
    ):
        if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
            where = f"[{number}].{name}"
            raise BadRequest(f"Cannot read '{name}' of filter [{number}]: got {kind(value)}", where=where)
    if priority is not None and not -INT_MAX - 1 <= priority <= INT_MAX:
        raise BadRequest(f"'priority' of filter [{number}] is no 32-bit integer", where=f"[{number}].priority")
    parsed = None
    if intervals is not None:
        parsed = tuple(_interval(text, f"[{number}].intervals") for text in intervals)
    if datasource is None or "\0" in datasource:
        return None
    return Filter(
        datasource=datasource,
        priority=int(priority or 0),
        intervals=parsed,
        context=context or {},
    )


def _interval(value: Any, where: str) -> Interval:
    if not isinstance(value, str):
        raise BadRequest(f"An interval must be a string, got {kind(value)}", where=where)
    return Interval.parse(value)
