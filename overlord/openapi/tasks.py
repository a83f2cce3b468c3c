"""Routes of tasks, and of actions of tasks."""

from __future__ import annotations

from overlord.openapi.base import (
    ANY,
    FAULT,
    INTEGER,
    OBJECT,
    STRING,
    TEXT,
    UNKNOWN_TASK,
    Answer,
    Body,
    Parameter,
    Route,
    Schema,
    by_name,
    gives,
    nothing,
    raw,
    ref,
    shape,
    some,
    text,
)

LINES = "application/x-ndjson; charset=utf-8"
FILLED: Schema = {"type": "string", "pattern": "^[^\\x00]+$"}
INSTANTS: Schema = {"type": "string", "pattern": "^20[0-3][0-9]-0[1-9]-[01][1-9]_20[4-9][0-9]-0[1-9]-[01][1-9]$"}
LISTED = gives(
    some(ref("TaskStatus")),
    "Status objects.",
    **{"X-Ovl-Next-Cursor": "Cursor of the next page, if there is one.", "Link": "The next page, if there is one."},
)
PAGED = (
    "The next page is behind `cursor`, set to the X-Ovl-Next-Cursor of the page before, with all other parameters as "
    "they were; `cursor` alone cannot be made up."
)
COUNT: Schema = {"type": "integer", "maximum": 2**31 - 1}
OURS = (
    Parameter(name="search", what="Only tasks with this text in id, datasource, type or group, whatever the case."),
    Parameter(name="createdBetween", what="Only tasks created between two instants, `a_b`.", schema=INSTANTS),
    Parameter(
        name="sort",
        what="What to sort by; a minus turns it round.",
        schema={
            "enum": [
                minus + name
                for name in ("createdTime", "id", "dataSource", "type", "groupId", "statusCode", "duration")
                for minus in ("", "-")
            ]
        },
    ),
    Parameter(name="limit", what="At most so many tasks.", schema={**COUNT, "minimum": 1}),
)
TYPE = Parameter(name="type", what="Only tasks of this type.")

NOOP: Schema = {
    "type": "object",
    "properties": {
        "type": {"const": "noop"},
    },
    "required": ["type"],
}
ACTION: Schema = shape(
    task={
        "type": "object",
        "properties": {"type": FILLED, "id": FILLED},
        "required": ["type", "id"],
    },
    action={
        "type": "object",
        "properties": {"type": {"enum": ["lockList"]}},
        "required": ["type"],
    },
)

SAMPLED: Schema = {
    "dataSchema": {
        "dataSource": "sample",
        "timestampSpec": {"column": "t", "format": "iso"},
        "dimensionsSpec": {"dimensions": ["page"]},
    },
    "ioConfig": {
        "type": "index",
        "inputSource": {"type": "inline", "data": '{"t": "2024-01-01T00:00:00Z", "page": "a"}'},
        "inputFormat": {"type": "json"},
    },
}

