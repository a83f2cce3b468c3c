"""Clean-up duties: what they did, what they would do, and a run by hand. Ours; Druid has no such routes."""

from __future__ import annotations

from flask import Blueprint, Response

from overlord.api.wire import answer, flag_param, services

bp = Blueprint("duties", __name__, url_prefix="/druid/indexer/v1")


@bp.get("/duties")
def duties() -> Response:
    """Each duty with its last run and its next; with `dryRun`, what would go now."""
    return answer({"duties": services().duties.listed(dry=flag_param("dryRun"))})


@bp.post("/duties/<name:duty>/run")
def run(duty: str) -> Response:
    """Run one now, on or not; with `dryRun` only look."""
    return answer(services().duties.run(duty, dry=flag_param("dryRun")))
