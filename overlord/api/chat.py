"""What a running parent says of its sub-tasks, at the place that `location` names.

In Druid each task answers for itself; here tasks have no server of their own, and this one reads what they write down.
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response, request

from overlord.api.wire import JSON, answer, raw, services, waiting
from overlord.chat import ask
from overlord.errors import BareText, NoBody, NotFound
from overlord.model.subtasks import is_parent
from overlord.store import listing
from overlord.store import tasks as store

bp = Blueprint("chat", __name__, url_prefix="/druid/worker/v1/chat/<name:task_id>")

FILE = "subtasks.json"
SEQUENTIAL = "task is running in the sequential mode"
NOT_YET = "task is not running yet"
_TALKING = ("index", "index_parallel")
STREAMING = "index_kafka"
_ASK_S = 10.0


@bp.get("/mode")
def mode(task_id: str) -> Response:
    """`parallel` or `sequential`."""
    return raw("parallel" if _is_parallel(_payload(task_id)) else "sequential")


@bp.get("/phase")
def phase(task_id: str) -> Response:
    """Name of the phase that is under way."""
    return raw(str(_shown(task_id, unknown=404)["phase"]))


@bp.get("/progress")
def progress(task_id: str) -> Response:
    """How many sub-tasks of the phase run, have succeeded, are expected."""
    return answer(_shown(task_id)["progress"])


@bp.get("/subtasks/running")
def running(task_id: str) -> Response:
    """Ids of the sub-tasks that run."""
    return answer([spec["running"] for spec in _shown(task_id)["specs"] if spec["running"]])


@bp.get("/subtaskspecs")
def specs(task_id: str) -> Response:
    """What there is to do in the phase, as one spec a sub-task."""
    return answer([spec["spec"] for spec in _shown(task_id)["specs"]])


@bp.get("/subtaskspecs/running")
def running_specs(task_id: str) -> Response:
    """Specs that a sub-task works on."""
    return answer([spec["spec"] for spec in _shown(task_id)["specs"] if spec["running"]])


@bp.get("/subtaskspecs/complete")
def complete_specs(task_id: str) -> Response:
    """Specs that are done."""
    return answer([spec["spec"] for spec in _shown(task_id)["specs"] if spec["complete"]])


@bp.get("/subtaskspec/<name:spec_id>")
def spec(task_id: str, spec_id: str) -> Response:
    """One spec."""
    return answer(_spec(task_id, spec_id)["spec"])


@bp.get("/subtaskspec/<name:spec_id>/state")
def state(task_id: str, spec_id: str) -> Response:
    """One spec, its sub-task's status, and those of sub-tasks that failed before."""
    found = _spec(task_id, spec_id)
    current = found["running"] or found["succeededBy"]
    statuses = _statuses([*found["tried"], *([current] if current else [])])
    return answer(
        {
            "spec": found["spec"],
            "currentStatus": statuses.get(current),
            "taskHistory": [statuses[task] for task in found["tried"] if task in statuses],
        }
    )


@bp.get("/subtaskspec/<name:spec_id>/history")
def history(task_id: str, spec_id: str) -> Response:
    """Statuses of the sub-tasks of a spec that have ended."""
    found = _spec(task_id, spec_id)
    ended = [*found["tried"], *([found["succeededBy"]] if found["succeededBy"] else [])]
    statuses = _statuses(ended)
    return answer([statuses[task] for task in ended if task in statuses])


@bp.get("/rowStats")
def row_stats(task_id: str) -> Response:
    """Counts of rows so far."""
    if _streams(task_id):
        return _told(task_id, "GET", "rowStats")
    payload = _payload(task_id)
    stats = _live(task_id).get("rowStats", {})
    return answer(stats if _is_parallel(payload) else {"totals": stats})


@bp.get("/unparseableEvents")
def unparseable_events(task_id: str) -> Response:
    """Rows that could not be read, as far as they are kept."""
    if _streams(task_id):
        return _told(task_id, "GET", "unparseableEvents")
    _payload(task_id)
    return answer(_live(task_id).get("unparseableEvents", {}))


