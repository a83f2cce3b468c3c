"""Who leads, and sending everybody else's calls there."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from overlord.api.wire import answer, empty, raw, services
from overlord.errors import NoBody

bp = Blueprint("leader", __name__, url_prefix="/druid/indexer/v1")

OWN = frozenset({"leader.leader", "leader.is_leader"})
OWN_BLUEPRINTS = frozenset({"status", "metrics", "openapi"})


@bp.get("/leader")
def leader() -> Response:
    """URL of the leader, a bare text; nothing while there is none."""
    url = services().leader.url()
    return empty(200) if url is None else raw(url)


@bp.get("/isLeader")
def is_leader() -> Response:
    """200 on the leader, 404 elsewhere: what load balancers ask."""
    leads = services().leader.is_leader()
    return answer({"leader": leads}, 200 if leads else 404)


def to_leader() -> AnyResponse | None:
    """Before each request: the leader works on it, another server sends it there by a 307."""
    if request.url_rule is None or request.endpoint in OWN or request.blueprint in OWN_BLUEPRINTS:
        return None
    current = services().leader
    if current.is_leader():
        return None
    url = current.url()
    if url is None:
        raise NoBody(503, "no leader", headers={"Retry-After": "1"})
    target = url.rstrip("/") + request.environ.get("REQUEST_URI", request.full_path.rstrip("?"))
    response = redirect(target, code=307)
    response.set_data(b"")
    response.headers.pop("Content-Type", None)
    return response
