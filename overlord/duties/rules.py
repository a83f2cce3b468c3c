"""Rules of datasources without segments."""

from __future__ import annotations

from overlord.duties.base import Counts, MetadataDuty, Run, duties
from overlord.model.instant import format_instant
from overlord.store import duties as store


@duties.add("rules")
class Rules(MetadataDuty):
    """Deletes those older than `druid.coordinator.kill.rule.durationToRetain`; the default rules stay."""

    name = "rules"
    what = "rule"

    def run(self, run: Run) -> Counts:
        before = format_instant(self.before_ms(run))
        if run.dry:
            with run.transaction() as tx:
                return {"rows": store.count(tx, "rules", before=before)}
        return {"rows": run.deleted(lambda tx: store.delete(tx, "rules", before=before))}
