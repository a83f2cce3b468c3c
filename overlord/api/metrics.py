"""`GET /metrics` for Prometheus, and the times of all requests that it tells."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cache

from flask import Blueprint, Flask, Response, g, request

from overlord import metrics
from overlord.api.wire import services
from overlord.errors import Unavailable
from overlord.store import listing

bp = Blueprint("metrics", __name__)

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"})


@bp.get("/metrics")
def page() -> Response:
    """Numbers of this server in Prometheus's text format; every server answers this, leading or not."""
    return Response(metrics.page(_gauges()), content_type=metrics.CONTENT_TYPE_LATEST)


def _gauges() -> Iterator[metrics.Gauge]:
    parts = services()
    total, used = parts.runner.capacity(), parts.runner.used()
    yield "ovl/leader", {}, float(parts.leader.is_leader())
    yield "taskSlot/total/count", {}, total
    yield "taskSlot/used/count", {}, used
    yield "taskSlot/idle/count", {}, max(0, total - used)
    try:
        with parts.db.transaction() as tx:
            sizes = listing.sizes(tx)
    except Unavailable:
        yield "ovl/database/up", {}, 0
        return
    yield "ovl/database/up", {}, 1
    for state, datasource, size in sizes:
        yield f"task/{state.lower()}/count", {"dataSource": datasource}, size


def install(app: Flask) -> None:
    """Time every request of an application; to be called before anything else hooks into it."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.begun = time.perf_counter()


def _end(response: Response) -> Response:
    metrics.observe(
        "ovl/http/request/time",
        time.perf_counter() - g.begun,
        method=request.method if request.method in METHODS else metrics.OTHER,
        route="unknown" if request.url_rule is None else _readable(request.url_rule.rule),
        status=str(response.status_code),
    )
    return response


@cache
def _readable(rule: str) -> str:
    return re.sub("<(?:[^:>]+:)?([a-z_]+)>", r"{\1}", rule)
