"""Who may start: WAITING tasks get their locks, PENDING ones a slot.

One thread, woken by what happened, at least once a second. What it keeps in memory are only hints of where to look;
each move is guarded in Postgres, and once in `storageSyncRate` the hints are read anew.

A waiting task is tried again only when a lock that stood in its way is gone, so thousands of them cost nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from overlord import faults, locks, schemas, states
from overlord.alarms import Alarms
from overlord.errors import OverlordError, Unavailable
from overlord.model.instant import now_ms
from overlord.model.task import Task
from overlord.model.timeline import visible
from overlord.model.worker_config import NAME as WORKER_CONFIG
from overlord.model.worker_config import Affinity
from overlord.outcome import Outcome, time_left_ms
from overlord.parents import Parents
from overlord.runners.base import Exit, Launch
from overlord.store import config, segments
from overlord.store import tasks as store
from overlord.tasks import ByItsSegments, TaskType, task_types

if TYPE_CHECKING:
    from overlord.model.interval import Interval
    from overlord.model.lock import LockRequest
    from overlord.model.segment import DataSegment
    from overlord.runners.base import Runner
    from overlord.store.db import Database, Transaction

_log = logging.getLogger(__name__)

Row = dict[str, Any]
_LockKey = tuple[str, str, str]  # holder, type, interval: enough to see whether a lock still stands

_TICK_S = 1.0
_GATHER_S = 0.01
_CHUNK = 100
"""Waiting tasks looked at in one transaction."""


class EndIn(Protocol):
    """`TaskQueue._end_in`."""

    def __call__(self, tx: Transaction, row: Row, outcome: Outcome, epoch: int) -> bool: ...


@dataclass(frozen=True)
class _Pending:
    """A task that lacks a slot."""

    id: str
    datasource: str
    availability_group: str
    required_capacity: int


@dataclass(frozen=True)
class _Asked:
    """What a waiting task asks for, as far as its spec alone says it."""

    priority: int
    group_id: str
    requests: tuple[LockRequest, ...]


class _Pass:
    """One look at the waiting tasks of a datasource, with what it has learnt.

    Attributes
    ----------
    failed : dict
        What is in the way of a request, by priority and request: who asks for the same need not be tried.
    """

    def __init__(self, datasource: str) -> None:
        self.datasource = datasource
        self.failed: dict[tuple[int, tuple[LockRequest, ...]], list[Row]] = {}

    def known_blockers(self, asked: _Asked) -> list[Row]:
        """What stopped such a request before, unless the task belongs to the group that holds it."""
        known = self.failed.get((asked.priority, asked.requests), [])
        return [] if any(blocker["group_id"] == asked.group_id for blocker in known) else known


class Scheduler:
    """The thread.

    Parameters
    ----------
    settings : Mapping
    db : Database
    runner : Runner
    fail : callable
        Ends a task that could not start: row, attempt, outcome.
    end_lost : callable
        Settles an attempt whose process was found gone.
    end_in : callable
        Ends a task within a transaction.
    time_out : callable
        Ends the attempt of a task, by id, whose time is over.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, Any],
        db: Database,
        runner: Runner,
        fail: Callable[[Row, int | None, Outcome], None],
        end_lost: Callable[[Exit], None],
        end_in: EndIn,
        time_out: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._db = db
        self._runner = runner
        self._fail = fail
        self._end_lost = end_lost
        self._end_in = end_in
        self._time_out = time_out
        self._epoch = 0
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._woken = False
        self._stopping = True
        self._draining = False
        self._thread: threading.Thread | None = None
        self._parents = Parents(settings, db)
        self._clear()

    def _clear(self) -> None:
        self._waiting: dict[str, dict[str, int]] = {}  # datasource: id: place in the order of submission
        self._dirty: set[str] = set()
        self._blockers: dict[str, frozenset[_LockKey]] = {}
        self._asked: dict[str, _Asked] = {}
        self._pending: dict[str, _Pending] = {}
        self._parents.clear()
        self._resting: dict[str, tuple[str, int]] = {}  # in back-off, id: datasource, place
        self._rests = Alarms()
        self._limits = Alarms()  # of running tasks that have one
        self._unclear: dict[str, Row] = {}  # RUNNING rows whose process is not seen yet, or is elsewhere
        self._affinity = Affinity({})
        self._read_affinity = True

    # ---- from outside ----

    def start(self, epoch: int) -> None:
        """Take up all unfinished tasks and begin."""
        self._epoch = epoch
        with self._changed:
            self._clear()
        with self._db.transaction() as tx:
            rows = store.open_tasks(tx)
        self._take_up(rows)
        self._stopping = False
        # What failed and will be tried again keeps its folder, for the log, though no attempt of it lives (0).
        running = {
            row["id"]: row["attempt"] if row["state"] == "RUNNING" else 0
            for row in rows
            if row["state"] == "RUNNING" or row["retries"]
        }
        threading.Thread(target=self._sweep, args=(running,), name="queue-sweep", daemon=True).start()
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Decide nothing more."""
        self._hurry.set()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def drain(self) -> None:
        """Start nothing more, but look after what runs."""
        self._draining = True

    def wake(self, *, configuration: bool = False) -> None:
        """Look again now."""
        self._hurry.set()
        with self._changed:
            self._woken = True
            self._read_affinity |= configuration
            self._changed.notify_all()

    def dirty(self, datasource: str) -> None:
        """Locks of this datasource have changed."""
        self._hurry.set()
        with self._changed:
            if datasource in self._waiting:
                self._dirty.add(datasource)
                self._woken = True
                self._changed.notify_all()

    def submitted(self, task: Task, seq: int) -> None:
        """A new task is committed."""
        kind = task_types[task.type]
        asked = None if isinstance(kind, ByItsSegments) else _asked_by(task, kind)
        self._parents.submitted(task)
        with self._changed:
            if asked is not None:
                self._asked[task.id] = asked
            self._waiting.setdefault(task.datasource, {})[task.id] = seq
            self._dirty.add(task.datasource)
            if not self._woken:
                self._woken = True
                self._changed.notify_all()

    def retried(self, task_id: str, datasource: str, seq: int, delay_ms: int) -> None:
        """An attempt has failed, and another is due after `delay_ms`."""
        with self._changed:
            self._rest(task_id, datasource, seq, delay_ms)
            self._woken = True
            self._changed.notify_all()

    def limit(self, task_id: str, left_ms: int) -> None:
        """An attempt may run only so long."""
        with self._changed:
            self._limits.set(task_id, left_ms / 1000)

    def forget(self, task_id: str) -> None:
        """A task has ended, or its attempt."""
        with self._changed:
            self._resting.pop(task_id, None)
            self._rests.drop(task_id)
            self._limits.drop(task_id)
            self._pending.pop(task_id, None)
            self._unclear.pop(task_id, None)
            self._blockers.pop(task_id, None)
            self._asked.pop(task_id, None)
        self._parents.forget(task_id)

    # ---- the thread ----

    def _run(self) -> None:
        sync_s = int(self._settings["druid.indexer.queue.storageSyncRate"]) / 1000
        next_sync = time.monotonic() + sync_s
        for _ in self._wakes():
            try:
                self._end_late()
                self._wake_rested()
                if not self._draining:
                    self._admit()
                    self._dispatch()
                self._look_for_unclear()
                if time.monotonic() >= next_sync:
                    next_sync = time.monotonic() + sync_s
                    self._sync()
            except Unavailable as error:
                _log.warning("The queue cannot go on now: %s", error.message)
                self._pause()
            except Exception:
                _log.exception("The queue stumbled; it goes on")
                self._pause()

    def _wakes(self) -> Iterator[None]:
        while True:
            with self._changed:
                tick_s = self._limits.left_s(self._rests.left_s(_TICK_S))
                self._changed.wait_for(lambda: self._woken or self._stopping, tick_s)
                if self._stopping:
                    return
            if not self._runner.room().free:
                self._hurry.wait(_GATHER_S)  # nothing could start: those submitted meanwhile share a transaction
            self._hurry.clear()
            with self._changed:
                self._woken = False
            yield

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, _TICK_S)

    # ---- back-off and time limits ----

    def _rest(self, task_id: str, datasource: str, seq: int, delay_ms: int) -> None:
        self._resting[task_id] = (datasource, seq)
        self._rests.set(task_id, delay_ms / 1000)

    def _wake_rested(self) -> None:
        """Those whose back-off is over wait for locks like any other, at their old place."""
        with self._changed:
            for task_id in self._rests.take_due():
                datasource, seq = self._resting.pop(task_id)
                self._waiting.setdefault(datasource, {})[task_id] = seq
                self._dirty.add(datasource)

    def _end_late(self) -> None:
        with self._changed:
            late = self._limits.take_due()
        for task_id in late:
            try:
                self._time_out(task_id)
            except Exception:
                self.limit(task_id, 1000)
                raise

    # ---- WAITING to PENDING ----

    def _admit(self) -> None:
        with self._changed:
            dirty, self._dirty = self._dirty, set()
        for datasource in list(dirty):
            if self._stopping:
                return
            try:
                self._admit_datasource(datasource)
            except BaseException:
                with self._changed:
                    self._dirty |= dirty
                raise
            dirty.discard(datasource)
            self._dispatch()  # a burst of submits shall not keep slots idle

    def _admit_datasource(self, datasource: str) -> None:
        """Try those in order of submission that are not known to be blocked still."""
        with self._changed:
            order = sorted(self._waiting.get(datasource, {}).items(), key=lambda item: item[1])
            blocked = {task_id: self._blockers[task_id] for task_id, _ in order if task_id in self._blockers}
        standing = self._standing_locks(datasource) if blocked else frozenset()
        ids = deque(task_id for task_id, _ in order if not blocked.get(task_id, frozenset()) & standing)
        attempt = _Pass(datasource)
        size = 8
        while ids and not self._stopping:
            if chunk := self._next_chunk(ids, size, attempt):
                self._admit_chunk(chunk, attempt)
            size = min(_CHUNK, size * 2)

    def _next_chunk(self, ids: deque[str], size: int, attempt: _Pass) -> list[str]:
        """The next to be tried; those are passed over that ask for what was refused in this pass."""
        chunk: list[str] = []
        refused: dict[str, frozenset[_LockKey]] = {}
        while ids and len(chunk) < size:
            task_id = ids.popleft()
            asked = self._asked.get(task_id)
            known = attempt.known_blockers(asked) if asked is not None else []
            if known:
                refused[task_id] = frozenset(map(_key, known))
            else:
                chunk.append(task_id)
        with self._changed:
            waiting = self._waiting.get(attempt.datasource, {})
            self._blockers.update({task_id: keys for task_id, keys in refused.items() if task_id in waiting})
        return chunk

    def _standing_locks(self, datasource: str) -> frozenset[_LockKey]:
        with self._db.transaction() as tx:
            return frozenset(store.lock_keys(tx, datasource))

    def _admit_chunk(self, ids: list[str], attempt: _Pass) -> None:
        """Try some tasks in one transaction; what is kept in memory follows its commit."""
        ready = [task_id for task_id in ids if (asked := self._asked.get(task_id)) is not None and not asked.requests]
        looked_at = set(ids).difference(ready)
        blocked: dict[str, list[Row]] = {}
        with self._db.transaction() as tx:
            # Without locks nothing builds on this until a start is committed: a crash of Postgres lets them wait again.
            if not store.fence(tx, self._epoch, hurried=bool(looked_at)):
                raise Unavailable("This server does not lead any more")
            for row in store.waiting_payloads(tx, looked_at) if looked_at else ():
                blockers = self._admit_one(tx, row, attempt)
                if blockers is None:
                    ready.append(row["id"])
                elif blockers:
                    blocked[row["id"]] = blockers
            admitted = states.move_all(tx, ready, "locked", epoch=self._epoch)
        with self._changed:
            waiting = self._waiting.get(attempt.datasource, {})
            for task_id in ids:
                if task_id not in blocked:
                    waiting.pop(task_id, None)
                    self._blockers.pop(task_id, None)
                    self._asked.pop(task_id, None)
            if not waiting:
                self._waiting.pop(attempt.datasource, None)
            self._blockers.update({task_id: frozenset(map(_key, rows)) for task_id, rows in blocked.items()})
            for row in sorted(admitted, key=lambda row: int(row["seq"])):
                self._pending[row["id"]] = _pending(row)

    def _admit_one(self, tx: Transaction, row: Row, attempt: _Pass) -> list[Row] | None:
        """Take the locks of one task: None when it may be PENDING, else what is in its way; nothing if it failed."""
        try:
            task = schemas.task_from_payload(orjson.loads(bytes(row["payload"])))
            requests = tuple(self._lock_requests(tx, task))
            asked = _Asked(task.priority, task.group_id, requests)
            if not isinstance(task_types[task.type], ByItsSegments):
                self._asked[task.id] = asked
            blockers = attempt.known_blockers(asked)
            if requests and not blockers:
                blockers = self._take_all(tx, task, requests)
        except Unavailable:
            raise
        except (OverlordError, ValueError, KeyError, TypeError, AttributeError) as error:
            attempt.failed.clear()  # its locks go, so others may have a chance
            self._fail_readiness(tx, row, error)
            return []
        if blockers:
            attempt.failed[task.priority, requests] = blockers
            return blockers
        return None

    @staticmethod
    def _lock_requests(tx: Transaction, task: Task) -> Iterable[LockRequest]:
        kind = task_types[task.type]
        if not isinstance(kind, ByItsSegments):
            return kind.lock_requests(task)
        tx.lock_datasource(task.datasource)  # no segment comes or goes between the look and the lock

        def used(interval: Interval) -> list[DataSegment]:
            return visible(segments.used_overlapping(tx, task.datasource, [interval]))

        return kind.lock_requests_among(task, used)

    def _fail_readiness(self, tx: Transaction, row: Row, error: Exception) -> None:
        text = error.message if isinstance(error, OverlordError) else f"{type(error).__name__}: {error}"
        _log.error("task not ready id=%s", row["id"], exc_info=error)
        message = f"Encountered error[{text}] while waiting for task to be ready. See Overlord logs for more details."
        self._end_in(tx, row, Outcome(status="FAILED", error=message, cause=message), self._epoch)

    @staticmethod
    def _take_all(tx: Transaction, task: Task, requests: Iterable[LockRequest]) -> list[Row]:
        """Take all locks or none; returns what is in the way of the first that cannot be had."""
        tx.lock_datasource(task.datasource)
        before = {lock.interval for lock in locks.of_task(tx, task.id)}
        taken: list[LockRequest] = []
        for request in requests:
            outcome = locks.try_acquire(tx, task, request, now_ms=now_ms())
            if outcome.lock is None or outcome.lock.revoked:
                for own in taken:
                    if own.interval not in before:
                        locks.release(tx, task.id, own.interval)
                return list(outcome.blockers)
            taken.append(request)
        return []

    # ---- PENDING to RUNNING ----

    def _dispatch(self) -> None:
        if self._read_affinity:
            with self._db.transaction() as tx:
                self._affinity = Affinity.of(config.get(tx, WORKER_CONFIG))
            self._read_affinity = False
        room = self._runner.room()
        if not room.free:
            return  # thousands may be pending; none of them is looked at
        bounds = self._parents.bounds(self._runner.capacity())
        allowed = cache(partial(self._affinity.allows, worker=self._worker()))
        with self._changed:
            pending = list(self._pending.values())
        for task in pending:
            if self._stopping or not room.free:
                return
            if not room.fits(task.availability_group, task.required_capacity) or not allowed(task.datasource):
                continue
            if not self._parents.may_start(task.id, bounds):
                continue
            if self._runner.holds(task.id):
                continue  # the process of a failed attempt has still to go
            self._start(task)
            room = self._runner.room()
            bounds = self._parents.bounds(self._runner.capacity())

    def _worker(self) -> str:
        where = self._runner.location()
        return f"{where.host}:{where.port}"

    def _start(self, task: _Pending) -> None:
        """Commit that the task runs, then make it so."""
        token = secrets.token_urlsafe(24)
        with self._db.transaction() as tx:
            row = states.move(tx, task.id, "started", epoch=self._epoch, token=token, runner=self._runner.name)
            payload = store.payload(tx, task.id) if row is not None else None
            if row is None and not store.fence(tx, self._epoch):
                raise Unavailable("This server does not lead any more")
        with self._changed:
            self._pending.pop(task.id, None)
        if row is None or payload is None:
            return  # shut down meanwhile
        self._parents.running(task.id)
        faults.point("after_running_commit")
        if row["timeout_ms"] is not None:
            self.limit(task.id, row["timeout_ms"])
        _log.info("task started id=%s attempt=%d type=%s", task.id, row["attempt"], row["type"])
        try:
            self._runner.start(_launch(row, token, payload))
        except OSError as error:
            message = f"The task cannot be started on this machine: {error}"
            self._fail(row, row["attempt"], Outcome(status="FAILED", error=message, cause=message))

    # ---- after a restart ----

    def _take_up(self, rows: list[Row]) -> None:
        """Sort unfinished tasks into what this thread looks at; attach to those that run."""
        pending: list[Row] = []
        for row in rows:
            if row["state"] == "RUNNING":
                self._parents.running(row["id"])
                left_ms = time_left_ms(row)
                if left_ms is not None:
                    self.limit(row["id"], max(0, left_ms))
                if self._adopt(row):
                    pending.append(row)
            elif row["state"] == "PENDING":
                pending.append(row)
            elif (row["wait_ms"] or 0) > 0:
                self._rest(row["id"], row["datasource"], row["seq"], row["wait_ms"])
            else:
                self._waiting.setdefault(row["datasource"], {})[row["id"]] = row["seq"]
                self._dirty.add(row["datasource"])
        for row in sorted(pending, key=lambda row: (row["queue_insertion_time"] or "", row["seq"])):
            self._pending[row["id"]] = _pending(row)

    def _adopt(self, row: Row) -> bool:
        """Attach to a running task or settle its end. True when it never began and is PENDING again."""
        found = self._runner.adopt(row)
        self._unclear.pop(row["id"], None)
        if found.state == "ended" and found.exit is not None:
            self._end_lost(found.exit)
        elif found.state == "alive":
            self._adopted(row, found.identity)
        elif found.state == "never":
            with self._db.transaction() as tx:
                moved = states.move(tx, row["id"], "restarted", epoch=self._epoch, attempt=row["attempt"])
            self._parents.waits(row["id"])
            _log.info("task starts again, its process had never begun id=%s attempt=%d", row["id"], row["attempt"])
            return moved is not None
        else:
            self._unclear[row["id"]] = row
        return False

    def _adopted(self, row: Row, identity: Row | None) -> None:
        with self._db.transaction() as tx:
            if row["identity"] is None and identity is not None:
                store.identify(tx, row["id"], row["attempt"], identity, self._runner.location())
            states.move(tx, row["id"], "adopted", epoch=self._epoch, attempt=row["attempt"], detail=identity)
        _log.info("task adopted id=%s attempt=%d process=%s", row["id"], row["attempt"], identity)

    def _look_for_unclear(self) -> None:
        """Ask again for those whose process could not be seen."""
        for row in list(self._unclear.values()):
            with self._db.transaction() as tx:
                now = store.task(tx, row["id"])
            if now is None or now["state"] != "RUNNING" or now["attempt"] != row["attempt"]:
                self._unclear.pop(row["id"], None)
            elif self._adopt(now):
                self._pending[row["id"]] = _pending(row)
        if self._unclear:
            self._fail_silent()

    def _fail_silent(self) -> None:
        """Those on another machine that have not been heard of for `taskCleanupTimeout`."""
        silence_ms = int(self._settings["druid.indexer.runner.taskCleanupTimeout"])
        with self._db.transaction() as tx:
            silent = [row for row in store.silent(tx, silence_ms) if row["id"] in self._unclear]
        for row in silent:
            message = f"The task has not been heard of for {silence_ms // 1000} s and its process cannot be seen"
            self._fail(self._unclear[row["id"]], row["attempt"], Outcome(status="FAILED", error=message, cause=message))

    def _sync(self) -> None:
        """Read the hints anew: others may have added rows or ended some."""
        with self._db.transaction() as tx:
            rows = store.open_tasks(tx)
        known = {row["id"] for row in rows}
        with self._changed:
            for row in rows:
                if row["state"] == "WAITING" and row["id"] not in self._waiting.get(row["datasource"], {}):
                    if (row["wait_ms"] or 0) > 0:
                        self._rest(row["id"], row["datasource"], row["seq"], row["wait_ms"])
                        continue
                    self._waiting.setdefault(row["datasource"], {})[row["id"]] = row["seq"]
                    self._dirty.add(row["datasource"])
                if row["state"] == "PENDING":
                    self._pending.setdefault(row["id"], _pending(row))
            for task_id in [task_id for task_id in self._pending if task_id not in known]:
                del self._pending[task_id]
            self._dirty.update(self._waiting)
            self._woken = True

    def _sweep(self, running: dict[str, int]) -> None:
        try:
            self._runner.sweep(running)
        except Exception:
            _log.exception("What dead attempts left cannot be cleared up")


def _pending(row: Row) -> _Pending:
    return _Pending(row["id"], row["datasource"], row["availability_group"], row["required_capacity"])


def _asked_by(task: Task, kind: TaskType) -> _Asked | None:
    """What a new task asks for; None if it cannot be told, which is looked at again when it is its turn."""
    try:
        return _Asked(task.priority, task.group_id, tuple(kind.lock_requests(task)))
    except (OverlordError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _launch(row: Row, token: str, payload: bytes) -> Launch:
    return Launch(
        task_id=row["id"],
        attempt=row["attempt"],
        token=token,
        type=row["type"],
        datasource=row["datasource"],
        group_id=row["group_id"],
        availability_group=row["availability_group"],
        required_capacity=row["required_capacity"],
        payload=payload,
    )


def _key(blocker: Row) -> _LockKey:
    return (str(blocker["task_id"]), str(blocker["type"]), str(blocker["interval"]))
