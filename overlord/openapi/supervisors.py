"""Routes of supervisors and of automatic compaction."""

from __future__ import annotations

from overlord.openapi.base import (
    ANY,
    BOOLEAN,
    EXAMPLE,
    FAULT,
    INTERVAL,
    OBJECT,
    STRING,
    Body,
    Parameter,
    Route,
    Schema,
    by_name,
    gives,
    nothing,
    ref,
    shape,
    some,
    text,
)

UNKNOWN = text("There is no such supervisor.")
DONE = gives(shape(status=STRING))
ID = gives(shape(id=STRING))
SUCCESS = gives(shape(success=BOOLEAN))
LATEST = gives(shape(latestStatus=some(OBJECT)))

# What these answer hangs on what the supervisor does; nothing is said to make one for them.
OF = {"datasource": "of"}
OTHER = {"supervisor_id": "of"}

SPEC: Schema = {
    "type": "object",
    "properties": {
        "type": {"const": "NoopSupervisorSpec"},
        "id": {"type": ["string", "number", "boolean"], "pattern": "^supervisor_[a-z0-9]{8,100}$"},
        "dataSources": some({"type": ["string", "number", "boolean"]}, at_least=1),
    },
    "required": ["type", "id", "dataSources"],
}

ROUTES: dict[str, Route] = {
    "supervisors.submit": Route(
        parameters=(Parameter(name="skipRestartIfUnmodified", what="`true`: an equal spec changes nothing."),),
        body=Body(
            schema=SPEC,
            what="A supervisor spec. Its fields hang on its `type`, as in Druid's reference of supervisors; the schema "
            "here is that of a supervisor that does nothing.",
        ),
        answers={200: ID, 400: FAULT},
    ),
    "supervisors.supervisors": Route(
        parameters=(
            Parameter(name="full", what="If present: specs too.", schema=STRING),
            Parameter(name="state", what="`true`: states too."),
            Parameter(name="system", what="If present: as the system tables show them.", schema=STRING),
        ),
        answers={200: gives(some({"anyOf": [STRING, OBJECT]}), "Ids, or objects."), 400: FAULT},
    ),
    "supervisors.all_history": Route(answers={200: gives(by_name(some(ref("SupervisorVersion"))))}),
    "supervisors.suspend_all": Route(answers={200: DONE}),
    "supervisors.resume_all": Route(answers={200: DONE}),
    "supervisors.terminate_all": Route(answers={200: DONE}),
    "supervisors.supervisor": Route(renamed=OTHER, answers={200: gives(OBJECT, "The spec."), 404: UNKNOWN}),
    "supervisors.status": Route(
        renamed=OTHER,
        answers={200: gives(shape(id=STRING, generationTime=STRING, payload=ANY)), 404: nothing("Unknown.")},
    ),
    "supervisors.stats": Route(renamed=OTHER, answers={200: gives(OBJECT), 404: UNKNOWN}),
    "supervisors.health": Route(
        renamed=OTHER,
        answers={
            200: gives(shape(healthy=BOOLEAN)),
            404: nothing("Unknown, or it has no health."),
            503: nothing("It is not healthy."),
        },
    ),
    "supervisors.parse_errors": Route(renamed=OTHER, answers={200: gives(ANY), 404: UNKNOWN}),
    "supervisors.history": Route(renamed=OTHER, answers={200: gives(some(ref("SupervisorVersion"))), 404: FAULT}),
    "supervisors.suspend": Route(renamed=OTHER, answers={200: gives(OBJECT, "The spec."), 400: FAULT, 404: UNKNOWN}),
    "supervisors.resume": Route(renamed=OTHER, answers={200: gives(OBJECT, "The spec."), 400: FAULT, 404: UNKNOWN}),
    "supervisors.terminate": Route(renamed=OTHER, answers={200: ID, 404: UNKNOWN}),
    "supervisors.shutdown": Route(renamed=OTHER, answers={200: ID, 404: UNKNOWN}),
    "supervisors.reset": Route(renamed=OTHER, answers={200: ID, 400: FAULT, 404: UNKNOWN}),
    "supervisors.reset_offsets": Route(
        renamed=OTHER,
        body=Body(
            schema={
                "type": "object",
                "properties": {"type": {"enum": ["kafka"]}, "partitions": OBJECT},
                "required": ["type", "partitions"],
            },
            what="Offsets by partition, as `DataSourceMetadata`.",
        ),
        answers={200: ID, 400: FAULT, 404: UNKNOWN},
    ),
    "supervisors.handoff": Route(
        renamed=OTHER,
        body=Body(schema=shape(taskGroupIds=some({"type": "integer"}, at_least=1))),
        answers={200: nothing(), 400: FAULT, 404: UNKNOWN},
    ),
    "compaction.is_supervisor_enabled": Route(answers={200: gives(BOOLEAN)}),
    "compaction.cluster": Route(answers={200: gives(OBJECT)}),
    "compaction.set_cluster": Route(
        body=Body(
            schema={
                "type": "object",
                "properties": {
                    "compactionTaskSlotRatio": {"type": ["number", "null"]},
                },
            }
        ),
        answers={200: SUCCESS, 400: FAULT},
    ),
    "compaction.datasources": Route(answers={200: gives(shape(compactionConfigs=some(OBJECT)))}),
    "compaction.datasource_config": Route(renamed=OF, answers={200: gives(OBJECT), 404: FAULT}),
    "compaction.set_datasource_config": Route(
        body=Body(
            schema=shape(dataSource={"const": EXAMPLE}),
            what="As in Druid's reference of automatic compaction; `dataSource` has to be that of the path.",
        ),
        names={"datasource": {"enum": [EXAMPLE]}},
        renamed=OF,
        answers={200: SUCCESS, 400: FAULT},
    ),
    "compaction.delete_datasource_config": Route(renamed=OF, answers={200: SUCCESS, 404: FAULT}),
    "compaction.history": Route(
        parameters=(
            Parameter(
                name="interval", what="From when to when.", schema=INTERVAL | {"pattern": f"^({INTERVAL['pattern']})?$"}
            ),
        ),
        answers={200: gives(shape(entries=some(OBJECT))), 400: FAULT},
    ),
    "compaction.statuses": Route(answers={200: LATEST}),
    "compaction.status": Route(answers={200: LATEST, 404: FAULT}),
    "compaction.simulate": Route(
        body=Body(schema={"type": ["object", "null"], "properties": {}}),
        answers={200: gives(shape(compactionStates=OBJECT)), 400: FAULT},
    ),
}
