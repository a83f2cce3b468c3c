"""The shape of an autocompact supervisor's spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.model.supervisor import SupervisorSpec
from overlord.schemas.base import Inside, Problem
from overlord.schemas.compaction_config import DatasourceCompaction
from overlord.schemas.supervisors import SupervisorShape, supervisor_kinds

ID_PREFIX = "autocompact__"


@supervisor_kinds.add("autocompact")
class AutocompactShape(SupervisorShape):
    """Compaction of one datasource."""

    java = "org.apache.druid.indexing.compact.CompactionSupervisorSpec"

    spec_ = Inside(DatasourceCompaction, data_key="spec")

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
