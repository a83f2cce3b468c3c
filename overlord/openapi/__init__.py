"""The OpenAPI 3.1 document of the application: its routes as Flask knows them, described in this package.

A route's summary is its function's docstring. What it takes and gives stands in `ROUTES` of the module for its
blueprint, under its endpoint; a route that is not described there fails a test.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from overlord.api import negotiation
from overlord.openapi import chat, cluster, supervisors, tasks, workers
from overlord.openapi.base import FAULT, Route, Schema, nothing
from overlord.openapi.shapes import SHAPES

ROUTES: dict[str, Route] = {
    **tasks.ROUTES, **chat.ROUTES, **cluster.ROUTES, **supervisors.ROUTES, **workers.ROUTES,
}  # fmt: skip

ANYWHERE = frozenset({"leader", "status", "metrics", "openapi"})  # blueprints that every server answers for itself
ATTEMPT: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
NAME: Schema = {"type": "string", "minLength": 1}


def document(app: Flask, version: str) -> dict[str, Any]:
    """The document of an application.

    Raises
    ------
    KeyError
        A route is not described.
    """
    paths: dict[str, Any] = {}
    for rule in app.url_map.iter_rules():
        path = _path(rule, ROUTES[rule.endpoint])
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            paths.setdefault(path, {})[method.lower()] = _operation(app, rule, method)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Overlord",
            "version": version,
            "description": "Apache Druid's Overlord API, and what stands beside it. Where the same thing can be "
            "written in many ways, a schema gives one of them.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": SHAPES,
            "securitySchemes": {"attempt": {"type": "http", "scheme": "bearer"}},
        },
    }


def _path(rule: Rule, route: Route) -> str:
    return re.sub(r"<(?:[^:>]+:)?([a-z_]+)>", lambda found: f"{{{route.renamed.get(found[1], found[1])}}}", rule.rule)


def _operation(app: Flask, rule: Rule, method: str) -> dict[str, Any]:
    route = ROUTES[rule.endpoint]
    blueprint = rule.endpoint.partition(".")[0]
    function = app.view_functions[rule.endpoint]
    out: dict[str, Any] = {
        "operationId": f"{rule.endpoint.replace('.', '_')}",
        "summary": (function.__doc__ or "").strip().partition("\n")[0],
        "tags": [blueprint],
        **({"description": route.what} if route.what else {}),
        "responses": {
            str(status): answer.document()
            for status, answer in sorted({**_always(route, rule), **route.answers}.items())
        },
    }
    parameters = [*_path_parameters(rule, route), *(parameter.document() for parameter in route.parameters)]
    if parameters:
        out["parameters"] = parameters
    if route.body is not None:
        out["requestBody"] = {
            "required": True,
            "description": route.body.what,
            "content": {route.body.content_type: {"schema": route.body.schema}},
        }
    if route.worker:
        out["security"] = [{"attempt": []}]
    return out


def _always(route: Route, rule: Rule) -> dict[int, Any]:
    """What any route of its kind may answer."""
    always: dict[int, Any] = {}
    if rule.endpoint.partition(".")[0] not in ANYWHERE:
        always |= {307: nothing("Another server leads."), 503: nothing("No leader or no database; ask again.")}
    if route.body is not None:
        always |= {413: FAULT, 415: nothing("The content type is not JSON."), 400: FAULT}
    if negotiation.minds(rule.endpoint):
        always[406] = nothing("The client does not take JSON.")
    return always


def _path_parameters(rule: Rule, route: Route) -> list[dict[str, Any]]:
    integers = set(re.findall(r"<int[^:>]*:([a-z_]+)>", rule.rule))
    return [
        {
            "name": route.renamed.get(name, name),
            "in": "path",
            "required": True,
            "schema": route.names.get(name, ATTEMPT if name in integers else NAME),
        }
        for name in re.findall(r"<(?:[^:>]+:)?([a-z_]+)>", rule.rule)
    ]
