"""Runs automatic compaction on the leader: looks at the configured datasources, and submits tasks while slots are free.

Who is compacted: with `useSupervisors` the datasources of autocompact supervisors; else those of the compaction
configuration, as a Coordinator does it, unless `ovl.compaction.withoutCoordinator` is off.

A time chunk is left alone while a compact task of anybody (a stock Coordinator's too) is at work on it, or another task
has it locked. A task that failed is tried again later and later; one that succeeded without making its chunk what the
configuration asks for is not tried again until the chunk or the configuration changes.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from overlord import locks, schemas
from overlord.errors import OverlordError, Unavailable
from overlord.model.audit import AuditInfo
from overlord.model.compaction_input import input_interval
from overlord.model.instant import now_ms
from overlord.model.interval import Interval
from overlord.model.lock import LockType
from overlord.store import compaction as config_store
from overlord.store import datasources as segments_store
from overlord.store import supervisors as store
from overlord.supervisors.compaction.policy import Candidate, Findings, find, in_order
from overlord.supervisors.compaction.tasks import PREFIX, available_slots, compact_task, slots_of

if TYPE_CHECKING:
    from overlord.services import Services
    from overlord.store.db import Transaction

_log = logging.getLogger(__name__)

Json = Mapping[str, Any]
OUTDATED = "segmentGranularity of the compaction config has changed"
_LONGEST_BACK_OFF_MS = 3_600_000
_COUNTED = ("AwaitingCompaction", "Compacted", "Skipped")


@dataclass(kw_only=True)
class _Try:
    """The last task for a time chunk."""

    task_id: str
    inputs: frozenset[str]
    config: bytes
    failures: int = 0
    not_before_ms: int = 0
    done: bool = False


@dataclass(kw_only=True)
class _Busy:
    """What active compact tasks take."""

    slots: int = 0
    intervals: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))


class CompactionScheduler:
    """Automatic compaction.

    Parameters
    ----------
    services : callable
        The parts of this server.
    supervised : callable
        Configurations of the autocompact supervisors that are not suspended.
    """

    def __init__(self, services: Callable[[], Services], supervised: Callable[[], Sequence[Json]]) -> None:
        self._services = services
        self._supervised = supervised
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._snapshots: dict[str, dict[str, Any]] = {}
        self._tries: dict[tuple[str, Interval], _Try] = {}

    def start(self) -> None:
        """Begin; the first look is one period away."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="compaction", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; tasks go on."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)
        self._snapshots = {}

    def _run(self, stopping: threading.Event) -> None:
        period_s = self._services().settings["ovl.compaction.period"] / 1000
        while not stopping.wait(period_s):
            try:
                self.run_once()
            except Unavailable as error:
                _log.info("compaction waits: %s", error.message)
            except Exception:
                _log.exception("compaction stumbled")

    # ---- what others ask ----

    def enabled(self) -> bool:
        """Whether supervisors compact."""
        with self._services().db.transaction() as tx:
            return config_store.get(tx).use_supervisors

    def status(self, datasource: str, *, enabled: bool) -> dict[str, Any]:
        """How far a datasource is, in Druid's words."""
        if enabled and datasource in self._snapshots:
            return self._snapshots[datasource]
        word = "AWAITING_FIRST_RUN" if enabled else "NOT_ENABLED"
        return _snapshot(datasource, word, Findings())

    def simulate(self, cluster: Json) -> dict[str, Any]:
        """What a run under another configuration of the cluster would find, all slots free."""
        with self._services().db.transaction() as tx:
            configs = self._configs(tx, supervised=bool(cluster["useSupervisors"]))
            busy = self._at_work(tx)
            found = {each["dataSource"]: self._find(tx, each, busy) for each in configs}
        by_name = {each["dataSource"]: each for each in configs}
        order = in_order(_all(found, "pending"), cluster["compactionPolicy"].get("priorityDatasource"))
        tables = {
            "COMPLETE": _table((), [_row(each) for each in _all(found, "compacted")]),
            "PENDING": _table(
                ("maxTaskSlots", "reasonToCompact"),
                [[*_row(each), slots_of(by_name[each.datasource]), each.reason] for each in order],
            ),
            "SKIPPED": _table(("reasonToSkip",), [[*_row(each), each.reason] for each in _all(found, "skipped")]),
        }
        return {"compactionStates": {state: table for state, table in tables.items() if table["rows"]}}

    # ---- one run ----

    def run_once(self) -> list[str]:
        """Look, and submit what there are slots for; ids of the tasks submitted."""
        services = self._services()
        with services.db.transaction() as tx:
            row = config_store.get(tx)
            configs = self._configs(tx, supervised=row.use_supervisors)
            if not configs:
                self._snapshots = {}
                return []
            self._cancel_outdated(tx, configs)
            busy = self._at_work(tx)
            found = {each["dataSource"]: self._find(tx, each, busy) for each in configs}
            for name in found:
                self._learn(tx, name)
        self._snapshots = {name: _snapshot(name, "RUNNING", findings) for name, findings in found.items()}
        free = available_slots(services.runner.capacity(), row.cluster, busy.slots)
        order = in_order(_all(found, "pending"), row.cluster["compactionPolicy"].get("priorityDatasource"))
        return self._submit(order, {each["dataSource"]: each for each in configs}, free)

    def _configs(self, tx: Transaction, *, supervised: bool) -> list[Json]:
        if supervised:
            return [each for each in self._supervised() if each.get("engine") != "msq"]
        if not self._services().settings["ovl.compaction.withoutCoordinator"]:
            return []
        return [each for each in config_store.get(tx).datasources.values() if each.get("engine") != "msq"]

    def _at_work(self, tx: Transaction) -> _Busy:
        busy = _Busy()
        for _, datasource, task in store.open_compactions(tx):
            busy.slots += slots_of(task)
            busy.intervals[datasource].append(input_interval(task["ioConfig"]["inputSpec"]))
        return busy

    def _find(self, tx: Transaction, config: Json, busy: _Busy) -> Findings:
        datasource = config["dataSource"]
        locked = [
            lock.interval
            for lock in locks.active(tx, datasource)
            if not lock.revoked
            and lock.priority >= config["taskPriority"]
            and not (
                lock.type is LockType.APPEND and (config.get("taskContext") or {}).get("useConcurrentLocks") is True
            )
        ]
        at_work = list(dict.fromkeys([*busy.intervals.get(datasource, ()), *locked]))
        return find(config, segments_store.used(tx, datasource), at_work)

    def _cancel_outdated(self, tx: Transaction, configs: Iterable[Json]) -> None:
        """End tasks of ours that cut to another segmentGranularity than is wanted now."""
        wanted = {each["dataSource"]: (each.get("granularitySpec") or {}).get("segmentGranularity") for each in configs}
        for task_id, datasource, task in store.open_compactions(tx):
            given = (task.get("granularitySpec") or {}).get("segmentGranularity")
            if wanted.get(datasource) is not None and task_id.startswith(PREFIX) and given != wanted[datasource]:
                tx.after_commit(partial(self._services().queue.shutdown, task_id, OUTDATED))

    def _submit(self, order: Iterable[Candidate], configs: Mapping[str, Json], free: int) -> list[str]:
        submitted: list[str] = []
        for candidate in order:
            if free <= 0:
                break
            config = configs[candidate.datasource]
            if not self._worth_a_try(candidate, config):
                continue
            body = compact_task(config, candidate, now_ms())
            try:
                task_id = self._send(body)
            except Unavailable:
                raise
            except OverlordError as error:
                _log.error("no compaction of %s %s: %s", candidate.datasource, candidate.interval, error.message)
                self._note(candidate, config, body["id"], failed=True)
                continue
            self._note(candidate, config, task_id)
            free -= slots_of(body)
            submitted.append(task_id)
            _log.info("compaction submitted id=%s interval=%s reason=%s", task_id, candidate.interval, candidate.reason)
        return submitted

    def _send(self, body: dict[str, Any]) -> str:
        services = self._services()
        task = schemas.load_task(
            body,
            now_ms=now_ms(),
            default_context=services.settings["druid.indexer.task.default.context"] or {},
            settings=services.settings,
        )
        return services.queue.submit(task, AuditInfo(author="compaction", comment="automatic compaction"))

    # ---- what became of earlier tasks ----

    def _note(self, candidate: Candidate, config: Json, task_id: str, *, failed: bool = False) -> None:
        key = (candidate.datasource, candidate.interval)
        last = self._tries.get(key)
        made = _Try(
            task_id=task_id,
            inputs=_ids(candidate),
            config=_digest(config),
            failures=last.failures if last is not None else 0,
        )
        self._tries[key] = made
        if failed:
            self._failed(made)

    def _failed(self, last: _Try) -> None:
        last.failures += 1
        wait_ms = self._services().settings["ovl.compaction.period"] * 2 ** min(last.failures, 20)
        last.not_before_ms = now_ms() + min(wait_ms, _LONGEST_BACK_OFF_MS)
        last.task_id = ""

    def _learn(self, tx: Transaction, datasource: str) -> None:
        for (name, _), last in self._tries.items():
            if name != datasource or not last.task_id or last.done:
                continue
            state = store.ended_state(tx, last.task_id)
            if state == "FAILED":
                self._failed(last)
            elif state == "SUCCESS":
                last.done = True

    def _worth_a_try(self, candidate: Candidate, config: Json) -> bool:
        last = self._tries.get((candidate.datasource, candidate.interval))
        if last is None:
            return True
        if last.done:
            # Its output is there, complete with its state, and yet does not match: the same again would not help.
            unchanged = last.config == _digest(config) and not last.inputs & _ids(candidate)
            if unchanged and all(each.last_compaction_state is not None for each in candidate.segments):
                return False
            del self._tries[candidate.datasource, candidate.interval]
            return True
        return now_ms() >= last.not_before_ms


