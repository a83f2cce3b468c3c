"""Unused segments, through kill tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from overlord.duties.base import INDEXING_PERIOD, KILL, Counts, Duty, Run, duties
from overlord.duties.pending_segments import COORDINATOR_CONFIG, names_in
from overlord.errors import DruidException
from overlord.model.instant import format_instant
from overlord.model.interval import Interval
from overlord.schemas import load_task
from overlord.schemas.task import letters
from overlord.store import config
from overlord.store import duties as store

if TYPE_CHECKING:
    from overlord.store.db import Transaction

PREFIX = "coordinator-issued_kill"


@duties.add("unusedSegments")
class UnusedSegments(Duty):
    """Submits `coordinator-issued_kill_...` tasks, one for a datasource and run, the longest unserved datasource first.

    A segment may go that ended `durationToRetain` ago and has been unused for `bufferPeriod`. A task covers at most
    `maxSegments` and `maxInterval`. A datasource with such a task under way, a stock Coordinator's too, waits.
    """

    name = "unusedSegments"
    switch = f"{KILL}on"
    period_setting = f"{KILL}period"
    least_period_setting = INDEXING_PERIOD

    def __init__(self) -> None:
        super().__init__()
        self._reached: dict[str, int] = {}  # as in Druid: the next interval begins where the last one ended
        self._last: str | None = None

    def faults(self, settings: Mapping[str, Any]) -> Iterator[str]:
        yield from super().faults(settings)
        if settings[f"{KILL}maxSegments"] <= 0:
            yield f"{KILL}maxSegments must be above 0"
        if settings[f"{KILL}maxInterval"] < 0:
            yield f"{KILL}maxInterval must not be negative"

    def run(self, run: Run) -> Counts:
        with run.transaction() as tx:
            dynamic = config.get(tx, COORDINATOR_CONFIG) or {}
            active = store.active_with_prefix(tx, PREFIX)
            chosen = names_in(dynamic, "killDataSourceWhitelist")
            names = sorted(chosen) if chosen else store.datasources(tx, "segments")
        free = slots(run.services.runner.capacity(), dynamic) - len(active)
        busy = {datasource for _, datasource in active}
        tasks: dict[str, str] = {}
        for datasource in self._in_turn(names):
            if len(tasks) >= free:
                break
            if datasource in busy:
                continue
            with run.transaction() as tx:
                interval = self._interval(tx, run, datasource)
            if interval is None:
                if not run.dry:
                    self._reached.pop(datasource, None)
                continue
            tasks[datasource] = str(interval) if run.dry else self._submit(run, datasource, interval)
        return {"freeSlots": max(free, 0), "tasks": tasks}

    def _in_turn(self, names: list[str]) -> list[str]:
        """Those after the last one that was served, then the others."""
        last = self._last
        return [name for name in names if last is None or name > last] + [
            name for name in names if last is not None and name <= last
        ]

    def _interval(self, tx: Transaction, run: Run, datasource: str) -> Interval | None:
        settings = run.settings
        end_ms = None
        if not settings[f"{KILL}ignoreDurationToRetain"]:
            end_ms = run.now_ms - int(settings[f"{KILL}durationToRetain"])
        found = store.unused_intervals(
            tx,
            datasource,
            start_ms=self._reached.get(datasource),
            end_ms=end_ms,
            updated_ms=run.now_ms - int(settings[f"{KILL}bufferPeriod"]),
            most=int(settings[f"{KILL}maxSegments"]),
        )
        return umbrella(found, int(settings[f"{KILL}maxInterval"]))

    def _submit(self, run: Run, datasource: str, interval: Interval) -> str:
        settings = run.settings
        start, end = str(interval).split("/")
        body = {
            "type": "kill",
            "id": "_".join([PREFIX, datasource, letters(), start, end, format_instant(run.now_ms)]),
            "dataSource": datasource,
            "interval": str(interval),
            "limit": settings[f"{KILL}maxSegments"],
            "maxUsedStatusLastUpdatedTime": format_instant(run.now_ms - int(settings[f"{KILL}bufferPeriod"])),
        }
        context = settings["druid.indexer.task.default.context"]
        task = load_task(body, now_ms=run.now_ms, default_context=context, settings=settings)
        try:
            run.services.queue.submit(task)
        except DruidException as refused:
            return f"not submitted: {refused.message}"
        self._reached[datasource], self._last = interval.end, datasource
        return task.id


def slots(capacity: int, dynamic: Mapping[str, Any]) -> int:
    """How many such tasks may be under way. Druid rounds down, so that nothing is ever killed with few slots."""
    ratio, most = dynamic.get("killTaskSlotRatio"), dynamic.get("maxKillTaskSlots")
    ratio = 0.1 if ratio is None else min(float(ratio), 1.0)
    share = max(int(capacity * ratio), 1 if ratio > 0 and capacity > 0 else 0)
    return share if most is None else min(share, int(most))


def umbrella(intervals: list[Interval], most_ms: int) -> Interval | None:
    """One interval over the first of these, as far as it is not longer than `most_ms` (0: as long as it may be)."""
    if not intervals:
        return None
    start, end = intervals[0].start, intervals[0].end
    for each in intervals[1:]:
        reaches = max(end, each.end)
        if most_ms and reaches - start > most_ms:
            break
        end = reaches
    return Interval(start, end)
