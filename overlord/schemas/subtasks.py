"""The shapes of sub-tasks, which a parent posts as any client could."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.schemas.base import Inside, Lenient, Object, Problem, Text, Whole
from overlord.schemas.ingestion import ParallelSpecShape
from overlord.schemas.task import TaskShape, task_kinds

_PARALLEL = "org.apache.druid.indexing.common.task.batch.parallel."
_FIRST = ("type", "id", "groupId", "resource", "supervisorTaskId", "subtaskSpecId", "numAttempts", "spec", "context")


class SubTask(TaskShape):
    """What all sub-tasks have."""

    order: tuple[str, ...] = (*_FIRST, "dataSource")

    supervisorTaskId = Text()
    subtaskSpecId = Text()
    numAttempts = Whole(0)
    spec: Lenient = Inside(ParallelSpecShape)

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name in ("supervisorTaskId", "subtaskSpecId", "spec"):
            if name in data and data[name] is None:
                yield name, name

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        data["dataSource"] = data["spec"]["dataSchema"]["dataSource"]
        return data

    def new_group(self, data: dict[str, Any]) -> str:
        return str(data["supervisorTaskId"])


@task_kinds.add("single_phase_sub_task")
class SinglePhase(SubTask):
    """Builds the segments of a split."""

    java = _PARALLEL + "SinglePhaseSubTask"


@task_kinds.add("partial_dimension_cardinality")
class Cardinality(SubTask):
    """Counts what differs in a split."""

    java = _PARALLEL + "PartialDimensionCardinalityTask"


@task_kinds.add("partial_dimension_distribution")
class Distribution(SubTask):
    """Finds how the values of a split lie."""

    java = _PARALLEL + "PartialDimensionDistributionTask"


@task_kinds.add("partial_index_generate")
class HashGenerate(SubTask):
    """Parts a split by hash."""

    java = _PARALLEL + "PartialHashSegmentGenerateTask"
    order = (*_FIRST, "intervalToNumShardsOverride", "dataSource")

    intervalToNumShardsOverride = Object()


@task_kinds.add("partial_range_index_generate")
class RangeGenerate(SubTask):
    """Parts a split by ranges."""

    java = _PARALLEL + "PartialRangeSegmentGenerateTask"
    order = (*_FIRST, "intervalToPartitions", "dataSource")

    intervalToPartitions = Object()


@task_kinds.add("partial_index_generic_merge")
class Merge(SubTask):
    """Merges the same parts of all splits."""

    java = _PARALLEL + "PartialGenericSegmentMergeTask"

    spec: Lenient = Object()

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().own_problems(data)
        schema = (data.get("spec") or {}).get("dataSchema")
        if data.get("spec") and not (isinstance(schema, dict) and isinstance(schema.get("dataSource"), str)):
            yield "spec", "dataSchema"