def _ids(candidate: Candidate) -> frozenset[str]:
    return frozenset(str(each.id) for each in candidate.segments)


def _digest(config: Json) -> bytes:
    return orjson.dumps(config, option=orjson.OPT_SORT_KEYS)


def _all(found: Mapping[str, Findings], which: str) -> list[Candidate]:
    return [each for findings in found.values() for each in getattr(findings, which)]


def _snapshot(datasource: str, word: str, findings: Findings) -> dict[str, Any]:
    groups = dict(zip(_COUNTED, (findings.pending, findings.compacted, findings.skipped), strict=True))
    counts = {
        "bytes": lambda each: each.size_bytes,
        "segmentCount": lambda each: len(each.segments),
        "intervalCount": lambda each: each.intervals,
    }
    return {
        "dataSource": datasource,
        "scheduleStatus": word,
        "message": None,
        **{f"{what}{how}": sum(map(count, groups[how])) for what, count in counts.items() for how in _COUNTED},
    }


def _row(candidate: Candidate) -> list[Any]:
    return [candidate.datasource, str(candidate.interval), len(candidate.segments), candidate.size_bytes]


def _table(more: tuple[str, ...], rows: list[list[Any]]) -> dict[str, Any]:
    return {"columnNames": ["dataSource", "interval", "numSegments", "bytes", *more], "rows": rows}
