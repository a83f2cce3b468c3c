"""The description of all routes."""

from __future__ import annotations

from flask import Blueprint, Response, current_app

from overlord.api.status import version_of
from overlord.api.wire import answer
from overlord.openapi import document

bp = Blueprint("openapi", __name__)


@bp.get("/openapi.json")
def page() -> Response:
    """This API as OpenAPI 3.1."""
    return answer(document(current_app, version_of("overlord")))
