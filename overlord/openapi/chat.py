"""What a task that ingests tells of itself while it runs, and a parallel one of its sub-tasks."""

from __future__ import annotations

from overlord.openapi.base import OBJECT, Answer, Body, Route, Schema, gives, nothing, raw, some

_REFUSED: dict[int, Answer] = {
    400: nothing("The task works in its own slot; a text."),
    404: nothing("No such running task, or no such spec; an error or nothing."),
    503: nothing("The task has told nothing yet; a text."),
}


def _route(answer: Answer) -> Route:
    return Route(answers={200: answer, **_REFUSED})


def _json(schema: Schema, what: str) -> Route:
    return _route(gives(schema, what))


_STREAM: dict[int, Answer] = {
    202: nothing("Asked for, and not done yet; a text."),
    400: nothing("Not in this state of the task; an error."),
    404: nothing("No such running task that reads a stream; an error."),
    503: nothing("The task does not answer, or not yet; an error."),
}
_OFFSETS: Schema = {"type": "object", "additionalProperties": {"type": "integer"}}


def _look(schema: Schema, what: str) -> Route:
    return Route(answers={200: gives(schema, what), **_STREAM})


def _steer(what: str, body: Body | None = None) -> Route:
    return Route(answers={200: nothing(what), **_STREAM}, body=body)


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
    "chat.stream_status": _look({"type": "string"}, "NOT_STARTED, STARTING, READING, PAUSED or PUBLISHING."),
    "chat.current_offsets": _look(_OFFSETS, "The next offset of each partition."),
    "chat.end_offsets": _look(_OFFSETS, "Where it ends; 9223372036854775807 while nobody has said so."),
    "chat.checkpoints": _look(OBJECT, "Start of each sequence not published yet."),
    "chat.start_time": _look({"type": "string"}, "When the worker began."),
    "chat.set_end_offsets": _steer("It ends there.", Body(schema=_OFFSETS)),
    "chat.pause": _steer("It is paused; its offsets."),
    "chat.resume": _steer("It goes on."),
    "chat.stop": _steer("It will end without a publish."),
}
