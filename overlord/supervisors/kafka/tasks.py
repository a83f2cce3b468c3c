"""The tasks a supervisor submits, and their names: the same work gets the same base sequence name."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

import orjson

from overlord.model.instant import format_instant
from overlord.model.kafka import NOT_SET, sequence_numbers
from overlord.model.period import Period
from overlord.model.supervisor import SupervisorSpec
from overlord.schemas.kafka import OF_THE_SUPERVISOR
from overlord.supervisors.kafka.groups import Group, Offsets

Window = tuple[int | None, int | None]
KIND = "index_kafka"


def base_name(spec: SupervisorSpec, start: Offsets, window: Window) -> str:
    """Base sequence name of the tasks that read from `start`."""
    parts = spec.payload["spec"]
    text = b"".join(
        orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in (parts["dataSchema"], task_tuning(spec))
    )
    offsets = "+".join(f"{name}({offset})" for name, offset in sorted(start.items()))
    times = "".join(str(each) for each in window if each is not None)
    digest = hashlib.sha1(text + offsets.encode() + times.encode()).hexdigest()[:15]
    return f"{KIND}_{spec.datasources[0]}_{digest}"


def task_tuning(spec: SupervisorSpec) -> dict[str, Any]:
    """tuningConfig of a task."""
    given = spec.payload["spec"]["tuningConfig"]
    kept = {name: value for name, value in given.items() if name not in OF_THE_SUPERVISOR}
    return {**kept, "type": "KafkaTuningConfig"}


def duration_ms(text: Any) -> int:
    """A duration of the spec."""
    return Period.parse(str(text)).utc_ms or 0


def window_of(io: Mapping[str, Any], now: int) -> Window:
    """Least and greatest message time of a new group."""
    least = most = None
    if io["lateMessageRejectionStartDateTime"]:
        from overlord.model.instant import parse_instant

        least = parse_instant(io["lateMessageRejectionStartDateTime"])
    elif io["lateMessageRejectionPeriod"]:
        least = now - duration_ms(io["lateMessageRejectionPeriod"])
    if io["earlyMessageRejectionPeriod"]:
        most = now + duration_ms(io["taskDuration"]) + duration_ms(io["earlyMessageRejectionPeriod"])
    return least, most


def payload_of(spec: SupervisorSpec, group: Group) -> dict[str, Any]:
    """A new task of a group."""
    parts = spec.payload["spec"]
    io, datasource, stream = parts["ioConfig"], spec.datasources[0], parts["ioConfig"]["stream"]
    number = max(group.checkpoints, default=0)
    start = group.checkpoints.get(number, group.start)
    ends = dict.fromkeys(start, NOT_SET)
    least, most = group.window
    times = {"minimumMessageTime": least, "maximumMessageTime": most}
    checkpoints = {str(number): start}
    return {
        "type": KIND,
        "id": f"{group.base}_{_letters()}",
        "resource": {"availabilityGroup": group.base, "requiredCapacity": 1},
        "dataSchema": parts["dataSchema"],
        "tuningConfig": task_tuning(spec),
        "ioConfig": {
            "type": "kafka",
            "taskGroupId": group.id,
            "baseSequenceName": group.base,
            "startPartitions": sequence_numbers(stream, start, "end"),
            "endPartitions": sequence_numbers(stream, ends, "end"),
            "startSequenceNumbers": sequence_numbers(stream, start, "start"),
            "endSequenceNumbers": sequence_numbers(stream, ends, "end"),
            "consumerProperties": io["consumerProperties"],
            "pollTimeout": io["pollTimeout"],
            "useTransaction": True,
            **{name: format_instant(value) for name, value in times.items() if value is not None},
            "inputFormat": io["inputFormat"],
            "configOverrides": io["configOverrides"],
            "multiTopic": io["topicPattern"] is not None,
            "refreshRejectionPeriodsInMinutes": duration_ms(io["taskDuration"]) // 60_000,
        },
        "context": {
            "checkpoints": orjson.dumps(checkpoints).decode(),
            "useLineageBasedSegmentAllocation": True,
            "IS_INCREMENTAL_HANDOFF_SUPPORTED": True,
            "forceTimeChunkLock": True,
            **(spec.payload["context"] or {}),
        },
        "groupId": f"{KIND}_{datasource}",
        "dataSource": datasource,
    }


def _letters() -> str:
    return "".join(chr(ord("a") + secrets.randbelow(16)) for _ in range(8))
