"""Submits the task of its spec whenever it is due, once for each due time.

A run is claimed in Postgres (`ovl_runs`) before its task is submitted, under an id made of the due time. A server that
dies in between leaves a claim, and the next leader submits that task: under the same id, so if it was submitted after
all, nothing is run twice.

Runs do not overlap unless `allowOverlap` says so: a due time waits for the task of the run before. Due times that
passed meanwhile, or while no server led, become one run, of the last of them (`missedRuns`: `once`); `all` makes a run
of each, `none` only of those that come on time.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from overlord import schemas
from overlord.errors import BadRequest, DruidException, OverlordError, Unavailable
from overlord.model.audit import AuditInfo
from overlord.model.instant import DAY, MINUTE, format_instant, now_ms
from overlord.model.supervisor import SupervisorSpec
from overlord.model.task import Task
from overlord.schemas.scheduled import schedule_of
from overlord.store import schedules as store
from overlord.supervisors.base import Supervisor, supervisor_types
from overlord.supervisors.scheduled.templates import fill

if TYPE_CHECKING:
    from overlord.services import Services

_log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 60.0
_RETRY_S = 1.0
_LOOK_AGAIN_S = 1.0  # at a run that keeps the next one waiting
_ON_TIME_MS = 60_000
_MOST_MISSED = 10_000
_RECENT = 25
_ID_CHARACTERS = 255


@supervisor_types.add("scheduled_batch")
class ScheduledBatchSupervisor(Supervisor):
    """Tasks by the clock."""

    def __init__(self, spec: SupervisorSpec, services: Services, epoch: int) -> None:
        super().__init__(spec, services, epoch)
        self._config: Mapping[str, Any] = spec.payload["schedulerConfig"]
        self._schedule = schedule_of(self._config)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Refuse a spec whose task would be refused at every run."""
        if "query" in self.spec.payload["spec"] and "type" not in self.spec.payload["spec"]:
            if not self.spec.suspended:
                raise BadRequest(
                    "This Overlord has no SQL planner: 'spec' has to be a task",
                    where="spec",
                    hint="give the JSON of a task, as for POST task; or keep the supervisor suspended",
                )
            return
        try:
            self._task(now_ms())
        except BadRequest as error:
            error.where = f"spec.{error.where}" if error.where and error.where != "spec" else "spec"
            raise

    def start(self) -> None:
        if self.spec.suspended or self._stopping.is_set():
            return
        self._thread = threading.Thread(target=self._run, name=f"schedule-{self.id}", daemon=True)
        self._thread.start()

    def stop(self, *, graceful: bool) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(30 if graceful else 1)

    # ---- what others see ----

    def status(self) -> dict[str, Any]:
        with self.services.db.transaction() as tx:
            totals = store.totals(tx, self.id)
            runs = store.recent(tx, self.id, _RECENT)
        following = None if self.spec.suspended else self._schedule.after(now_ms())
        return {
            "supervisorId": self.id,
            "state": "SUSPENDED" if self.spec.suspended else "RUNNING",
            "lastTaskSubmittedTime": totals["last_submitted"],
            "nextTaskSubmissionTime": None if following is None else format_instant(following),
            "taskReport": {
                "totalSubmittedTasks": totals["submitted"],
                "totalSuccessfulTasks": totals["successful"],
                "totalFailedTasks": totals["failed"],
                "recentTasks": [_shown(run) for run in runs],
            },
        }

    # ---- the thread ----

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                wait_s = self._pass(now_ms())
            except Unavailable as error:
                _log.info("schedule[%s] waits: %s", self.id, error.message)
                wait_s = _RETRY_S
            except Exception:
                _log.exception("schedule[%s] stumbled", self.id)
                wait_s = _LONGEST_WAIT_S
            self._stopping.wait(wait_s)

    def _pass(self, now: int) -> float:
        """Submit what is due; how long there is nothing to do, in seconds."""
        db = self.services.db
        with db.transaction() as tx:
            left = store.claimed(tx, self.id)
            since = store.since(tx, self.id)
            unfinished = store.unfinished(tx, self.id)
        for due, task_id in left:
            self._submit(due, task_id)
        policy = self._config.get("missedRuns") or "once"
        due_times = self._due(max(since, now - _ON_TIME_MS) if policy == "none" else since, now)
        if not due_times:
            following = self._schedule.after(now)
            return _LONGEST_WAIT_S if following is None else min((following - now) / 1000, _LONGEST_WAIT_S)
        if not self._config.get("allowOverlap") and (left or unfinished):
            return _LOOK_AGAIN_S
        due = due_times[0] if policy == "all" else due_times[-1]
        missed = 0 if policy == "all" else len(due_times) - 1
        task_id = self._task_id(due)
        with db.transaction() as tx:
            ours = store.claim(tx, self.id, due, task_id, missed, self.epoch)
        if not ours:
            raise Unavailable("the run was claimed by someone else, or this server leads no more")
        self._submit(due, task_id)
        return 0.0

    def _due(self, since: int, now: int) -> list[int]:
        """Due times after one instant up to another; of very many only some, the last among them."""
        found = self._schedule.between(since, now, _MOST_MISSED)
        if len(found) == _MOST_MISSED:
            for window in (10 * MINUTE, DAY, 32 * DAY):
                if last := self._schedule.between(max(since, now - window), now, _MOST_MISSED):
                    return [*found, *last[-1:]]
        return found

    def _submit(self, due: int, task_id: str) -> None:
        """Submit the task of a claimed run; that it is there already is as good."""
        refused: str | None = None
        try:
            self.services.queue.submit(self._task(due), AuditInfo(author=self.id, comment="scheduled run"))
        except Unavailable:
            raise
        except DruidException as error:
            if error.status == 429:  # the queue is full; the claim stays
                raise Unavailable(error.message) from None
            refused = None if error.code == "entryAlreadyExists" else error.message
        except OverlordError as error:
            refused = error.message
        if refused is not None:
            _log.error("schedule[%s]: no task for the run of %s: %s", self.id, format_instant(due), refused)
        with self.services.db.transaction() as tx:
            store.submitted(tx, self.id, due, format_instant(now_ms()), refused)

    def _task_id(self, due: int) -> str:
        name = f"{self.id}_{format_instant(due)}"
        if len(name) <= _ID_CHARACTERS:
            return name
        digest = hashlib.sha256(self.id.encode()).hexdigest()[:16]
        return f"{self.id[:180]}_{digest}_{format_instant(due)}"

    def _task(self, due: int) -> Task:
        settings = self.services.settings
        body = fill(self.spec.payload["spec"], due, self._schedule.zone)
        return schemas.load_task(
            {**body, "id": self._task_id(due)},
            now_ms=due,
            default_context=settings["druid.indexer.task.default.context"] or {},
            settings=settings,
        )


def _shown(run: Mapping[str, Any]) -> dict[str, Any]:
    """One run, in the words of a task's status."""
    state = run["state"]
    ended = state in ("SUCCESS", "FAILED")
    status = "FAILED" if run["refused"] else state if ended else "RUNNING"
    return {
        "taskId": run["task_id"],
        "dueTime": format_instant(run["due_ms"]),
        "submittedTime": run["submitted_date"],
        "status": status,
        "endedTime": run["ended_date"],
        "errorMsg": run["refused"] or run["cause"],
        "missedRuns": run["missed"],
    }
