"""The task queue: what is accepted here is committed, and ends exactly once.

Everything it decides is a guarded move in Postgres (`overlord.states`); the rest of a decision (the stock row, locks,
pending segments) is in the same transaction. Calls arrive from HTTP threads; two threads of its own admit and start
tasks (`overlord.scheduler`) and settle what ended without telling.
"""

from __future__ import annotations

import hmac
import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from overlord import faults, locks, states
from overlord.actions.cleanup import task_ended
from overlord.errors import DruidException, Unavailable
from overlord.handed_on import HandedOn
from overlord.model.audit import AuditInfo
from overlord.model.idempotency import HEADER, Idempotency
from overlord.model.instant import format_instant, now_ms, parse_instant
from overlord.model.subtasks import parent_of
from overlord.model.task import Location, Task, TaskState
from overlord.outcome import Outcome, after_publish, out_of_time, outcome_of, retry_delay_ms, time_left_ms
from overlord.scheduler import Scheduler
from overlord.store import tasks as store

if TYPE_CHECKING:
    from overlord.logs import TaskLogs
    from overlord.runners.base import Exit, Runner
    from overlord.signals import Signals
    from overlord.store.db import Database, Transaction

_log = logging.getLogger(__name__)

_ID_CHARACTERS = 255
WITH_SUB_TASKS = frozenset({"index_parallel"})
_UNBOUNDED = 2147483647
_RETRY_S = 1.0
_GROUPED_BYTES = 1024 * 1024
"""Of a payload; a larger one is inserted alone, so that what waits for one statement stays small."""


