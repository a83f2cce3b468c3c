"""Why a task is where it is."""

from __future__ import annotations

from flask import Blueprint, Response

from overlord.api.tasks import unknown_task
from overlord.api.wire import answer, services
from overlord.explain import explain as find

bp = Blueprint("explain", __name__, url_prefix="/druid/indexer/v1")


@bp.get("/task/<name:task_id>/explain")
def explain(task_id: str) -> Response:
    """One cause for its present state, and what to do next."""
    found = find(services(), task_id)
    if found is None:
        raise unknown_task(task_id)
    return answer(found)
