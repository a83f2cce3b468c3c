"""Audit rows."""

from __future__ import annotations

from overlord.duties.base import Counts, MetadataDuty, Run, duties
from overlord.model.instant import format_instant
from overlord.store import duties as store


@duties.add("audit")
class AuditRows(MetadataDuty):
    """Deletes those older than `druid.coordinator.kill.audit.durationToRetain`."""

    name = "audit"
    what = "audit"

    def run(self, run: Run) -> Counts:
        before = format_instant(self.before_ms(run))
        if run.dry:
            with run.transaction() as tx:
                return {"rows": store.count(tx, "audit", before=before)}
        return {"rows": run.deleted(lambda tx: store.delete(tx, "audit", before=before))}
