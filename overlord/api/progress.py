"""How far a task is, and the rows that it rejected."""

from __future__ import annotations

from flask import Blueprint, Response

from overlord.api.tasks import LOG_TYPE, unknown_task
from overlord.api.wire import answer, file_answer, services
from overlord.errors import BareText
from overlord.store import listing

bp = Blueprint("progress", __name__, url_prefix="/druid/indexer/v1")

LINES = "application/x-ndjson; charset=utf-8"
NUMBERS = (
    "phase", "rows", "rejected", "bytes", "bytesRead", "totalBytes", "rowsPerSecond", "bytesPerSecond", "timeLeftMs",
    "segments", "subTasks", "subTasksDone",
)  # fmt: skip
NO_BAD_ROWS = "No bad rows were kept for this task. A task keeps them if its context has keepBadRows: true."


@bp.get("/task/<name:task_id>/progress")
def progress(task_id: str) -> Response:
    """What its worker told last; null for what is not known (yet)."""
    with services().db.transaction() as tx:
        found = listing.progress(tx, task_id)
    if found is None:
        raise unknown_task(task_id)
    told = found["progress"] or {}
    numbers = {name: told.get(name) for name in NUMBERS}
    if not found["active"]:
        numbers["timeLeftMs"] = None
    return answer({"task": task_id, "state": found["state"], "toldMsAgo": found["told_ms_ago"], **numbers})


@bp.get("/task/<name:task_id>/badRows")
def bad_rows(task_id: str) -> Response:
    """Rejected rows as JSON lines: file, line, cause and raw text."""
    with services().db.transaction() as tx:
        if not listing.exists(tx, task_id):
            raise unknown_task(task_id)
    file = services().logs.bad_rows(task_id)
    if file is None:
        raise BareText(NO_BAD_ROWS, status=404, content_type=LOG_TYPE)
    size = file.seek(0, 2)
    file.seek(0)
    return file_answer(file, size, LINES)
