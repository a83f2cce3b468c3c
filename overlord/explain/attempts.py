"""The attempts at a task, from its events."""

from __future__ import annotations

from typing import Any

from overlord.explain.base import Row, instant
from overlord.model.attempts import Retry

_ENDS = {
    "succeeded": "SUCCESS",
    "failed": "FAILED",
    "shutdown": "FAILED",
    "retried": "FAILED",
    "restarted": "NOT_BEGUN",
}


def retry_of(row: Row) -> dict[str, Any]:
    """Key `retry`, where the task has such a policy."""
    policy = Retry.from_json(row["retry"])
    if policy is None:
        return {}
    told = {**policy.to_json(), "failedAttempts": row["retries"], "nextAttemptTime": instant(row["not_before_ms"])}
    return {"retry": told}


def listed(row: Row, events: list[Row], stored: Row) -> list[dict[str, Any]]:
    """Each attempt that began, with how it ended; one still at work has no end."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        number = event["attempt"]
        if event["event"] == "started":
            found[number] = _begun(number, event, row)
        elif event["event"] in _ENDS and number in found:
            _end(found[number], event, row, stored)
    return list(found.values())


def _begun(number: int, event: Row, row: Row) -> dict[str, Any]:
    current = number == row["attempt"]
    return {
        "attempt": number,
        "startedTime": instant(event["at_ms"]),
        "endedTime": None,
        "status": "RUNNING",
        "cause": None,
        "worker": f"{row['host']}:{row['port']}" if current and row["host"] else None,
        "pid": (row["identity"] or {}).get("pid") if current else None,
    }


def _end(attempt: dict[str, Any], event: Row, row: Row, stored: Row) -> None:
    detail = event["detail"] or {}
    attempt["endedTime"] = instant(event["at_ms"])
    attempt["status"] = _ENDS[event["event"]]
    if event["event"] == "retried":
        attempt["cause"] = detail.get("cause") or detail.get("error")
        attempt["worker"] = f"{detail['host']}:{detail['port']}" if detail.get("host") else None
        attempt["pid"] = (detail.get("identity") or {}).get("pid")
    elif attempt["status"] == "FAILED":
        attempt["cause"] = row["cause"] or stored.get("errorMsg")
