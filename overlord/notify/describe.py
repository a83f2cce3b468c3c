"""What an event says: the task or supervisor, and of a task that has ended what it has made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from overlord.model.instant import format_instant
from overlord.store import events as store

if TYPE_CHECKING:
    from overlord.logs import TaskLogs
    from overlord.store.db import Transaction

Json = dict[str, Any]

_ENDED = ("SUCCESS", "FAILED")
_MOST_SEGMENTS = 1000
_COUNTS = ("processed", "processedBytes", "processedWithError", "thrownAway", "unparseable")


def describe(tx: Transaction, logs: TaskLogs, rows: Iterable[Mapping[str, Any]]) -> list[Json]:
    """JSON of events, in their order."""
    every = list(rows)
    ended = [row["subject"] for row in every if row["kind"] == "task" and row["to_state"] in _ENDED]
    segments: dict[str, list[tuple[str, str]]] = defaultdict(list)
    if ended:
        for row in store.published(tx, ended):
            segments[row["task_id"]].append((row["id"], row["interval"]))
    return [_event(row, segments, logs) for row in every]


def _event(row: Mapping[str, Any], segments: Mapping[str, list[tuple[str, str]]], logs: TaskLogs) -> Json:
    at_ms = round(row["at"].timestamp() * 1000)
    out = {"id": row["id"], "at": format_instant(at_ms), "kind": row["kind"], "event": row["event"]}
    if row["kind"] == "supervisor":
        out |= {"supervisorId": row["subject"], "type": row["type"], "dataSource": row["datasource"]}
        return out if row["to_state"] is None else out | {"fromState": row["from_state"], "state": row["to_state"]}
    out |= {
        "taskId": row["subject"],
        "type": row["type"],
        "dataSource": row["datasource"],
        "groupId": row["group_id"],
        "attempt": row["attempt"],
        "fromState": row["from_state"],
        "state": row["to_state"],
    }
    if row["to_state"] not in _ENDED:
        return out
    made = segments.get(row["subject"], [])
    return out | {
        "errorMsg": row["cause"] if row["to_state"] == "FAILED" else None,
        "intervals": sorted({interval for _, interval in made}),
        "segmentCount": len(made),
        "segments": sorted(name for name, _ in made)[:_MOST_SEGMENTS],
        "rows": _rows(logs, row["subject"]),
    }


def _rows(logs: TaskLogs, task_id: str) -> Json | None:
    """Row counts from the task's report; None if it has none."""
    try:
        text = logs.report(task_id)
        report = None if text is None else orjson.loads(text)
    except (OSError, ValueError):
        return None
    if not isinstance(report, dict):
        return None
    totals: Json = {}
    for name, part in report.items():
        if not name.startswith("ingestionStatsAndErrors") or not isinstance(part, dict):
            continue
        stats = (part.get("payload") or {}).get("rowStats") or {}
        stats = (stats.get("totals") or stats).get("buildSegments") or {}
        for count in _COUNTS:
            totals[count] = totals.get(count, 0) + int(stats.get(count) or 0)
    return totals or None
