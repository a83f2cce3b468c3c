"""Compaction configurations of datasources without segments."""

from __future__ import annotations

from overlord.duties.base import Counts, MetadataDuty, Run, duties
from overlord.model.audit import AuditInfo
from overlord.store import compaction
from overlord.store import duties as store

_WHO = AuditInfo(
    author="KillCompactionConfig",
    identity="KillCompactionConfig",
    comment="CoordinatorDuty for automatic deletion of compaction config",
)


@duties.add("compactionConfigs")
class CompactionConfigs(MetadataDuty):
    """Deletes them at any age, as Druid does."""

    name = "compactionConfigs"
    what = "compaction"

    def run(self, run: Run) -> Counts:
        with run.transaction() as tx:
            known = set(store.datasources(tx, "segments"))
            gone = sorted(set(compaction.get(tx).datasources) - known)
        if gone and not run.dry:
            compaction.change(run.services.db, lambda now: now.without(*gone), _WHO)
        return {"datasources": gone}
