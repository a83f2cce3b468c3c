"""SUCCESS and FAILED: what was published, or the first cause."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from overlord.explain.base import Finding, Row, length
from overlord.explain.hints import hint_for
from overlord.store import explain as store

if TYPE_CHECKING:
    from overlord.services import Services
    from overlord.store.db import Transaction

_TAIL_BYTES = 8192
_TAIL_LINES = 20
_LONGEST_REPORT = 16 * 1024 * 1024
_LONGEST_SENTENCE = 2000

_EXCEPTION = re.compile(r"^(?:[a-z_][\w$]*\.)*([A-Z][\w$]*): ", re.MULTILINE)
_PLACES = (
    re.compile(r"\(Path: (?P<file>[^,\n]+)(?:, Record: (?P<record>\d+))?(?:, Line: (?P<line>\d+))?\)"),
    re.compile(r"in (?P<file>\S[^,\n]*), line (?P<line>\d+)(?=: |$)", re.MULTILINE),
    re.compile(r"Cannot (?:read|list) (?:file |folder )?(?P<file>https?://\S+?|/[^:\n]+): "),
    re.compile(r"(?:No file below|baseDir) (?P<file>/\S+)"),
)


def find(services: Services, tx: Transaction, row: Row) -> Finding:
    """How it ended."""
    stored = orjson.loads(row["status_payload"])
    ingestion = _ingestion(services, row["id"])
    if stored.get("status") == "SUCCESS":
        return _success(tx, row, stored, ingestion)
    return _failure(services, row, stored, ingestion)


def _success(tx: Transaction, row: Row, stored: Row, ingestion: Row) -> Finding:
    ledger = store.published(tx, row["id"])
    segments = ledger["segments"] if ledger["publishes"] else ingestion.get("segmentsPublished")
    rows = _row_stats(ingestion)
    told = [
        f"{segments} segments published" if segments is not None else "",
        f"{rows['processed']:,} rows kept" if rows else "",
    ]
    duration_ms = int(stored.get("duration", -1))
    took = f" after {length(duration_ms)}" if duration_ms >= 0 else ""
    more = ", ".join(filter(None, told))
    cause = f"Succeeded{took}{': ' if more else ''}{more}"
    success = {"segmentsPublished": segments, "rows": rows, "durationMs": duration_ms}
    if row["cause"]:
        cause += f". Its process failed after the publish, which stands: {_headline(row['cause'])[:_LONGEST_SENTENCE]}"
        success["failureAfterPublish"] = row["cause"]
    return Finding(kind="success", cause=cause, details={"success": success})


def _failure(services: Services, row: Row, stored: Row, ingestion: Row) -> Finding:
    shown = str(stored.get("errorMsg") or "")
    reported = str(ingestion.get("errorMsg") or "")
    whole = row["cause"] or reported or shown or "No cause was given"
    # Of the three the one that a person can read: errorMsg, in full where the report or our row has it.
    short = reported or (shown if "characters omitted..." not in shown else _headline(whole)) or _headline(whole)
    hint = hint_for(short, whole)
    bad_row = _bad_row(ingestion)
    place = _place(short, whole, *bad_row.get("details", ()))
    exceptions = _EXCEPTION.findall(whole)
    failure = {
        "cause": whole,
        "phase": ingestion.get("ingestionState"),
        "exception": exceptions[-1] if exceptions else None,
        "inputFile": place.get("file"),
        "line": place.get("line"),
        "record": place.get("record"),
        "row": bad_row.get("input"),
        "rows": _row_stats(ingestion),
        "logTail": _tail(services, row["id"]),
    }
    return Finding(
        kind=hint.kind,
        cause=short[:_LONGEST_SENTENCE],
        next_step=hint.step.replace("{id}", row["id"]),
        details={"failure": failure},
    )


def _headline(text: str) -> str:
    """Of a traceback its last line, else the first one."""
    lines = text.strip().splitlines()
    return lines[-1] if lines and lines[0].startswith("Traceback") else (lines[0] if lines else text)


def _ingestion(services: Services, task_id: str) -> Row:
    """The payload of the report's `ingestionStatsAndErrors`; empty without one."""
    report = services.logs.report(task_id)
    if report is None or len(report) > _LONGEST_REPORT:
        return {}
    try:
        payload = orjson.loads(report)["ingestionStatsAndErrors"]["payload"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _row_stats(ingestion: Row) -> dict[str, int] | None:
    """The counters of building, from either of Druid's two shapes; of determining when it never came to build."""
    stats = ingestion.get("rowStats") or {}
    stats = stats.get("totals") or stats
    phases = [stats.get("buildSegments") or {}, stats.get("determinePartitions") or {}]
    return next((phase for phase in phases if any(phase.values())), phases[0] or None)


def _bad_row(ingestion: Row) -> dict[str, Any]:
    """The newest bad row that the report remembers."""
    events = ingestion.get("unparseableEvents") or {}
    for phase in ("buildSegments", "determinePartitions"):
        if events.get(phase):
            return dict(events[phase][0])
    return {}


def _place(*texts: str) -> dict[str, Any]:
    for text in texts:
        for pattern in _PLACES:
            if found := pattern.search(text):
                place: dict[str, Any] = found.groupdict()
                return place | {name: int(place[name]) for name in ("line", "record") if place.get(name)}
    return {}


def _tail(services: Services, task_id: str) -> list[str]:
    """The last lines of its log; of the first one at most a part."""
    data = services.logs.read(task_id, -_TAIL_BYTES) or b""
    return data.decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
