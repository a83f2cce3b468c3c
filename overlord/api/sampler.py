"""The sampler: the first rows of an input, as they would be stored."""

from __future__ import annotations

from flask import Blueprint, Response

from overlord import sampling
from overlord.api.wire import json_body, raw, services, waiting
from overlord.errors import BadRequest
from overlord.schemas.sampler import load_sampler

bp = Blueprint("sampler", __name__, url_prefix="/druid/indexer/v1")


@bp.post("/sampler")
def sample() -> Response:
    """Read the first rows of an input in a process of its own, and show what would become of them."""
    body = json_body()
    if body is None:
        raise BadRequest("The request has no body; a sampler spec is a JSON object with 'type' and 'spec'")
    request = load_sampler(body)
    parts = services()
    with waiting().permit():
        return raw(sampling.sample(parts.runner, parts.settings, request))