ROUTES: dict[str, Route] = {
    "sampler.sample": Route(
        body=Body(
            schema=shape(type={"const": "index"}, spec={"const": SAMPLED}),
            what="A sampler spec; its fields hang on its `type`, as in Druid's sampler API.",
        ),
        answers={200: gives(shape(numRowsRead=INTEGER, data=some(OBJECT)), "Rows."), 400: FAULT},
    ),
    "tasks.submit": Route(
        what="With `?dryRun=true` nothing is accepted: the answer says what would be. With a header `Idempotency-Key` "
        "the same request again answers with the first task; another body under the same key is 422.",
        body=Body(
            schema=NOOP,
            what="A task. Its fields hang on its `type`; the schema here is that of `noop`, the others (`index`, "
            "`index_parallel`, `kill`, `compact`, ...) are as in Druid's reference of task specs. Fields that are not "
            "known are ignored.",
        ),
        answers={200: gives(shape(task=STRING), "Accepted, and committed."), 400: FAULT, 422: FAULT, 429: FAULT},
    ),
    "tasks.tasks": Route(
        parameters=(
            Parameter(
                name="state",
                what="Only tasks in this state.",
                schema={"enum": ["pending", "waiting", "running", "complete"]},
            ),
            Parameter(name="datasource", what="Only tasks of this datasource."),
            Parameter(
                name="createdTimeInterval",
                what="Ended tasks created within so long before now: only the length of the interval counts.",
                schema=INSTANTS,
            ),
            Parameter(name="max", what="At most so many ended tasks.", schema={**COUNT, "minimum": 0}),
            TYPE,
            *OURS[:2],
        ),
        what=f"Also takes `sort` and `limit`, as completeTasks does, where there is no `max`. {PAGED}",
        answers={200: LISTED, 400: Answer(what="A parameter cannot be read: JSON, or a text for `state`.")},
    ),
    "tasks.waiting_tasks": Route(what=PAGED, parameters=OURS, answers={200: LISTED, 400: FAULT}),
    "tasks.pending_tasks": Route(what=PAGED, parameters=OURS, answers={200: LISTED, 400: FAULT}),
    "tasks.running_tasks": Route(what=PAGED, parameters=(TYPE, *OURS), answers={200: LISTED, 400: FAULT}),
    "tasks.complete_tasks": Route(what=PAGED, parameters=OURS, answers={200: LISTED, 400: FAULT}),
    "tasks.task": Route(answers={200: gives(shape(task=STRING, payload=OBJECT)), 404: UNKNOWN_TASK}),
    "tasks.status": Route(answers={200: gives(shape(task=STRING, status=ref("TaskStatus"))), 404: UNKNOWN_TASK}),
    "tasks.segments": Route(answers={404: nothing("Always: retired by Druid.")}),
    "tasks.reports": Route(
        answers={200: gives(OBJECT, "By name of the report."), 404: nothing("No such task, or no report yet; a text.")}
    ),
    "tasks.log": Route(
        parameters=(
            Parameter(
                name="offset",
                what="So many bytes from the front, or from the end if negative.",
                schema={"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
            ),
        ),
        answers={
            200: Answer(what="The log.", content_type=TEXT, schema=STRING),
            400: FAULT,
            404: text("No such task, or no log yet."),
            406: nothing("The client does not take plain text."),
        },
    ),
    "tasks.shutdown": Route(answers={200: gives(shape(task=STRING)), 404: UNKNOWN_TASK}),
    "tasks.shutdown_all": Route(
        renamed={"datasource": "tasks_of"},
        answers={200: gives(shape(dataSource=STRING)), 404: nothing("It has no active task.")},
    ),
    "explain.explain": Route(answers={200: gives(OBJECT, "Cause, and what to do next."), 404: UNKNOWN_TASK}),
    "progress.progress": Route(
        answers={
            200: gives(OBJECT, "Rows and bytes, rate and time left; null for what is not known."),
            404: UNKNOWN_TASK,
        }
    ),
    "progress.bad_rows": Route(
        answers={
            200: Answer(what="JSON lines: file, line, cause and raw text of each.", content_type=LINES, schema=STRING),
            404: text("No such task, or it kept none."),
        }
    ),
    "tasks.task_status": Route(
        body=Body(schema=some({"type": ["string", "number", "boolean"]}, at_least=1), what="Ids of tasks."),
        answers={200: gives(by_name(ref("BriefStatus")), "Those that exist, by id."), 400: raw("No ids.")},
    ),
    "actions.action": Route(
        body=Body(
            schema=ACTION,
            what="Which task, and what it asks for. The fields of an action hang on its `type`, as in Druid's "
            "`TaskAction`; the schema here is that of `lockList`.",
        ),
        answers={200: gives(shape(result=ANY), "The result of the action."), 400: FAULT, 404: FAULT, 409: FAULT},
    ),
}
