"""The shape of an autocompact supervisor's spec."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.model.supervisor import SupervisorSpec
from overlord.schemas.base import Inside, PeriodText, Problem, Raw, Shape, Text, Whole
from overlord.schemas.supervisors import SupervisorShape, supervisor_kinds

ID_PREFIX = "autocompact__"


class CompactionConfigShape(Shape):
    """How a datasource is compacted."""

    java = "org.apache.druid.server.coordinator.InlineSchemaDataSourceCompactionConfig"

    dataSource = Text()
    taskPriority = Whole(25)
    inputSegmentSizeBytes = Whole(100_000_000_000_000, long=True)
    maxRowsPerSegment = Whole()
    skipOffsetFromLatest = PeriodText("P1D")
    tuningConfig = Raw()
    granularitySpec = Raw()
    dimensionsSpec = Raw()
    metricsSpec = Raw()
    transformSpec = Raw()
    projections = Raw()
    ioConfig = Raw()
    engine = Text()
    taskContext = Raw()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "dataSource" in data and data["dataSource"] is None:
            yield "dataSource", "dataSource"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"type": "inline", **data}  # Druid takes any unknown type for inline


@supervisor_kinds.add("autocompact")
class AutocompactShape(SupervisorShape):
    """Compaction of one datasource."""

    java = "org.apache.druid.indexing.compact.CompactionSupervisorSpec"

    spec_ = Inside(CompactionConfigShape, data_key="spec")

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "spec_" in data and data["spec_"] is None:
            yield "spec", "'spec' must be specified for a compaction supervisor"

    def spec(self, kind: str, data: dict[str, Any]) -> SupervisorSpec:
        config = data["spec_"]
        return SupervisorSpec(
            id=ID_PREFIX + config["dataSource"],
            type=kind,
            source="",
            datasources=(config["dataSource"],),
            payload={"type": kind, "spec": config, "suspended": data["suspended"]},
            suspended=data["suspended"],
        )
