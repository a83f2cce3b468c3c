"""Our own routes, which workers of running tasks call."""

from __future__ import annotations

from overlord.openapi.base import FAULT, INTEGER, STRING, Body, Route, gives, nothing, shape

ATTEMPT = gives(shape(attempt=INTEGER))
BYTES = Body(schema={}, content_type="application/octet-stream")


def _route(body: Body, *, empty: bool = False) -> Route:
    refused = dict.fromkeys((400, 401, 409), FAULT)
    return Route(
        body=body,
        answers={200: nothing() if empty else ATTEMPT, 404: nothing("That is no number of an attempt."), **refused},
        worker=True,
    )


ROUTES: dict[str, Route] = {
    "worker_routes.started": _route(
        Body(schema=shape(host=STRING, boot_id=STRING, pid={"type": "integer"}, start_time={"type": "integer"}))
    ),
    "worker_routes.heartbeat": _route(
        Body(schema={"type": "object", "properties": {"progress": {"type": ["object", "null"]}}})
    ),
    "worker_routes.chat": _route(Body(schema=shape(host=STRING, port={"type": "integer"}, password=STRING))),
    "worker_routes.log": _route(BYTES, empty=True),
    "worker_routes.report": _route(BYTES, empty=True),
    "worker_routes.end": _route(Body(schema=shape(status={"enum": ["SUCCESS", "FAILED"]}))),
}