class TaskQueue:
    """All unfinished tasks.

    Parameters
    ----------
    settings : Mapping
    db : Database
    signals : Signals
        Told "task:<id>" and "locks:<datasource>" at each end.
    runner : Runner
    logs : TaskLogs
    """

    def __init__(
        self, *, settings: Mapping[str, Any], db: Database, signals: Signals, runner: Runner, logs: TaskLogs
    ) -> None:
        self._settings = settings
        self._db = db
        self._signals = signals
        self._runner = runner
        self._logs = logs
        self._epoch: int | None = None
        self._draining = False
        self._exits: queue.SimpleQueue[Exit | None] = queue.SimpleQueue()
        self._settler: threading.Thread | None = None
        self._handed_on = HandedOn(settings)
        self._scheduler = Scheduler(
            settings=settings,
            db=db,
            runner=runner,
            fail=self._fail,
            end_lost=self._settle,
            end_in=self._end_in,
            time_out=self._time_out,
        )
        runner.on_exit = self._exits.put
        signals.listen("locks:", lambda key: self._scheduler.dirty(key.removeprefix("locks:")))

    # ---- leading ----

    def start(self, epoch: int) -> None:
        """Lead: take up every unfinished task where it stands, then go on."""
        while not self._exits.empty():
            self._exits.get_nowait()  # of an earlier epoch; adoption looks at the files anyway
        self._epoch = epoch
        self._settler = threading.Thread(target=self._settle_exits, name="queue-ends", daemon=True)
        self._settler.start()
        self._handed_on.start(self._open_ids)
        self._scheduler.start(epoch)

    def stop(self) -> None:
        """Lead no more: nothing is decided from here on. Tasks go on running."""
        if self._epoch is None:
            return
        self._epoch = None
        self._scheduler.stop()
        self._exits.put(None)
        if self._settler is not None and self._settler is not threading.current_thread():
            self._settler.join()
        self._handed_on.stop()

    def _open_ids(self) -> set[str]:
        with self._db.transaction() as tx:
            return {row["id"] for row in store.open_tasks(tx)}

    def drain(self) -> None:
        """Accept and start nothing more; what runs may end."""
        self._draining = True
        self._scheduler.drain()

    @property
    def draining(self) -> bool:
        """Whether it starts nothing more."""
        return self._draining

    def wake(self) -> None:
        """Look again at what could start: a worker or its configuration has changed."""
        self._scheduler.wake(configuration=True)

    def _leading(self) -> int:
        if self._epoch is None:
            raise Unavailable("This server does not lead")
        return self._epoch

    # ---- accepting ----

    def submit(self, task: Task, audit: AuditInfo | None = None, key: Idempotency | None = None) -> str:
        """Accept a task; it is committed when this returns.

        Returns
        -------
        str
            Its id; with a `key` that was used before, the id of the first task.

        Raises
        ------
        DruidException
            The id is taken or too long, the payload too large, the queue is full, or another body came with the key.
        Unavailable
            This server does not lead, or the database is away.
        """
        self._leading()
        if self._draining:
            raise Unavailable("This server is about to stop", retry_after_s=5)
        if len(task.id) > _ID_CHARACTERS:
            raise _not_storable(task.id)
        payload = orjson.dumps(task.payload)
        most_bytes = self._settings["druid.indexer.queue.maxTaskPayloadSize"]
        if most_bytes is not None and len(payload) > most_bytes:
            raise _too_large(task.id, len(payload), most_bytes)
        created = format_instant(now_ms())
        new = store.Submission(task=task, payload=payload, audit=audit or AuditInfo(), created=created, key=key)
        first = self._db.retry(lambda: self._insert(new))
        if isinstance(first, str):
            return first
        faults.point("after_submit_commit")
        if (parent := parent_of(task.payload)) is not None and self._has_ended(parent):
            self.shutdown(task.id)  # the parent, on its way out, did not know yet
        else:
            self._scheduler.submitted(task, first)
        return task.id

    def _has_ended(self, task_id: str) -> bool:
        with self._db.transaction() as tx:
            row = store.task(tx, task_id)
        return row is not None and TaskState(row["state"]).ended

    def _insert(self, new: store.Submission) -> int | str:
        """The new task's place in the order of submission, or the id of the one its key stands for."""
        max_size = int(self._settings["druid.indexer.queue.maxSize"])
        if new.key is not None or max_size < _UNBOUNDED:
            return self._insert_alone(new, max_size)
        if len(new.payload) > _GROUPED_BYTES:
            seq = self._insert_all([new])[0]
        else:
            seq = self._db.groups.ask("submit", new, self._insert_all)
        if seq is None:
            raise _exists(new.task.id)
        return seq

    def _insert_all(self, submissions: Sequence[store.Submission]) -> list[int | None]:
        with self._db.statement() as tx:
            return store.submit_all(tx, submissions)

    def _insert_alone(self, new: store.Submission, max_size: int) -> int | str:
        """Where more has to be looked at than whether the id is free."""
        task, key = new.task, new.key
        with self._db.transaction() as tx:
            if key is not None and (first := store.of_key(tx, key.key)) is not None:
                if first[1] != key.digest:
                    raise _other_body(key.key, first[0])
                return first[0]
            full = max_size < _UNBOUNDED and not store.has_room(tx, max_size)
            if full and store.task_exists(tx, task.id):
                raise _exists(task.id)
            if full:
                raise _full(max_size)
            seq = store.submit_all(tx, [new])[0]
            if seq is None:
                raise _exists(task.id)
        return seq

    # ---- ending ----

    def finish(self, task_id: str, attempt: int, outcome: Outcome) -> bool:
        """Write an attempt's end, and with it the task's, unless another attempt follows.

        Log and report of a task that ends are in their store before. Later calls change nothing.

        Returns
        -------
        bool
            Whether this call ended the attempt.
        """
        epoch = self._leading()
        with self._db.transaction() as tx:
            row = store.task(tx, task_id)
        if row is None or row["state"] != TaskState.RUNNING or row["attempt"] != attempt:
            return False
        if retry_delay_ms(row, outcome) is None:
            self._keep_logs(task_id)
        faults.point("before_end_commit")
        state = self._db.retry(lambda: self._finish(row, outcome, epoch))
        if state is not None:
            faults.point("after_retry_commit" if state is TaskState.WAITING else "after_end_commit")
            self._runner.ended(task_id, attempt)
            self._scheduler.wake()
            _log.info("attempt ended id=%s attempt=%d task=%s error=%s", task_id, attempt, state, outcome.error)
        return state is not None

    def _finish(self, row: dict[str, Any], outcome: Outcome, epoch: int) -> TaskState | None:
        with self._db.transaction() as tx:
            return self._end_attempt(tx, row, outcome, epoch)

    def _end_attempt(self, tx: Transaction, row: dict[str, Any], outcome: Outcome, epoch: int) -> TaskState | None:
        """End the attempt of a RUNNING row: its task too, unless its context wants another. None: it had ended.

        A failure after the last publish is none: who sent the task again would have its rows twice.
        """
        delay_ms = retry_delay_ms(row, outcome)
        if outcome.status != "SUCCESS":
            tx.lock_datasource(row["datasource"])  # no publish comes in between
            if store.published_finally(tx, row["id"]):
                _log.warning("task[%s] failed after its publish, it succeeded: %s", row["id"], outcome.error)
                outcome, delay_ms = after_publish(outcome), None
        # What is published stays published once: a task that got so far is not begun anew.
        if delay_ms is not None and not store.published(tx, row["id"]):
            return self._retry_in(tx, row, outcome, epoch, delay_ms)
        if not self._end_in(tx, row, outcome, epoch, attempt=row["attempt"]):
            return None
        return TaskState(outcome.status)

    def _retry_in(
        self, tx: Transaction, row: dict[str, Any], outcome: Outcome, epoch: int, delay_ms: int
    ) -> TaskState | None:
        """Let a task wait for its next attempt: without locks, pending segments and slot, as if just submitted."""
        task_id, datasource = row["id"], row["datasource"]
        if not store.fence(tx, epoch):
            raise Unavailable("This server does not lead any more")
        detail = {
            "error": _storable(outcome.error),
            "cause": _storable(outcome.cause),
            "durationMs": outcome.duration_ms,
            **{name: row.get(name) for name in ("host", "port", "identity")},
        }
        attempt = row["attempt"]
        moved = states.move(tx, task_id, "retried", epoch=epoch, attempt=attempt, detail=detail, delay_ms=delay_ms)
        if moved is None:
            return None
        locks.release_task(tx, task_id)
        task_ended(tx, task_id, moved["group_id"])
        tx.after_commit(lambda: self._told_retry(task_id, datasource, moved["seq"], delay_ms))
        return TaskState.WAITING

    def _told_retry(self, task_id: str, datasource: str, seq: int, delay_ms: int) -> None:
        self._scheduler.forget(task_id)
        self._scheduler.retried(task_id, datasource, seq, delay_ms)
        self._signals.notify("locks:" + datasource)

    def _end_in(
        self,
        tx: Transaction,
        row: dict[str, Any],
        outcome: Outcome,
        epoch: int,
        *,
        attempt: int | None = None,
        event: str | None = None,
    ) -> bool:
        """End a task within a transaction: our row, the stock row, locks, pending segments."""
        task_id, datasource = row["id"], row["datasource"]
        if not store.fence(tx, epoch):
            raise Unavailable("This server does not lead any more")
        tx.lock_datasource(datasource)
        event = event or ("succeeded" if outcome.status == "SUCCESS" else "failed")
        moved = states.move(tx, task_id, event, epoch=epoch, attempt=attempt, cause=_storable(outcome.cause))
        if moved is None:
            return False
        location = Location(host=moved["host"], port=moved["port"] or -1, tls_port=moved["tls_port"] or -1)
        duration_ms = outcome.duration_ms
        if duration_ms < 0 and outcome.status == "SUCCESS" and moved["started_date"]:
            duration_ms = now_ms() - parse_instant(moved["started_date"])
        status = store.status_payload(
            task_id, outcome.status, duration_ms=duration_ms, error=outcome.error, location=location
        )
        store.end_stock(tx, task_id, status)
        locks.release_task(tx, task_id)
        task_ended(tx, task_id, moved["group_id"])
        tx.after_commit(lambda: self._told(task_id, datasource))
        if moved["type"] in WITH_SUB_TASKS:
            self._end_children(tx, task_id, epoch)
        return True

    def _end_children(self, tx: Transaction, parent_id: str, epoch: int) -> None:
        """Sub-tasks end with their parent, whichever way it ends; what they handed on goes."""
        for row in store.open_children(tx, parent_id):
            reason = "Shutdown request from user"  # as a stock parent asks for it
            outcome = Outcome(status="FAILED", error=reason, cause=f"The parent task[{parent_id}] has ended")
            self._end_in(tx, row, outcome, epoch, event="shutdown")
            tx.after_commit(partial(self._stop, row["id"]))
        tx.after_commit(lambda: self._handed_on.put(parent_id))

    def _stop(self, task_id: str) -> None:
        self._runner.stop(task_id, int(self._settings["ovl.task.killGrace"]) / 1000)

    def _told(self, task_id: str, datasource: str) -> None:
        self._scheduler.forget(task_id)
        self._signals.notify("locks:" + datasource)
        self._signals.notify("task:" + task_id)

    def shutdown(self, task_id: str, reason: str = "Shutdown request from user") -> bool:
        """End an unfinished task as FAILED: committed when this returns, its process ends soon after.

        Returns
        -------
        bool
            False when it has ended before, or is unknown.
        """
        epoch = self._leading()
        ended = self._db.retry(lambda: self._shut_down(task_id, reason, epoch))
        if ended:
            self._stop(task_id)
            self._scheduler.wake()
            _log.info("task shut down id=%s reason=%s", task_id, reason)
        return ended

    def _shut_down(self, task_id: str, reason: str, epoch: int) -> bool:
        with self._db.transaction() as tx:
            row = store.task(tx, task_id)
            if row is None or TaskState(row["state"]).ended:
                return False
            outcome = Outcome(status="FAILED", error=reason, cause=reason)
            return self._end_in(tx, row, outcome, epoch, event="shutdown")

    def shutdown_all(self, datasource: str, reason: str = "Shutdown request from user") -> list[str]:
        """End every unfinished task of a datasource; returns their ids."""
        with self._db.transaction() as tx:
            ids = store.open_of_datasource(tx, datasource)
        # The newest first: else each end would let a waiting one start that is about to be ended.
        return [task_id for task_id in reversed(ids) if self.shutdown(task_id, reason)]

    def _fail(self, row: dict[str, Any], attempt: int | None, outcome: Outcome) -> None:
        """End an attempt that could not start, or cannot be seen any more."""
        epoch = self._leading()
        with self._db.transaction() as tx:
            state = self._end_attempt(tx, {**row, "attempt": attempt}, outcome, epoch)
        if state is not TaskState.WAITING:
            self._runner.forget(row["id"])

    def _time_out(self, task_id: str) -> None:
        """Its time is over: end a running attempt, then its process. One that has published has succeeded."""
        epoch = self._leading()
        with self._db.transaction() as tx:
            row = store.task(tx, task_id)
        left_ms = time_left_ms(row)
        if row is None or left_ms is None:
            return
        if left_ms > 0:
            self._scheduler.limit(task_id, left_ms)
            return
        state = self._db.retry(lambda: self._finish(row, out_of_time(row["timeout_ms"]), epoch))
        if state is not None:
            faults.point("after_timeout_commit")
            self._runner.stop(task_id, int(self._settings["ovl.task.killGrace"]) / 1000)
            _log.warning("attempt out of time id=%s attempt=%d task=%s", task_id, row["attempt"], state)

    def _keep_logs(self, task_id: str) -> None:
        try:
            self._logs.keep(task_id)
        except OSError:
            _log.exception("The log of task[%s] cannot be stored; its end is not held up by that", task_id)

    # ---- what workers say ----

    def worker_started(self, task_id: str, attempt: int, token: str, identity: dict[str, Any]) -> bool:
        """A worker's first word; False when it is not wanted and must end."""
        self._leading()
        with self._db.transaction() as tx:
            return store.worker_started(tx, task_id, attempt, token, identity, self._runner.location())

    def worker_alive(self, task_id: str, attempt: int, token: str, progress: dict[str, Any] | None) -> bool:
        """A sign of life; False when the worker is not wanted any more."""
        self._leading()
        with self._db.transaction() as tx:
            return store.heartbeat(tx, task_id, attempt, token, progress)

    def worker_listens(self, task_id: str, attempt: int, token: str, place: dict[str, Any]) -> bool:
        """Where a worker can be spoken to; False when it is not wanted any more."""
        self._leading()
        with self._db.transaction() as tx:
            return store.chat_at(tx, task_id, attempt, token, place)

    def is_attempt(self, task_id: str, attempt: int, token: str) -> bool:
        """Whether that is the attempt that runs, and its token."""
        self._leading()
        with self._db.transaction() as tx:
            row = store.attempt_token(tx, task_id)
        return (
            row is not None
            and row["state"] == TaskState.RUNNING
            and row["attempt"] == attempt
            and row["token"] is not None
            and hmac.compare_digest(row["token"].encode(), token.encode())
        )

    # ---- processes that are gone ----

    def _settle_exits(self) -> None:
        while (exit_ := self._exits.get()) is not None:
            try:
                self._settle(exit_)
            except Exception as error:
                if self._epoch is None:
                    return
                _log.warning("The end of task[%s] cannot be written yet: %s", exit_.task_id, error)
                time.sleep(_RETRY_S)
                self._exits.put(exit_)

    def _settle(self, exit_: Exit) -> None:
        """A process is gone: end its task, unless that has been done, and clear up after it."""
        with self._db.transaction() as tx:
            row = store.task(tx, exit_.task_id)
        if row is not None and row["state"] == TaskState.RUNNING and row["attempt"] == exit_.attempt:
            self.finish(exit_.task_id, exit_.attempt, outcome_of(exit_))
            with self._db.transaction() as tx:
                row = store.task(tx, exit_.task_id)
        if row is not None and not TaskState(row["state"]).ended:
            self._runner.clear(exit_.task_id, exit_.attempt)  # another attempt follows, or is under way
        else:
            self._keep_logs(exit_.task_id)
            self._runner.forget(exit_.task_id)
            if row is not None and row["parent_id"] is not None:
                self._clear_after(row["parent_id"])
        self._scheduler.wake()

    def _clear_after(self, parent_id: str) -> None:
        """A sub-task that was at work when its parent ended may have handed something on since."""
        with self._db.transaction() as tx:
            parent = store.task(tx, parent_id)
        if parent is None or TaskState(parent["state"]).ended:
            self._handed_on.put(parent_id)


