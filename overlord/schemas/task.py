"""The shapes of tasks."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from typing import Any

from overlord.model.instant import format_instant
from overlord.model.interval import Interval
from overlord.registry import Registry
from overlord.schemas.base import (
    Ignored,
    Inside,
    InstantText,
    IntervalText,
    Kinds,
    Lenient,
    ListOf,
    Object,
    Problem,
    Shape,
    Text,
    Whole,
)
from overlord.schemas.ingestion import IndexSpecShape, ParallelSpecShape
from overlord.schemas.names import problem_of

task_kinds: Kinds = Registry("task shape")
_TASK = "org.apache.druid.indexing.common.task."
TASK = _TASK + "Task"
NOOP_MS = 2500


class Resource(Shape):
    """What a task needs of a worker."""

    java = _TASK + "TaskResource"

    availabilityGroup = Text()
    requiredCapacity = Whole(1)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "availabilityGroup" in data and data["availabilityGroup"] is None:
            yield "availabilityGroup", "availabilityGroup"
        if data.get("requiredCapacity", 1) < 1:
            yield "requiredCapacity", "requiredCapacity must be positive"


class TaskShape(Shape):
    """What all tasks have.

    Attributes
    ----------
    order : tuple of str
        Of the fields, as Druid writes them.
    """

    order: tuple[str, ...] = ()

    id = Text()
    groupId: Lenient = Text()
    dataSource = Text()
    resource: Lenient = Inside(Resource)
    context = Object()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("id") is not None and (text := problem_of("task ID", data["id"])):
            yield "id", text
        yield from self.own_problems(data)

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        """Druid's rules for this kind; `problem: dataSource` for those that have one of their own."""
        if "dataSource" in data and data["dataSource"] is None:
            yield "dataSource", "dataSource"

    def identify(self, data: dict[str, Any], kind: str, now_ms: int) -> dict[str, Any]:
        """Fill in id, group and resource where they are not given."""
        data["id"] = data["id"] or self.new_id(data, kind, now_ms)
        if data["groupId"] is None:
            data["groupId"] = self.new_group(data)
        data["resource"] = data["resource"] or {"availabilityGroup": data["id"], "requiredCapacity": 1}
        return data

    def new_id(self, data: dict[str, Any], kind: str, now_ms: int) -> str:
        """`type_datasource_xxxxxxxx_time`, eight letters of a to p."""
        return "_".join([kind, data["dataSource"], letters(), *self.id_parts(data), format_instant(now_ms)])

    def id_parts(self, data: dict[str, Any]) -> list[str]:
        """What stands in an id between letters and time."""
        return []

    def new_group(self, data: dict[str, Any]) -> str:
        """The group of a task that names none."""
        return str(data["id"])


def letters() -> str:
    """Eight random letters of a to p, four bits each."""
    number = secrets.randbits(32)
    return "".join(chr(ord("a") + (number >> 4 * step & 15)) for step in range(8))


@task_kinds.add("noop")
class Noop(TaskShape):
    """Does nothing for a while."""

    java = _TASK + "NoopTask"
    order = ("type", "id", "groupId", "dataSource", "runTime", "context", "resource")

    dataSource = Text("none")
    resource = Ignored()
    runTime = Whole(NOOP_MS, long=True)
    isReadyTime = Whole(0, long=True)
    isReadyResult = Text()

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        return iter(())

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return data | {"runTime": data["runTime"] or NOOP_MS}

    def new_id(self, data: dict[str, Any], kind: str, now_ms: int) -> str:
        return f"noop_{format_instant(now_ms)}_{uuid.uuid4()}"


class _Ingestion(TaskShape):
    when_replacing = "when using replace"

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "spec" in data and data["spec"] is None:
            yield "spec", "spec"
        io, tuning = ((data.get("spec") or {}).get(name) or {} for name in ("ioConfig", "tuningConfig"))
        granularity = ((data.get("spec") or {}).get("dataSchema") or {}).get("granularitySpec") or {}
        if io.get("appendToExisting") and io.get("dropExisting"):
            yield (
                "spec.ioConfig.dropExisting",
                "Cannot simultaneously replace and append to existing segments. "
                "Either dropExisting or appendToExisting should be set to false",
            )
        if io.get("dropExisting") and granularity and not granularity.get("intervals"):
            yield "spec", f"GranularitySpec's intervals cannot be empty {self.when_replacing}."
        if io.get("appendToExisting") and tuning.get("forceGuaranteedRollup"):
            yield "spec", "Perfect rollup cannot be guaranteed when appending to existing dataSources"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        data["dataSource"] = data["spec"]["dataSchema"]["dataSource"]
        return data


@task_kinds.add("index")
class Index(_Ingestion):
    """Ingestion in one process."""

    java = _TASK + "IndexTask"
    order = ("type", "id", "groupId", "resource", "spec", "context", "dataSource")

    when_replacing = "for replace"

    groupId = Ignored()
    spec = Inside(IndexSpecShape)

    def new_group(self, data: dict[str, Any]) -> str:
        append = data["spec"]["ioConfig"]["appendToExisting"]
        return f"index_append_{data['dataSource']}" if append else str(data["id"])


@task_kinds.add("index_parallel")
class IndexParallel(_Ingestion):
    """Ingestion that may hand work to sub-tasks."""

    java = _TASK + "batch.parallel.ParallelIndexSupervisorTask"
    order = ("type", "id", "groupId", "resource", "spec", "context", "dataSource")

    spec = Inside(ParallelSpecShape)


class _FixedInterval(TaskShape):
    """What works on the unused segments of an interval."""

    groupId = Ignored()
    resource = Ignored()
    interval = IntervalText()

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().own_problems(data)
        if "interval" in data and data["interval"] is None:
            yield "interval", "interval"
        elif data.get("interval") and Interval.parse(data["interval"]).empty:
            yield "interval", "interval empty"

    def id_parts(self, data: dict[str, Any]) -> list[str]:
        return list(data["interval"].split("/"))


@task_kinds.add("archive")
class Archive(_FixedInterval):
    """Takes unused segments to the archive."""

    java = _TASK + "ArchiveTask"
    order = ("type", "id", "dataSource", "interval", "context", "groupId", "resource")


@task_kinds.add("restore")
class Restore(_FixedInterval):
    """Takes unused segments back from the archive."""

    java = _TASK + "RestoreTask"
    order = ("type", "id", "dataSource", "interval", "context", "groupId", "resource")


@task_kinds.add("move")
class Move(_FixedInterval):
    """Takes unused segments to another place of deep storage."""

    java = _TASK + "MoveTask"
    order = ("type", "id", "dataSource", "interval", "target", "context", "groupId", "resource")

    target = Object()


@task_kinds.add("kill")
class Kill(_FixedInterval):
    """Removes unused segments for good."""

    java = _TASK + "KillUnusedSegmentsTask"
    order = (
        "type", "id", "dataSource", "interval", "versions", "context", "batchSize", "limit",
        "maxUsedStatusLastUpdatedTime", "groupId", "resource",
    )  # fmt: skip

    versions = ListOf(Text())
    batchSize = Whole(100)
    limit = Whole()
    maxUsedStatusLastUpdatedTime = InstantText()

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().own_problems(data)
        for name in ("batchSize", "limit"):
            if data.get(name) is not None and data[name] <= 0:
                yield name, f"{name}[{data[name]}] must be a positive integer."
