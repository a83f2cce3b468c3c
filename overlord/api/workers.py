"""Workers: who they are, what they may take, how many slots there are."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request

from overlord.api.tasks import audit_info
from overlord.api.wire import INT_MAX, answer, empty, interval_param, json_body, nothing, services
from overlord.errors import BadRequest, NoBody, NotFound
from overlord.model.instant import format_instant, now_ms
from overlord.model.worker_config import NAME, normalise
from overlord.schemas.worker_config import check_worker_config
from overlord.store import config

bp = Blueprint("workers", __name__, url_prefix="/druid/indexer/v1")

WEEK_MS = 7 * 24 * 3600 * 1000


@bp.get("/workers")
def workers() -> Response:
    """Every worker with what it runs."""
    return answer(services().runner.workers())


@bp.get("/totalWorkerCapacity")
def total_worker_capacity() -> Response:
    """Slots, all and taken."""
    runner = services().runner
    return answer(
        {
            "currentClusterCapacity": runner.capacity(),
            "maximumCapacityWithAutoScale": -1,
            "usedClusterCapacity": runner.used(),
        }
    )


@bp.get("/scaling")
def scaling() -> Response:
    """Nothing: there is no autoscaler."""
    return nothing()


@bp.post("/worker/<name:host>/enable")
def enable(host: str) -> Response:
    """Let a worker take tasks again."""
    return _set_enabled(host, True)


@bp.post("/worker/<name:host>/disable")
def disable(host: str) -> Response:
    """Let a worker finish what it has and take nothing new."""
    return _set_enabled(host, False)


def _set_enabled(host: str, enabled: bool) -> Response:
    parts = services()
    if not parts.runner.set_enabled(host, enabled):
        raise NotFound(f"Worker on host {host} does not exists")
    parts.queue.wake()
    return answer({host: "enabled" if enabled else "disabled"})


@bp.get("/worker")
def worker_config() -> Response:
    """The configuration of workers; nothing before any was set."""
    with services().db.transaction() as tx:
        value = config.get(tx, NAME)
    return nothing() if value is None else answer(value)


@bp.post("/worker")
def set_worker_config() -> Response:
    """Set the configuration of workers."""
    body = json_body()
    if body is None:
        raise BadRequest("A worker configuration is a JSON object, got nothing")
    body = check_worker_config(body)
    parts = services()
    with parts.db.transaction() as tx:
        config.put(tx, NAME, normalise(body), audit_info(), format_instant(now_ms()))
    parts.queue.wake()
    return empty(200)


@bp.get("/worker/history")
def worker_history() -> Response:
    """Changes of the configuration: by interval, oldest first, else the last `count`, newest first."""
    interval, count = interval_param("interval"), _count()
    with services().db.transaction() as tx:
        if interval is None and count is not None:
            return answer(config.newest(tx, NAME, count))
        now = now_ms()
        start, end = (interval.start, interval.end) if interval else (now - WEEK_MS, now + 1)
        return answer(config.history(tx, NAME, format_instant(start), format_instant(end)))


def _count() -> int | None:
    """`count`; the only parameter whose recorded answer to a text that is no number can only be Druid's empty 404."""
    text = request.args.get("count")
    if not text:
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text) or not -INT_MAX - 1 <= int(text) <= INT_MAX:
        raise NoBody(404, f"count={text}")
    if int(text) <= 0 and request.args.get("interval") is None:
        raise BadRequest("Limit must be greater than zero!")
    return int(text)
