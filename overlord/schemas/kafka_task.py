"""The shape of an index_kafka task, as a client may post it too; supervisors write it themselves."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from overlord.model.kafka import sequence_numbers
from overlord.registry import Registry
from overlord.schemas.base import (
    Flag,
    Ignored,
    Inside,
    InstantText,
    Kinds,
    Object,
    Poly,
    Problem,
    Raw,
    Shape,
    Text,
    Whole,
    load,
)
from overlord.schemas.formats import input_format
from overlord.schemas.ingestion import DataSchema
from overlord.schemas.kafka import OF_THE_SUPERVISOR, KafkaTuning
from overlord.schemas.task import TaskShape, letters, task_kinds

task_tuning_kinds: Kinds = Registry("kafka task tuning config")
_KAFKA = "org.apache.druid.indexing.kafka."
_NAMES = ("partitionSequenceNumberMap", "partitionOffsetMap")


@task_tuning_kinds.add("KafkaTuningConfig", "kafka")
class TaskTuning(KafkaTuning):
    """A supervisor's, without what only supervisors use."""

    java = _KAFKA + "KafkaIndexTaskTuningConfig"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in super().finish(data).items() if name not in OF_THE_SUPERVISOR}


class TaskIo(Shape):
    """From where to where a task reads."""

    java = _KAFKA + "KafkaIndexTaskIOConfig"

    taskGroupId = Whole()
    baseSequenceName = Text()
    startPartitions = Raw()
    endPartitions = Raw()
    startSequenceNumbers = Raw()
    endSequenceNumbers = Raw()
    consumerProperties = Object()
    pollTimeout = Whole(100, long=True)
    useTransaction = Flag(True)
    minimumMessageTime = InstantText()
    maximumMessageTime = InstantText()
    inputFormat = input_format()
    configOverrides = Raw()
    multiTopic = Flag(False)
    refreshRejectionPeriodsInMinutes = Whole(long=True)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name in ("baseSequenceName", "consumerProperties"):
            if name in data and data[name] is None:
                yield name, name
        start, end = _numbers(data, "start"), _numbers(data, "end")
        for name, found in (("startSequenceNumbers", start), ("endSequenceNumbers", end)):
            if found is None:
                yield name, name
        if start is None or end is None:
            return
        if start[0] != end[0]:
            yield "endSequenceNumbers", "start topic/stream and end topic/stream must match"
        elif start[1].keys() != end[1].keys():
            yield "endSequenceNumbers", "start partition set and end partition set must match"
        for name, offset in start[1].items():
            if end[1].get(name, offset) < offset:
                yield "endSequenceNumbers", f"end offset must be >= start offset for partition[{name}]"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        for kind in ("start", "end"):
            stream, offsets = _numbers(data, kind) or ("", {})
            data[f"{kind}SequenceNumbers"] = sequence_numbers(stream, offsets, kind)
            data[f"{kind}Partitions"] = sequence_numbers(stream, offsets, "end")
        absent = [name for name in ("minimumMessageTime", "maximumMessageTime") if data[name] is None]
        return {"type": "kafka", **{name: value for name, value in data.items() if name not in absent}}


def _numbers(data: Mapping[str, Any], kind: str) -> tuple[str, dict[str, int]] | None:
    """Stream and offsets, by the new name or the old one; None if there are none that can be read."""
    found = data.get(f"{kind}SequenceNumbers") or data.get(f"{kind}Partitions")
    if not isinstance(found, Mapping):
        return None
    stream = found.get("stream", found.get("topic"))
    offsets = next((found[name] for name in _NAMES if isinstance(found.get(name), Mapping)), None)
    if not isinstance(stream, str) or offsets is None or any(type(offset) is not int for offset in offsets.values()):
        return None
    return stream, {str(name): offset for name, offset in offsets.items()}


@task_kinds.add("index_kafka")
class IndexKafka(TaskShape):
    """Reads partitions of a topic."""

    java = _KAFKA + "KafkaIndexTask"
    order = (
        "type",
        "id",
        "resource",
        "dataSchema",
        "tuningConfig",
        "ioConfig",
        "context",
        "groupId",
        "dataSource",
    )

    dataSource = Ignored()  # type: ignore[assignment]
    dataSchema = Inside(DataSchema)
    tuningConfig = Poly(task_tuning_kinds, TaskTuning.java, named="tuningConfig")
    ioConfig = Inside(TaskIo)

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name in ("dataSchema", "ioConfig"):
            if name in data and data[name] is None:
                yield name, name

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        data["dataSource"] = data["dataSchema"]["dataSource"]
        data["tuningConfig"] = {**(data["tuningConfig"] or load(TaskTuning, {})), "type": "KafkaTuningConfig"}
        return data

    def new_id(self, data: dict[str, Any], kind: str, now_ms: int) -> str:
        return f"{kind}_{data['dataSource']}_{letters()}"

    def new_group(self, data: dict[str, Any]) -> str:
        return f"index_kafka_{data['dataSource']}"
