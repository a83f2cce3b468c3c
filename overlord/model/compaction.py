"""Automatic compaction as it is configured: one row of Druid's config table for the cluster and all datasources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NAME = "coordinator.compaction.config"
DATASOURCES = "compactionConfigs"
CLUSTER: dict[str, Any] = {
    "compactionTaskSlotRatio": 0.1,
    "maxCompactionTaskSlots": 2147483647,
    "compactionPolicy": {"type": "newestSegmentFirst", "priorityDatasource": None},
    "useSupervisors": False,
    "engine": "native",
}
"""Of a cluster where nothing was set."""


@dataclass(frozen=True, kw_only=True)
class CompactionConfig:
    """The row.

    Attributes
    ----------
    cluster : mapping
        The keys of `CLUSTER`.
    datasources : mapping
        Datasource to its configuration, in the order of the row.
    """

    cluster: Mapping[str, Any] = field(default_factory=lambda: dict(CLUSTER))
    datasources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> CompactionConfig:
        """Of a stored row; what an older Druid left out is the default."""
        value = value or {}
        cluster = {name: default if value.get(name) is None else value[name] for name, default in CLUSTER.items()}
        return cls(cluster=cluster, datasources={each["dataSource"]: each for each in value.get(DATASOURCES) or ()})

    def to_json(self) -> dict[str, Any]:
        """As Druid stores it."""
        return {DATASOURCES: list(self.datasources.values()), **self.cluster}

    @property
    def use_supervisors(self) -> bool:
        """Whether supervisors of this Overlord compact, not a Coordinator."""
        return bool(self.cluster["useSupervisors"])

    def with_cluster(self, cluster: Mapping[str, Any]) -> CompactionConfig:
        """The same datasources under another configuration of the cluster."""
        return replace(self, cluster=cluster)

    def with_datasource(self, config: Mapping[str, Any]) -> CompactionConfig:
        """With a datasource added or replaced."""
        return replace(self, datasources={**self.datasources, config["dataSource"]: config})

    def without(self, *datasources: str) -> CompactionConfig:
        """Without these datasources."""
        kept = {name: config for name, config in self.datasources.items() if name not in datasources}
        return replace(self, datasources=kept)


def history_of(datasource: str, audits: list[Mapping[str, Any]], rows: list[CompactionConfig]) -> list[dict[str, Any]]:
    """What became of one datasource, from the audit rows of all, in their order; a row that changes nothing is passed.

    Parameters
    ----------
    datasource : str
    audits : list of mapping
        The audit entries.
    rows : list of CompactionConfig
        What each of them stored.
    """
    entries: list[dict[str, Any]] = []
    last: tuple[Any, Any] | None = None
    for audit, row in zip(audits, rows, strict=True):
        config = row.datasources.get(datasource)
        if (config is None and last is None) or last == (row.cluster, config):
            continue
        last = None if config is None else (row.cluster, config)
        entries.append(
            {
                "globalConfig": row.cluster,
                "compactionConfig": config,
                "auditInfo": audit["auditInfo"],
                "auditTime": audit["auditTime"],
            }
        )
    return entries