@bp.get("/liveReports")
def live_reports(task_id: str) -> Response:
    """The report so far."""
    if _streams(task_id):
        return _told(task_id, "GET", "liveReports")
    _payload(task_id)
    report = services().logs.report(task_id)
    return raw(report if report is not None else b"{}")


# ---------------------------------------------------------------- tasks that read a stream


@bp.get("/status", endpoint="stream_status", defaults={"what": "status"})
@bp.get("/offsets/current", endpoint="current_offsets", defaults={"what": "offsets/current"})
@bp.get("/offsets/end", endpoint="end_offsets", defaults={"what": "offsets/end"})
@bp.get("/checkpoints", endpoint="checkpoints", defaults={"what": "checkpoints"})
@bp.get("/time/start", endpoint="start_time", defaults={"what": "time/start"})
def look(task_id: str, what: str) -> Response:
    """What the task says of itself."""
    _require_stream(task_id)
    return _told(task_id, "GET", what)


@bp.post("/offsets/end", endpoint="set_end_offsets", defaults={"what": "offsets/end"})
@bp.post("/pause", endpoint="pause", defaults={"what": "pause"})
@bp.post("/resume", endpoint="resume", defaults={"what": "resume"})
@bp.post("/stop", endpoint="stop", defaults={"what": "stop"})
def steer(task_id: str, what: str) -> Response:
    """Pause the task, let it go on, say where it ends, or end it without a publish."""
    _require_stream(task_id)
    return _told(task_id, "POST", what)


def _streams(task_id: str) -> bool:
    with services().db.transaction() as tx:
        row = store.task(tx, task_id)
    return row is not None and row["type"] == STREAMING and row["state"] == "RUNNING"


def _require_stream(task_id: str) -> None:
    if not _streams(task_id):
        raise NotFound(f"Can't find chatHandler for handler[{task_id}]")


def _told(task_id: str, method: str, what: str) -> Response:
    """Ask the worker, and pass on what it says."""
    query = request.query_string.decode("ascii", "replace")
    path = f"{what}?{query}" if query else what
    with waiting().permit():
        status, body = ask(services().db, task_id, method, path, request.get_data(cache=False), timeout_s=_ASK_S)
    return raw(body, status)


def _payload(task_id: str) -> dict[str, Any]:
    """A running task that talks, in Druid: those that ingest."""
    with services().db.transaction() as tx:
        row = store.task(tx, task_id)
        payload = store.payload(tx, task_id) if row is not None and row["state"] == "RUNNING" else None
    if row is None or payload is None or not (row["type"] in _TALKING or row["parent_id"] is not None):
        raise NotFound(f"Can't find chatHandler for handler[{task_id}]")
    found: dict[str, Any] = orjson.loads(payload)
    return found


def _is_parallel(payload: dict[str, Any]) -> bool:
    return is_parent(payload) and services().runner.capacity() > 1


def _shown(task_id: str, *, unknown: int = 503) -> dict[str, Any]:
    """What the parent wrote down last."""
    if not _is_parallel(_payload(task_id)):
        raise BareText(SEQUENTIAL, status=400, content_type=JSON)
    path = services().runner.live_file(task_id, FILE)
    try:
        shown: dict[str, Any] = orjson.loads(path.read_bytes()) if path is not None else {}
    except (OSError, orjson.JSONDecodeError):
        shown = {}
    if not shown:
        raise BareText(NOT_YET, status=unknown, content_type=JSON)
    return shown


def _spec(task_id: str, spec_id: str) -> dict[str, Any]:
    for found in _shown(task_id)["specs"]:
        if found["id"] == spec_id:
            result: dict[str, Any] = found
            return result
    raise NoBody(404)


def _statuses(ids: list[str]) -> dict[str | None, Any]:
    """As `GET task/{id}/status` gives them."""
    with services().db.transaction() as tx:
        found = {task_id: listing.status(tx, task_id) for task_id in ids}
    return {task_id: status for task_id, status in found.items() if status is not None}


def _live(task_id: str) -> dict[str, Any]:
    """Payload of the report so far."""
    report = services().logs.report(task_id)
    entries = orjson.loads(report) if report is not None else {}
    payload: dict[str, Any] = (entries.get("ingestionStatsAndErrors") or {}).get("payload") or {}
    return payload
