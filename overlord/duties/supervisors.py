"""Versions of supervisors that were terminated, and what is noted of any supervisor's past."""

from __future__ import annotations

from functools import partial

from overlord.duties.base import Counts, MetadataDuty, Run, duties
from overlord.model.instant import format_instant
from overlord.store import duties as store
from overlord.store.db import Transaction

TOMBSTONES = ("noop", "NoopSupervisorSpec")


@duties.add("supervisors")
class Supervisors(MetadataDuty):
    """Deletes those older than `druid.coordinator.kill.supervisor.durationToRetain`."""

    name = "supervisors"
    what = "supervisor"

    def run(self, run: Run) -> Counts:
        before_ms = self.before_ms(run)
        before = format_instant(before_ms)
        with run.transaction() as tx:
            ended = [
                (spec_id, last)
                for spec_id, last, spec in store.latest_supervisors(tx)
                if isinstance(spec, dict) and spec.get("type") in TOMBSTONES
            ]
            if run.dry:
                return {
                    "rows": sum(store.count(tx, "supervisor", spec_id=each, before=before) for each, _ in ended),
                    "history": store.count_supervisor_history(tx, before_ms),
                }
        return {
            "rows": sum(run.deleted(partial(_delete, each, last, before)) for each, last in ended),
            "history": run.deleted(lambda tx: store.delete_supervisor_history(tx, before_ms)),
        }


def _delete(spec_id: str, last: int, before: str, tx: Transaction) -> int:
    return store.delete(tx, "supervisor", spec_id=spec_id, last=last, before=before)
