"""What the worker of a running task says, under `/ovl/v1/tasks/<id>/attempts/<n>/`.

Each call carries `Authorization: Bearer <token>`, the token of that very attempt. 409 tells a worker that another
attempt, or none, is wanted: it has to end.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from overlord.api.wire import answer, empty, json_object, services
from overlord.errors import BadRequest, OverlordError
from overlord.model.host import ProcessIdentity
from overlord.outcome import Outcome

bp = Blueprint(
    "worker_routes", __name__, url_prefix="/ovl/v1/tasks/<name:task_id>/attempts/<int(max=2147483647):attempt>"
)


class NotWanted(OverlordError):
    """This is not the attempt that runs."""

    status = 409


class NoToken(OverlordError):
    """There is no token in the call."""

    status = 401


@bp.post("/started")
def started(task_id: str, attempt: int) -> Response:
    """The first word: who the worker is."""
    told = json_object("the worker's identity")
    try:
        identity = ProcessIdentity.from_json(told).to_json()
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(f"An identity has host, boot_id, pid and start_time: {error!r}") from None
    if isinstance(told.get("folder"), str):
        identity["folder"] = told["folder"]
    _wanted(services().queue.worker_started(task_id, attempt, _token(), identity), task_id, attempt)
    return answer({"attempt": attempt})


@bp.post("/heartbeat")
def heartbeat(task_id: str, attempt: int) -> Response:
    """A sign of life, with the numbers that users see."""
    progress = json_object("'progress'").get("progress")
    if progress is not None and not isinstance(progress, dict):
        raise BadRequest("'progress' must be an object", where="progress")
    _wanted(services().queue.worker_alive(task_id, attempt, _token(), progress), task_id, attempt)
    return answer({"attempt": attempt})


@bp.post("/chat")
def chat(task_id: str, attempt: int) -> Response:
    """Where the worker listens to what it is told."""
    told = json_object("'host', 'port' and 'password'")
    place = {name: told.get(name) for name in ("host", "port", "password")}
    if (
        not isinstance(place["host"], str)
        or not isinstance(place["port"], int)
        or not isinstance(place["password"], str)
    ):
        raise BadRequest("A place has host, port and password", where="host")
    _wanted(services().queue.worker_listens(task_id, attempt, _token(), place), task_id, attempt)
    return answer({"attempt": attempt})


@bp.post("/log")
def log(task_id: str, attempt: int) -> Response:
    """More of the log, from a worker that does not share a disk with us."""
    _authenticate(task_id, attempt)
    services().runner.take_log(task_id, attempt, request.get_data(cache=False))
    return empty(200)


@bp.post("/report")
def report(task_id: str, attempt: int) -> Response:
    """The report so far, from a worker that does not share a disk with us."""
    _authenticate(task_id, attempt)
    services().runner.take_report(task_id, attempt, request.get_data(cache=False))
    return empty(200)


@bp.post("/end")
def end(task_id: str, attempt: int) -> Response:
    """The last word."""
    body = json_object("'status'")
    if body.get("status") not in ("SUCCESS", "FAILED"):
        raise BadRequest("'status' must be SUCCESS or FAILED", where="status")
    _authenticate(task_id, attempt)
    _wanted(services().queue.finish(task_id, attempt, Outcome.of_end(body)), task_id, attempt)
    return answer({"attempt": attempt})


def _token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise NoToken("A worker says who it is by `Authorization: Bearer <token>`")
    return token


def _authenticate(task_id: str, attempt: int) -> None:
    _wanted(services().queue.is_attempt(task_id, attempt, _token()), task_id, attempt)


def _wanted(yes: Any, task_id: str, attempt: int) -> None:
    if not yes:
        raise NotWanted(f"Attempt {attempt} at task [{task_id}] is not the one that runs")
