"""RUNNING: where, since when, and how far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from overlord.explain.base import Finding, Row, length
from overlord.model.instant import now_ms, parse_instant
from overlord.outcome import time_left_ms

if TYPE_CHECKING:
    from overlord.services import Services
    from overlord.store.db import Transaction

_SILENT_BEATS = 10


def find(services: Services, tx: Transaction, row: Row) -> Finding:
    """The worker and what it last said."""
    identity = row["identity"] or {}
    details: dict[str, Any] = {
        "worker": {
            "host": None if row["host"] is None else f"{row['host']}:{row['port']}",
            "machine": identity.get("host"),
            "pid": identity.get("pid"),
            "runner": row["runner"],
        },
        "startedTime": row["started_date"],
        "attempt": row["attempt"],
        "progress": row["progress"],
        "heartbeatAgeMs": row["heartbeat_age_ms"],
    }
    left_ms = time_left_ms(row)
    if left_ms is not None:
        details["timeoutMs"], details["timeLeftMs"] = row["timeout_ms"], max(0, left_ms)
    if not identity:
        return Finding(kind="starting", cause="It has a slot; its process is about to report in", details=details)
    silent_ms = row["heartbeat_age_ms"] or 0
    if silent_ms > _SILENT_BEATS * int(services.settings["ovl.task.heartbeat"]):
        return Finding(
            kind="silent",
            cause=f"Its worker, process {identity.get('pid')} on {identity.get('host')}, has said nothing for "
            f"{length(silent_ms)}",
            next_step="look at its log; a process that is gone is noticed by itself, one that hangs can be shut down",
            details=details,
        )
    trouble = (row["progress"] or {}).get("trouble")
    runs_ms = max(0, now_ms() - parse_instant(row["started_date"]))
    return Finding(
        kind="running",
        cause=f"Runs as process {identity.get('pid')} on {identity.get('host')} for {length(runs_ms)}{_phase(row)}"
        + (f"; its last try to go on: {trouble}" if trouble else ""),
        next_step="it goes on trying; see that what it names can be reached from the worker" if trouble else None,
        details=details,
    )


def _phase(row: Row) -> str:
    progress = row["progress"] or {}
    phase, rows = progress.get("phase"), progress.get("rows")
    told = [f"phase {phase}" if phase else "", f"{rows:,} rows read" if isinstance(rows, int) else ""]
    text = ", ".join(filter(None, told))
    return f": {text}" if text else ""
