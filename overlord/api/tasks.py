"""Tasks: submit, list, look at, shut down."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import orjson
from flask import Blueprint, Response, request

from overlord import schemas
from overlord.api.flow import flowing
from overlord.api.paging import paging
from overlord.api.wire import (
    JSON,
    LONG_MAX,
    answer,
    file_answer,
    flag_param,
    header_text,
    int_param,
    interval_param,
    json_body,
    raw,
    services,
    spooled,
    text_param,
    waiting,
)
from overlord.dryrun import dry_run
from overlord.errors import BadRequest, BareText, NoBody, NotFound
from overlord.http import WaitingPool, client_gone
from overlord.model.audit import AuditInfo
from overlord.model.idempotency import HEADER, Idempotency
from overlord.model.instant import format_instant, now_ms
from overlord.schemas.base import no_creator, token
from overlord.schemas.unknown import unknown_properties
from overlord.services import Services
from overlord.store import listing
from overlord.store.db import Database

log_of_tasks = logging.getLogger(__name__)

bp = Blueprint("tasks", __name__, url_prefix="/druid/indexer/v1")

UNKNOWN = "X-Ovl-Unknown-Properties"
LOG_EVERY_S = 0.25  # how often a followed log is looked at
LOG_TYPE = "text/plain;charset=utf-8"
NO_LOG = "No log was found for this task. The task may not exist, or it may not have begun running yet."
NO_REPORT = "No task reports were found for this task. The task may not exist, or it may not have completed yet."
NO_SEGMENTS = (
    "Segment IDs committed by a task action are not persisted anymore. "
    "Use the metric 'segment/added/bytes' to identify the segments created by a task."
)
STATES = {"pending": ("PENDING",), "waiting": ("WAITING",), "running": ("RUNNING",), "complete": ()}


def unknown_task(task_id: str) -> BareText:
    """The 404 of every route under an unknown task."""
    return BareText(f"Cannot find any task with id: [{task_id}]", status=404)


# ---------------------------------------------------------------- submit


@bp.post("/task")
def submit() -> Response:
    """Accept a task; committed when this answers. With `dryRun` nothing is accepted: what would come of it is told."""
    body = json_body()
    if body is None:
        raise BadRequest("The request has no body; a task is a JSON object with at least a 'type'")
    parts = services()
    if flag_param("dryRun"):
        with waiting().permit():
            return answer(dry_run(parts, body))
    task = schemas.load_task(
        body,
        now_ms=now_ms(),
        default_context=parts.settings["druid.indexer.task.default.context"] or {},
        settings=parts.settings,
    )
    key = Idempotency.of(request.headers.get(HEADER), body)
    ignored = unknown_properties(body)
    response = answer({"task": parts.queue.submit(task, audit_info(with_request=True), key)})
    if ignored:
        told = "; ".join(map(str, ignored))
        log_of_tasks.warning("task[%s] has properties that nobody knows: %s", task.id, told)
        response.headers[UNKNOWN] = header_text(told)
    return response


def audit_info(*, with_request: bool = False, service: str = "druid/overlord") -> AuditInfo:
    """Who sent this request; the name of the service differs from route to route in Druid."""
    sent = None
    if with_request:
        sent = {
            "service": service,
            "method": request.method,
            "uri": request.path,
            "queryParams": request.query_string.decode("latin-1") or None,
        }
    return AuditInfo(
        author=request.headers.get("X-Druid-Author", ""),
        comment=request.headers.get("X-Druid-Comment", ""),
        ip=request.remote_addr or "",
        request=sent,
    )


# ---------------------------------------------------------------- lists


@bp.get("/tasks")
def tasks() -> Response:
    """All tasks that fit the parameters."""
    state = text_param("state")
    if state is not None and state.lower() not in STATES:
        raise BareText(f"Invalid task state[{state}]. Must be one of [pending, waiting, running, complete].")
    return _list(
        None if state is None else state.lower(),
        since_length_ms=_created_length_ms(),
        most=int_param("max"),
        datasource=text_param("datasource"),
        task_type=text_param("type"),
    )


@bp.get("/waitingTasks")
def waiting_tasks() -> Response:
    """Those that lack a lock."""
    return _list("waiting")


@bp.get("/pendingTasks")
def pending_tasks() -> Response:
    """Those that lack a slot."""
    return _list("pending")


@bp.get("/runningTasks")
def running_tasks() -> Response:
    """Those on a worker."""
    return _list("running", task_type=text_param("type"))


@bp.get("/completeTasks")
def complete_tasks() -> Response:
    """Ended ones; of the parameters of `tasks` only `max`, under the name of `n`."""
    return _list("complete", most=int_param("n"))


def _created_length_ms() -> int | None:
    """Of `createdTimeInterval` only its length counts, up to now."""
    interval = interval_param("createdTimeInterval", underscore=True)
    return None if interval is None else interval.end - interval.start


def _list(
    state: str | None,
    *,
    since_length_ms: int | None = None,
    most: int | None = None,
    datasource: str | None = None,
    task_type: str | None = None,
) -> Response:
    parts = services()
    ended_since = None
    if state in (None, "complete"):
        if most is not None and most < 0:
            raise BadRequest(f"The number of tasks to list must not be negative, got [{most}]")
        ended_since = _ended_since(since_length_ms)
    asked = paging(
        listing.Wanted(
            active=listing.ACTIVE if state is None else STATES[state],
            ended_since=ended_since,
            most=most,
            datasource=datasource,
            type=task_type,
        )
    )
    if asked.page is None:
        return flowing(_dump(parts.db, asked.wanted))
    place = listing.Place()
    with parts.db.transaction() as tx:
        response = spooled(listing.page(tx, asked.wanted, asked.page, place))
    asked.tell_next(response, place.after)
    return response


def _dump(db: Database, wanted: listing.Wanted) -> Generator[bytes, None, None]:
    with db.transaction() as tx:
        yield from listing.dump(tx, wanted)


def _ended_since(length_ms: int | None) -> str:
    """From when on ended tasks are listed; all of them between instants that the request names."""
    if length_ms is None and "createdBetween" in request.args:
        return listing.FIRST
    if length_ms is None:
        length_ms = services().settings["druid.indexer.storage.recentlyFinishedThreshold"]
    return format_instant(now_ms() - length_ms)


# ---------------------------------------------------------------- one task


@bp.get("/task/<name:task_id>")
def task(task_id: str) -> Response:
    """The task with every default."""
    with services().db.transaction() as tx:
        payload = listing.payload(tx, task_id)
    if payload is None:
        raise unknown_task(task_id)
    return raw(b'{"task":%b,"payload":%b}' % (orjson.dumps(task_id), payload))


@bp.get("/task/<name:task_id>/status")
def status(task_id: str) -> Response:
    """Where it stands."""
    with services().db.transaction() as tx:
        found = listing.status(tx, task_id)
    if found is None:
        raise unknown_task(task_id)
    return answer({"task": task_id, "status": found})


@bp.get("/task/<name:task_id>/segments")
def segments(task_id: str) -> Response:
    """Retired by Druid."""
    _require(task_id)
    raise NotFound(NO_SEGMENTS)


@bp.get("/task/<name:task_id>/reports")
def reports(task_id: str) -> Response:
    """The report: live while it runs, else as it was stored."""
    _require(task_id)
    report = services().logs.report(task_id)
    if report is None:
        raise BareText(NO_REPORT, status=404, content_type=JSON)
    return raw(report)


@bp.get("/task/<name:task_id>/log")
def log(task_id: str) -> Response:
    """The log from `offset` bytes on, or the last so many if negative; `follow` goes on until the task has ended."""
    if request.accept_mimetypes and not request.accept_mimetypes["text/plain"]:
        raise NoBody(406)
    offset = int_param("offset", largest=LONG_MAX) or 0
    _require(task_id)
    if flag_param("follow"):
        return _follow(task_id, offset)
    file = services().logs.open(task_id)
    if file is None:
        raise BareText(NO_LOG, status=404, content_type=LOG_TYPE)
    size = file.seek(0, 2)
    start = max(0, size + offset) if offset < 0 else min(offset, size)
    file.seek(start)
    return file_answer(file, size - start, LOG_TYPE)


def _follow(task_id: str, offset: int) -> Response:
    """Stream a log until its task has ended, under a permit for waiting calls."""
    held = ExitStack()
    held.enter_context(waiting().permit())  # refused here, while an error can still be told
    response = Response(_tail(services(), waiting(), request.environ, task_id, offset), content_type=LOG_TYPE)
    response.call_on_close(held.close)
    return response


def _tail(parts: Services, pool: WaitingPool, environ: dict[str, Any], task_id: str, offset: int) -> Iterator[bytes]:
    if offset < 0:  # from here on counted from the front: the log grows
        offset = max(0, len(parts.logs.read(task_id, 0) or b"") + offset)
    last = False
    while not client_gone(environ):
        with parts.db.transaction() as tx:
            found = listing.status(tx, task_id)
        ended = found is None or found["statusCode"] != "RUNNING"
        piece = parts.logs.read(task_id, offset)  # after the status: the last words of an ended task are in it
        if piece:
            offset += len(piece)
            yield piece
        if ended and last:
            return
        last = ended  # once more, for what its process wrote until it was gone
        if pool.closed.wait(LOG_EVERY_S):
            return


@bp.post("/task/<name:task_id>/shutdown")
def shutdown(task_id: str) -> Response:
    """End it; no error when it has ended."""
    _require(task_id)
    services().queue.shutdown(task_id, "Shutdown request from user")
    return answer({"task": task_id})


def _require(task_id: str) -> None:
    with services().db.transaction() as tx:
        if not listing.exists(tx, task_id):
            raise unknown_task(task_id)


# ---------------------------------------------------------------- many tasks


def _id_text(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise BadRequest(f"Cannot deserialize value of type `java.lang.String` from {token(value)}")
    return str(value)


@bp.post("/datasources/<name:datasource>/shutdownAllTasks")
def shutdown_all(datasource: str) -> Response:
    """End every unfinished task of a datasource."""
    if not services().queue.shutdown_all(datasource):
        raise NoBody(404, f"no active task of {datasource}")
    return answer({"dataSource": datasource})


@bp.post("/taskStatus")
def task_status() -> Response:
    """Brief statuses of those tasks that exist."""
    ids = json_body()
    if ids is None or ids == []:
        raise BareText("No Task IDs provided.", content_type=JSON)
    if not isinstance(ids, list):
        text = f"Cannot deserialize value of type `java.util.HashSet<java.lang.String>` from {token(ids)}"
        text = text if isinstance(ids, dict) else no_creator("java.util.HashSet", ids)
        raise BadRequest(text, hint="send a JSON array of task ids")
    texts = (orjson.dumps(each).decode() if isinstance(each, bool) else each for each in ids)
    names = [name for name in dict.fromkeys(map(_id_text, texts)) if "\0" not in name]
    with services().db.transaction() as tx:
        return answer(listing.brief(tx, names))
