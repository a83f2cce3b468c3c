"""Pending segments that no task can use any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from overlord.duties.base import INDEXING_PERIOD, KILL, Counts, Duty, Run, duties
from overlord.errors import BadRequest
from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval
from overlord.store import config, pending
from overlord.store import duties as store
from overlord.store.datasources import FIRST

if TYPE_CHECKING:
    from overlord.store.db import Transaction

COORDINATOR_CONFIG = "coordinator.config"
DAY_MS = 24 * 3600 * 1000


@duties.add("pendingSegments")
class PendingSegments(Duty):
    """Deletes, as a stock Coordinator does through `DELETE pendingSegments`, what was created a day before the cutoff.

    The cutoff is when the oldest unfinished task of any datasource was created, or the newest ended one of
    `druid.indexer.storage.recentlyFinishedThreshold` if that was earlier. Only datasources with used segments are
    looked at, unless `ovl.duties.pendingSegments.withoutUsedSegments`; those of `killPendingSegmentsSkipList` never.
    """

    name = "pendingSegments"
    switch = f"{KILL}pendingSegments.on"
    period_setting = INDEXING_PERIOD

    def run(self, run: Run) -> Counts:
        with run.transaction() as tx:
            until = cutoff(tx, run.now_ms, int(run.settings["druid.indexer.storage.recentlyFinishedThreshold"]))
            names = self._datasources(tx, run.settings)
        interval = Interval(min(FIRST, until), until)
        found: dict[str, int] = {}
        for datasource in names:
            rows = self._counted(run, datasource, interval) if run.dry else self._deleted(run, datasource, interval)
            if rows:
                found[datasource] = rows
        return {"cutoff": format_instant(until), "rows": sum(found.values()), "datasources": found}

    @staticmethod
    def _datasources(tx: Transaction, settings: Mapping[str, Any]) -> list[str]:
        everywhere = settings["ovl.duties.pendingSegments.withoutUsedSegments"]
        skipped = names_in(config.get(tx, COORDINATOR_CONFIG), "killPendingSegmentsSkipList")
        return [
            name for name in store.datasources(tx, "pending" if everywhere else "used_segments") if name not in skipped
        ]

    @staticmethod
    def _counted(run: Run, datasource: str, interval: Interval) -> int:
        with run.transaction() as tx:
            return store.count(tx, "pending", datasource=datasource, **store.created_within(interval))

    def _deleted(self, run: Run, datasource: str, interval: Interval) -> int:
        def batch(tx: Transaction) -> int:
            pending.check_deletable(tx, datasource, interval)
            return store.delete(tx, "pending", datasource=datasource, **store.created_within(interval))

        try:
            return run.deleted(batch)
        except BadRequest as refused:
            self.log.warning("%s", refused.message)
            return 0


def cutoff(tx: Transaction, now_ms: int, recent_ms: int) -> int:
    """Before when rows may go."""
    known = [store.oldest_active(tx), store.newest_ended(tx, now_ms - recent_ms)]
    return min([parse_instant(each) for each in known if each is not None] or [now_ms]) - DAY_MS


def names_in(config_: Mapping[str, Any] | None, key: str) -> set[str]:
    """A list of names in the Coordinator's dynamic configuration: an array, or texts between commas."""
    value = (config_ or {}).get(key) or ()
    parts = value.split(",") if isinstance(value, str) else value
    return {str(part).strip() for part in parts if str(part).strip()}
