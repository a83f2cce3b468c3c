"""Server-sent events."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request

from overlord.api.wire import services
from overlord.errors import BadRequest, Unavailable
from overlord.http import can_take_over, take_over
from overlord.notify.hub import Listener

bp = Blueprint("events", __name__, url_prefix="/druid/indexer/v1")

FILTERS = {
    "dataSource": "dataSource",
    "type": "type",
    "event": "event",
    "kind": "kind",
    "state": "state",
    "taskId": "taskId",
    "supervisorId": "supervisorId",
}


@bp.get("/events")
def events() -> Response:
    """What happens to tasks and supervisors as it happens, from `Last-Event-ID` on; filters may have several values."""
    hub = services().events
    hub.place()
    wanted = {key: frozenset(request.args.getlist(name)) for name, key in FILTERS.items() if name in request.args}
    after = _last_event_id()
    environ = request.environ
    if not can_take_over(environ):
        raise Unavailable("This HTTP server cannot hand its connections over")

    def hand_over() -> Iterator[bytes]:
        # Only now: the server has heard what it would answer, and has not sent any of it.
        hub.add(Listener(take_over(environ), wanted, after))
        yield b""

    return Response(hand_over(), content_type="text/event-stream")


def _last_event_id() -> int | None:
    """Header, or parameter for those who cannot set it; None for the newest."""
    text = request.headers.get("Last-Event-ID") or request.args.get("lastEventId") or ""
    if not text:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise BadRequest(f"Last-Event-ID must be the id of an event, got [{text}]", where="Last-Event-ID")
    return int(text)
