"""The queue with everything real but the processes."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import orjson

from overlord import schemas
from overlord.app import create_app
from overlord.logs import TaskLogs, open_store
from overlord.model.instant import now_ms
from overlord.model.task import Location
from overlord.outcome import Outcome
from overlord.queue import TaskQueue
from overlord.runners.base import Exit, Found, Room
from overlord.settings import Settings
from overlord.signals import Signals
from overlord.store import tasks as store
from overlord.store.db import Database

WORKER = "worker.example:8091"


class Attempts:
    """A runner whose attempts live until the test ends them."""

    name = "scripted"

    def __init__(self, folder, slots=2):
        self.on_exit = lambda exit_: None
        self.folder = folder
        self.slots = slots
        self.enabled = True
        self.begun = []
        self.stopped = []
        self.held = set()
        self.swept = {}
        self.lock = threading.Lock()
        self.live = {}

    def start(self, launch):
        with self.lock:
            self.live[launch.task_id] = launch
            self.begun.append((launch.task_id, launch.attempt))
        (self.folder / launch.task_id).mkdir(exist_ok=True)
        with (self.folder / launch.task_id / "log").open("a") as log:
            log.write(f"attempt {launch.attempt}\n")

    def stop(self, task_id, grace_s):
        self.stopped.append(task_id)
        self._free(task_id)

    def ended(self, task_id, attempt):
        self._free(task_id)

    def _free(self, task_id):
        with self.lock:
            self.live.pop(task_id, None)

    def adopt(self, row):
        return Found(state="alive", identity=row["identity"])

    def holds(self, task_id):
        return task_id in self.held

    def clear(self, task_id, attempt):
        pass

    def forget(self, task_id):
        self._free(task_id)

    def sweep(self, running):
        self.swept = running

    def room(self):
        with self.lock:
            live = list(self.live.values())
        free = self.slots - sum(launch.required_capacity for launch in live) if self.enabled else 0
        return Room(free=max(0, free), groups=frozenset(launch.availability_group for launch in live))

    def capacity(self):
        return self.slots

    def used(self):
        with self.lock:
            return sum(launch.required_capacity for launch in self.live.values())

    def workers(self):
        with self.lock:
            live = list(self.live.values())
        version = "0" if self.enabled else ""
        return [
            {
                "worker": {"host": WORKER, "capacity": self.slots, "version": version},
                "currCapacityUsed": self.used(),
                "availabilityGroups": [launch.availability_group for launch in live],
                "runningTasks": [launch.task_id for launch in live],
            }
        ]

    def location(self):
        host, _, port = WORKER.partition(":")
        return Location(host=host, port=int(port))

    def live_log(self, task_id):
        path = self.folder / task_id / "log"
        return path if path.is_file() else None

    def live_file(self, task_id, name):
        return None

    def live_report(self, task_id):
        path = self.folder / task_id / "report.json"
        return path if path.is_file() else None


class Line:
    """Queue, runner, database and the routes over them."""

    def __init__(self, dsn, folder, *, slots=2, **settings):
        self.db = Database(dsn)
        (folder / "work").mkdir(exist_ok=True)
        given = {"ovl.data.dir": str(folder), "druid.indexer.logs.directory": str(folder / "logs"), **settings}
        self.settings = Settings.load(env={}, flags=given)
        self.runner = Attempts(folder / "work", slots)
        self.logs = TaskLogs(open_store(self.settings), self.runner)
        self.queue = self._queue()
        self.leads = False
        self.app = None

    def _queue(self):
        self.signals = Signals()
        return TaskQueue(settings=self.settings, db=self.db, signals=self.signals, runner=self.runner, logs=self.logs)

    def lead(self):
        with self.db.transaction() as tx:
            epoch = store.lead(tx, "http://here")
        self.queue.start(epoch)
        self.leads = True

    def restart(self):
        """What a crash leaves is the database: another queue takes it up."""
        self.queue.stop()
        self.queue = self._queue()
        self.app = None
        self.lead()

    def close(self):
        if self.leads:
            self.queue.stop()
        self.db.close()

    def client(self):
        """For one thread."""
        if self.app is None:
            self.app = self._app()
        return self.app.test_client()

    def _app(self):
        leader = SimpleNamespace(is_leader=lambda: True, url=lambda: None)
        parts = SimpleNamespace(
            settings=self.settings,
            db=self.db,
            queue=self.queue,
            logs=self.logs,
            runner=self.runner,
            leader=leader,
            signals=self.signals,
        )
        return create_app(parts)

    def submit(self, task_id, **fields):
        body = {"type": "noop", "id": task_id, **fields}
        task = schemas.load_task(body, now_ms=now_ms(), default_context={}, settings=self.settings)
        return self.queue.submit(task)

    def fail(self, task_id, attempt=None, error="it broke", cause=None):
        """Let the running attempt tell that it failed."""
        attempt = attempt or self.row(task_id)["attempt"]
        return self.queue.finish(task_id, attempt, Outcome(status="FAILED", error=error, cause=cause or error))

    def succeed(self, task_id):
        return self.queue.finish(task_id, self.row(task_id)["attempt"], Outcome(status="SUCCESS", duration_ms=5))

    def die(self, task_id, attempt, status=9):
        """Let its process be killed."""
        self.queue._exits.put(Exit(task_id=task_id, attempt=attempt, end=None, wait_status=status))

    def row(self, task_id):
        with self.db.transaction() as tx:
            return store.task(tx, task_id)

    def stock(self, task_id):
        """The stock row's status."""
        with self.db.transaction() as tx:
            (row,) = tx.all("listing.some", ids=[task_id])
        return {"active": row["active"], **orjson.loads(row["status_payload"])}

    def until(self, ask, timeout_s=90.0):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = ask()
            if found:
                return found
            time.sleep(0.005)
        raise AssertionError("not in time")

    def until_blocked(self, task_id):
        """Wait until its locks were asked for in vain."""
        self.until(lambda: task_id in self.queue._scheduler._blockers)

    def until_state(self, task_id, state, attempt=None):
        def look():
            row = self.row(task_id)
            return row["state"] == state and (attempt is None or row["attempt"] == attempt) and row

        return self.until(look)