def _exists(task_id: str) -> DruidException:
    return DruidException(f"Task[{task_id}] already exists", code="entryAlreadyExists")


def _other_body(key: str, task_id: str) -> DruidException:
    return DruidException(
        f"Idempotency key[{key}] was used before with another body, for task[{task_id}]",
        status=422,
        where=HEADER,
        hint="send the same body to get the first task's id, or use a new key",
        context={"idempotencyKey": key, "task": task_id},
    )


def _storable(text: str | None) -> str | None:
    """Without U+0000, which Postgres has no room for."""
    return None if text is None else text.replace("\0", "\ufffd")


def _not_storable(task_id: str) -> DruidException:
    return DruidException(
        f"Encountered metadata exception for task [{task_id}]",
        status=500,
        code="general",
        persona="OPERATOR",
        category="RUNTIME_FAILURE",
        context={"isTransient": "false"},
    )


def _too_large(task_id: str, size: int, most: int) -> DruidException:
    return DruidException(
        f"Task[{task_id}] has payload of size[{size}] but max allowed size is [{most}]. Reduce the size of the task "
        "payload, or increase druid.indexer.queue.maxTaskPayloadSize."
    )


def _full(max_size: int) -> DruidException:
    return DruidException(
        f"Task queue already contains [{max_size}] tasks."
        f" Retry later or increase 'druid.indexer.queue.maxSize'[{max_size}].",
        status=429,
        code="general",
        persona="ADMIN",
        category="CAPACITY_EXCEEDED",
        headers={"Retry-After": "5"},
    )
