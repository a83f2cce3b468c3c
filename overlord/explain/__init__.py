"""One cause for where a task stands, and what to do about it: `GET task/{id}/explain`.

Each state has its module, which turns rows, runner, log and report into a `Finding`. Nothing here decides or changes
anything. Keys are in camelCase, as Druid's; docs/http-api.md lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from overlord.explain import attempts, ended, pending, running, waiting
from overlord.explain.base import Finding, instant
from overlord.store import explain as store

if TYPE_CHECKING:
    from overlord.services import Services

__all__ = ["explain"]

_STATES = {"WAITING": waiting.find, "PENDING": pending.find, "RUNNING": running.find}


def explain(services: Services, task_id: str) -> dict[str, Any] | None:
    """The answer; None for an unknown task."""
    with services.db.transaction() as tx:
        row = store.facts(tx, task_id)
        if row is None:
            return None
        events = store.events(tx, task_id)
        if row["active"] and not row["ours"]:
            finding = _foreign()
        elif row["active"] and row["state"] in _STATES:
            finding = _STATES[row["state"]](services, tx, row)
        else:
            finding = ended.find(services, tx, row)
    stored = orjson.loads(row["status_payload"])
    state = row["state"] if row["active"] and row["ours"] else stored.get("status")
    return {
        "task": task_id,
        "type": row["type"],
        "groupId": row["group_id"],
        "dataSource": row["datasource"],
        "priority": row["priority"],
        "createdTime": row["created_date"],
        "state": state,
        "since": _since(row, events),
        "kind": finding.kind,
        "cause": finding.cause,
        "nextStep": finding.next_step,
        **finding.details,
        **attempts.retry_of(row),
        "attempts": attempts.listed(row, events, stored),
    }


def _foreign() -> Finding:
    return Finding(
        kind="foreign",
        cause="Another Overlord accepted this task and left it unfinished; this one does not touch it",
        next_step="take it over with `overlord adopt`, once the other Overlord is stopped",
    )


def _since(row: dict[str, Any], events: list[dict[str, Any]]) -> str | None:
    """When it came to its state."""
    moves = [event for event in events if event["from_state"] != event["to_state"]]
    return instant(moves[-1]["at_ms"]) if moves else row["ended_date"]
