"""Shapes that several routes share, by name."""

from __future__ import annotations

from overlord.openapi.base import ANY, BOOLEAN, INTEGER, NULLABLE, OBJECT, STRING, Schema, by_name, ref, shape, some

LOCATION = shape(host=NULLABLE, port=INTEGER, tlsPort=INTEGER)

SHAPES: dict[str, Schema] = {
    "Error": shape(error=STRING),
    "DruidException": shape(
        error={"const": "druidException"},
        errorCode=STRING,
        persona=STRING,
        category=STRING,
        errorMessage=STRING,
        context=by_name(STRING),
    ),
    "Location": LOCATION,
    "TaskStatus": shape(
        id=STRING,
        groupId=NULLABLE,
        type=NULLABLE,
        createdTime=STRING,
        queueInsertionTime=STRING,
        statusCode={"enum": ["RUNNING", "SUCCESS", "FAILED"]},
        status={"enum": ["RUNNING", "SUCCESS", "FAILED"]},
        runnerStatusCode={"enum": ["WAITING", "PENDING", "RUNNING", "NONE"]},
        duration={"type": ["number", "null"]},
        location=ref("Location"),
        dataSource=STRING,
        errorMsg=NULLABLE,
    ),
    "BriefStatus": shape(
        id=STRING, status=STRING, duration={"type": ["number", "null"]}, errorMsg=NULLABLE, location=ref("Location")
    ),
    "Changed": shape(numChangedSegments=INTEGER, segmentStateChanged=BOOLEAN),
    "Audit": shape(key=STRING, type=STRING, auditInfo=OBJECT, request=ANY, payload=STRING, auditTime=STRING),
    "Worker": shape(
        worker=shape(host=STRING, ip=STRING, capacity=INTEGER, version=STRING, category=STRING),
        currCapacityUsed=INTEGER,
        availabilityGroups=some(STRING),
        runningTasks=some(STRING),
        lastCompletedTaskTime=STRING,
    ),
    "Lock": shape(
        granularity=STRING,
        type=STRING,
        groupId=STRING,
        dataSource=STRING,
        interval=STRING,
        version=STRING,
        priority=INTEGER,
        revoked=BOOLEAN,
    ),
    "SupervisorVersion": shape(spec=ANY, version=STRING),
}
