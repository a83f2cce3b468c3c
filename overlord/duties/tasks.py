"""Ended tasks with their logs, their reports, and all we noted of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from overlord.duties.base import Counts, Duty, Run, duties
from overlord.model.instant import format_instant
from overlord.store import duties as store

LOGS = "druid.indexer.logs.kill."


@duties.add("tasks")
class Tasks(Duty):
    """Deletes rows created before `druid.indexer.logs.kill.durationToRetain`, and files last written before."""

    name = "tasks"
    switch = f"{LOGS}enabled"
    period_setting = f"{LOGS}delay"

    def first_delay_ms(self, settings: Mapping[str, Any]) -> int:
        return int(settings[f"{LOGS}initialDelay"])

    def faults(self, settings: Mapping[str, Any]) -> Iterator[str]:
        if settings[f"{LOGS}durationToRetain"] is None:
            yield f"{LOGS}durationToRetain must be set"

    def run(self, run: Run) -> Counts:
        before_ms = run.now_ms - int(run.settings[f"{LOGS}durationToRetain"])
        before = format_instant(before_ms)
        if run.dry:
            with run.transaction() as tx:
                tasks = store.count(tx, "tasks", before=before)
            return {"tasks": tasks, "files": run.services.logs.count_older(before_ms)}
        tasks = self._rows(run, before)
        run.deleted(lambda tx: store.delete_orphans(tx, before_ms))
        return {"tasks": tasks, "files": run.services.logs.delete_older(before_ms)}

    @staticmethod
    def _rows(run: Run, before: str) -> int:
        total = 0
        while ids := run.services.db.retry(lambda: _batch(run, before)):
            for task_id in ids:  # should it die here, their files go by age
                run.services.logs.forget(task_id)
            total += len(ids)
        return total


def _batch(run: Run, before: str) -> list[str]:
    with run.transaction() as tx:
        return store.delete_tasks(tx, before)
