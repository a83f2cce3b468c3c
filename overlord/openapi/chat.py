"""What a task that ingests tells of itself while it runs, and a parallel one of its sub-tasks."""

from __future__ import annotations

from overlord.openapi.base import OBJECT, Answer, Route, Schema, gives, nothing, raw, some

_REFUSED: dict[int, Answer] = {
    400: nothing("The task works in its own slot; a text."),
    404: nothing("No such running task, or no such spec; an error or nothing."),
    503: nothing("The task has told nothing yet; a text."),
}


def _route(answer: Answer) -> Route:
    return Route(answers={200: answer, **_REFUSED})


def _json(schema: Schema, what: str) -> Route:
    return _route(gives(schema, what))


ROUTES: dict[str, Route] = {
    "chat.mode": _route(raw("`parallel` or `sequential`.")),
    "chat.phase": _route(raw("Name of the phase.")),
    "chat.progress": _json(OBJECT, "Counts of sub-tasks."),
    "chat.running": _json(some({"type": "string"}), "Ids."),
    "chat.specs": _json(some(OBJECT), "Specs."),
    "chat.running_specs": _json(some(OBJECT), "Specs."),
    "chat.complete_specs": _json(some(OBJECT), "Specs."),
    "chat.spec": _json(OBJECT, "The spec."),
    "chat.state": _json(OBJECT, "The spec with its statuses."),
    "chat.history": _json(some(OBJECT), "Statuses."),
    "chat.row_stats": _json(OBJECT, "Counts by phase."),
    "chat.unparseable_events": _json(OBJECT, "Rows by phase."),
    "chat.live_reports": _json(OBJECT, "By name of the report."),
}
