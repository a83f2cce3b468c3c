"""Requests that are refused before the route itself looks at them, by what they accept."""

from __future__ import annotations

from flask import Flask, Response, request

from overlord.api.wire import JSON, empty

ROUTES = frozenset(
    ("tasks", "actions", "supervisors", "sampler", "workers", "pending_segments", "locks", "datasources", "compaction",
     "leader", "status")
)  # fmt: skip
"""Blueprints of Druid's own routes; all of them answer JSON,"""
ANYTHING = frozenset(
    ("tasks.log", "workers.set_worker_config", "datasources.mark_used", "datasources.mark_all_used",
     "datasources.mark_segment_used", "datasources.mark_segment_unused")
)  # fmt: skip
"""but for these, which look at it themselves or do not care."""
_JSON = frozenset((JSON, "application/*", "*/*", "*"))


def install(app: Flask) -> None:
    """Have an application refuse them."""
    app.before_request(_refuse_unacceptable)


def minds(endpoint: str) -> bool:
    """Whether a route answers only who takes JSON."""
    return endpoint.partition(".")[0] in ROUTES and endpoint not in ANYTHING


def _refuse_unacceptable() -> Response | None:
    """406 to who accepts no JSON, whatever the weights say. A body of the wrong type comes first, and is a 415."""
    if request.endpoint is None or not minds(request.endpoint) or _accepts_json():
        return None
    if request.method == "POST" and request.mimetype not in ("", JSON):
        return None
    return empty(406)


def _accepts_json() -> bool:
    accepted = request.headers.get("Accept", "")
    kinds = (part.partition(";")[0].strip().lower() for part in accepted.split(","))
    return not accepted.strip() or any(kind in _JSON for kind in kinds)
