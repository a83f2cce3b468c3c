"""What would come of a task, without accepting it: every fault of its spec, a sample of its input, locks, segments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from overlord import schemas
from overlord.errors import BadRequest
from overlord.locks import Board
from overlord.locks.outlook import outlook
from overlord.model.instant import now_ms
from overlord.model.interval import Interval, condense
from overlord.model.lock import LockRequest, batch_lock_type
from overlord.runners.asking import NoAnswer
from overlord.schemas.faults import SpecRefused
from overlord.schemas.unknown import unknown_properties
from overlord.tasks import task_types

if TYPE_CHECKING:
    from overlord.model.task import Task
    from overlord.services import Services

ROWS = 2000
TIMEOUT_MS = 10_000
_SAMPLED = ("index", "index_parallel")
_MANY_BAD = 0.05


def dry_run(parts: Services, body: Any) -> dict[str, Any]:
    """Judge a posted task.

    Returns
    -------
    dict
        `valid`, `faults` and `warnings` (path, message, hint each), and, as far as the spec can be read: `task`,
        `sample`, `intervals`, `locks`, `segments`.
    """
    told: dict[str, Any] = {
        "dryRun": True,
        "valid": False,
        "task": None,
        "faults": [],
        "warnings": _misspelt(body),
        "sample": None,
        "intervals": [],
        "locks": [],
        "segments": None,
    }
    try:
        task = schemas.load_task(
            body,
            now_ms=now_ms(),
            default_context=parts.settings["druid.indexer.task.default.context"] or {},
            settings=parts.settings,
        )
    except SpecRefused as refused:
        told["faults"] = [_remark(path, text, text.hint) for path, text in refused.faults]
        return told
    except BadRequest as refused:
        told["faults"] = [_remark(refused.where, refused.message, refused.hint)]
        return told
    told["task"] = {"id": task.id, "type": task.type, "dataSource": task.datasource, "priority": task.priority}
    if task.type in _SAMPLED:
        try:
            told |= _judged(parts, task)
        except NoAnswer as error:
            told["faults"] = [_remark(error.where or "spec.ioConfig", error.message, error.hint)]
    told["valid"] = not told["faults"]
    told["locks"] = _locks(parts, task, told["intervals"])
    told["warnings"] += _doubts(task, told)
    return told


def _judged(parts: Services, task: Task) -> dict[str, Any]:
    timeout_ms = min(TIMEOUT_MS, int(parts.settings["ovl.ask.timeout"]))
    body = {"spec": task.payload["spec"], "rows": ROWS, "timeoutMs": timeout_ms}
    found: dict[str, Any] = orjson.loads(parts.runner.ask("dry_run", body, timeout_ms / 1000))
    return found


def _locks(parts: Services, task: Task, intervals: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the task must have before it starts; or, where it finds its intervals itself, those of the sample."""
    requests = list(task_types[task.type].lock_requests(task))
    if not requests and intervals:
        io = task.payload["spec"]["ioConfig"]
        kind = batch_lock_type(task.context, append=bool(io.get("appendToExisting")))
        found = condense([Interval.parse(each["interval"]) for each in intervals])
        requests = [LockRequest(interval=interval, type=kind) for interval in found]
    if not requests:
        return []
    with parts.db.transaction() as tx:
        board = Board(tx, task.datasource)
        return [outlook(board, task, request).to_json() for request in requests]


def _misspelt(body: Any) -> list[dict[str, Any]]:
    return [
        _remark(
            each.path,
            "This property is not known, and is ignored",
            f"did you mean {each.nearest}?" if each.nearest else None,
        )
        for each in unknown_properties(body)
    ]


def _doubts(task: Task, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is no fault, and still hardly meant."""
    found = []
    for lock in told["locks"]:
        if lock["outcome"] == "waits":
            holders = ", ".join(sorted({each["task_id"] for each in lock["blockers"]}))
            found.append(_remark("", f"It would wait for the lock on {lock['interval']}, held by {holders}", None))
        elif lock["outcome"] == "preempts":
            holders = ", ".join(sorted({each["task_id"] for each in lock["blockers"]}))
            found.append(_remark("", f"It would take the lock on {lock['interval']} away from {holders}", None))
    sample = told["sample"]
    if sample is None:
        return found
    bad = sample["rowsWithErrors"] + sample["rowsUnparseable"]
    tuning = task.payload["spec"].get("tuningConfig") or {}
    most = 0 if tuning.get("reportParseExceptions") else tuning.get("maxParseExceptions")
    if most is not None and bad > most:
        path = "spec.tuningConfig.maxParseExceptions"
        found.append(_remark(path, f"The task would fail: {bad} bad rows in the sample, {most} are allowed", None))
    elif sample["rowsRead"] and sample["badShare"] >= _MANY_BAD:
        found.append(_remark("", f"{sample['badShare']:.1%} of the rows of the sample are bad", "see sample.badRows"))
    if sample["rowsOutsideIntervals"]:
        path = "spec.dataSchema.granularitySpec.intervals"
        found.append(_remark(path, f"{sample['rowsOutsideIntervals']} rows of the sample lie outside of them", None))
    if not sample["rowsRead"]:
        found.append(_remark("spec.ioConfig.inputSource", "No rows were found", None))
    return found


def _remark(path: str | None, message: str, hint: str | None) -> dict[str, Any]:
    return {"path": path or None, "message": str(message), "hint": hint}
