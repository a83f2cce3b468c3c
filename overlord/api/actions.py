"""`POST action`: what a running task asks of the Overlord."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, request

from overlord import actions
from overlord.api.wire import answer, json_object, services, waiting
from overlord.errors import BadRequest, Unavailable
from overlord.http import client_gone
from overlord.metrics.tasks import lock_waited

bp = Blueprint("actions", __name__, url_prefix="/druid/indexer/v1")

WAITING = ("lockAcquire", "segmentLockAcquire")
SLICE_S = 2.0  # a waiting action looks this often whether its client is still there and the server goes on


@bp.post("/action")
def action() -> Response:
    """Perform one action of a task."""
    body = json_object("a 'task' and an 'action'")
    task, wanted = body.get("task"), body.get("action")
    for name, value in (("task", task), ("action", wanted)):
        if not isinstance(value, dict):
            raise BadRequest(f"A task action needs '{name}', an object", where=name)
    assert isinstance(task, dict) and isinstance(wanted, dict)
    return answer({"result": _perform(task, wanted)})


def _perform(task: dict[str, Any], wanted: dict[str, Any]) -> Any:
    timeout_ms = _timeout_ms(wanted)
    if timeout_ms is None:
        return actions.perform(services(), task, wanted, attempt=_attempt())
    result = actions.perform(services(), task, _with_timeout(wanted, 1))
    if result is not None:
        return result
    with waiting().permit():
        return lock_waited(lambda: _wait(task, wanted, timeout_ms / 1000 if timeout_ms > 0 else float("inf")))


def _attempt() -> int | None:
    """Our workers say which attempt asks; a stock peon does not."""
    return request.headers.get("X-Ovl-Attempt", type=int)


def _wait(task: dict[str, Any], wanted: dict[str, Any], timeout_s: float) -> Any:
    """Wait in slices; each is woken by releases on its own."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or client_gone(request.environ):
            return None
        if waiting().closed.is_set():
            raise Unavailable("The server is about to stop. Ask again.")
        result = actions.perform(services(), task, _with_timeout(wanted, max(1, int(min(left, SLICE_S) * 1000))))
        if result is not None:
            return result


def _timeout_ms(wanted: Any) -> int | None:
    """How long an action is ready to wait, 0 for ever; None when it does not wait at all."""
    while isinstance(wanted, dict) and wanted.get("type") == "surrogateAction":
        wanted = wanted.get("taskAction")
    if not isinstance(wanted, dict) or wanted.get("type") not in WAITING:
        return None
    timeout_ms = wanted.get("timeoutMs", 0)
    return timeout_ms if isinstance(timeout_ms, int) and timeout_ms >= 0 else None


def _with_timeout(wanted: dict[str, Any], timeout_ms: int) -> dict[str, Any]:
    if wanted.get("type") == "surrogateAction":
        return {**wanted, "taskAction": _with_timeout(wanted["taskAction"], timeout_ms)}
    return {**wanted, "timeoutMs": timeout_ms}
