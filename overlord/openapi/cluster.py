"""Routes of workers, locks, datasources, pending segments, leader, status and metrics."""

from __future__ import annotations

from overlord.openapi.base import (
    BOOLEAN,
    CREATED,
    FAULT,
    INTEGER,
    INTERVAL,
    OBJECT,
    STRING,
    Answer,
    Body,
    Parameter,
    Route,
    by_name,
    gives,
    nothing,
    raw,
    ref,
    shape,
    some,
)

FILTERS = Body(
    schema=some(
        {
            "type": "object",
            "properties": {
                "datasource": {"type": ["string", "null"]},
                "priority": {"type": ["number", "null"], "minimum": -(2**31), "maximum": 2**31 - 1},
                "intervals": {"type": ["array", "null"], "items": INTERVAL},
                "context": {"type": ["object", "null"]},
            },
        },
        at_least=1,
    ),
    what="Of which datasources, and which of their locks.",
)
MARK = Body(
    schema={
        "type": "object",
        "properties": {"interval": INTERVAL, "versions": {"type": ["array", "null"], "items": STRING}},
        "required": ["interval"],
        "not": {"required": ["segmentIds"]},
    },
    what="`interval`, and maybe `versions`; or `segmentIds` alone.",
)
OTHER = {"datasource": "of", "segment_id": "segment"}
INTERVAL_PARAMETER = Parameter(name="interval", what="From when to when.", schema=INTERVAL)

DRY = Parameter(name="dryRun", what="Only look: on unless `false` or `0`.", schema=STRING)

FILTERS_OF_EVENTS = ("dataSource", "type", "event", "kind", "state", "taskId", "supervisorId")
ROUTES: dict[str, Route] = {
    "duties.duties": Route(parameters=(DRY,), answers={200: gives(shape(duties=some(OBJECT)))}),
    "duties.run": Route(parameters=(DRY,), answers={200: gives(OBJECT), 400: FAULT, 404: FAULT}),
    "workers.workers": Route(answers={200: gives(some(ref("Worker")))}),
    "workers.total_worker_capacity": Route(
        answers={
            200: gives(
                shape(currentClusterCapacity=INTEGER, maximumCapacityWithAutoScale=INTEGER, usedClusterCapacity=INTEGER)
            )
        }
    ),
    "workers.scaling": Route(answers={200: nothing("There is no autoscaler.")}),
    "workers.enable": Route(answers={200: gives(by_name(STRING)), 404: FAULT}),
    "workers.disable": Route(answers={200: gives(by_name(STRING)), 404: FAULT}),
    "workers.worker_config": Route(answers={200: nothing("The configuration, JSON; no body before any was set.")}),
    "workers.set_worker_config": Route(
        body=Body(schema=OBJECT, what="What is not known in it becomes the default."),
        answers={200: nothing(), 400: FAULT},
    ),
    "workers.worker_history": Route(
        parameters=(
            INTERVAL_PARAMETER,
            Parameter(
                name="count",
                what="The last so many.",
                schema={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
            ),
        ),
        answers={200: gives(some(ref("Audit"))), 400: FAULT, 404: nothing("`count` is no number.")},
    ),
    "locks.active_locks": Route(
        body=FILTERS,
        answers={200: gives(shape(datasourceToLocks=by_name(some(ref("Lock"))))), 400: raw("No filter.")},
    ),
    "locks.locked_intervals": Route(body=FILTERS, answers={200: gives(by_name(some(STRING))), 400: raw("No filter.")}),
    "datasources.mark_all_used": Route(answers={200: CREATED}),
    "datasources.mark_all_unused": Route(answers={200: CREATED}),
    "datasources.mark_used": Route(body=MARK, answers={200: CREATED, 400: Answer(what="Refused: JSON or a text.")}),
    "datasources.mark_unused": Route(body=MARK, answers={200: CREATED, 400: raw("Refused.")}),
    "datasources.mark_segment_used": Route(renamed=OTHER, answers={200: CREATED}),
    "datasources.mark_segment_unused": Route(
        renamed=OTHER,
        answers={200: CREATED, 400: Answer(what="Not one of its segments: JSON or a text.")},
    ),
    "pending_segments.delete": Route(
        parameters=(INTERVAL_PARAMETER,), answers={200: gives(shape(numDeleted=INTEGER)), 400: FAULT}
    ),
    "leader.leader": Route(answers={200: nothing("URL of the leader, a bare text called JSON; empty without one.")}),
    "leader.is_leader": Route(
        answers={200: gives(shape(leader=BOOLEAN)), 404: gives(shape(leader=BOOLEAN), "Another one leads.")}
    ),
    "status.status": Route(answers={200: gives(shape(version=STRING, modules=some(OBJECT), memory=by_name(INTEGER)))}),
    "status.health": Route(answers={200: gives(BOOLEAN)}),
    "status.self_discovered": Route(answers={200: nothing()}),
    "status.self_discovered_status": Route(answers={200: gives(shape(selfDiscovered=BOOLEAN))}),
    "status.properties": Route(answers={200: gives(by_name(STRING))}),
    "events.events": Route(
        parameters=tuple(
            Parameter(name=name, what=f"Only events with this `{name}`; may come several times.")
            for name in FILTERS_OF_EVENTS
        ),
        what="Goes on until the client hangs up. The header `Last-Event-ID` says after which event it begins.",
        answers={
            200: Answer(what="Server-sent events.", content_type="text/event-stream", schema=STRING),
            400: FAULT,
            503: FAULT,
        },
    ),
    "metrics.page": Route(answers={200: Answer(what="Numbers.", content_type="text/plain", schema=STRING)}),
    "openapi.page": Route(answers={200: gives(OBJECT, "This document.")}),
}
