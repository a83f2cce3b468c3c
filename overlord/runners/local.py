"""Tasks as processes on this machine, forked from a warm nursery.

One thread watches everything: the nursery's messages, the pidfds of adopted attempts, memory, and who was asked to
stop. What it sees goes to `on_exit`; it decides nothing.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from overlord.model.host import ProcessIdentity, signal_group
from overlord.model.instant import format_instant, now_ms
from overlord.model.task import Location
from overlord.runners import memory
from overlord.runners.asking import Asking
from overlord.runners.base import Exit, Found, Launch, Room, runners
from overlord.runners.folders import TaskFolders, end_of, killed_for, log_tail, wait_status_of
from workers.files import read_json, write_atomically, write_json

_log = logging.getLogger(__name__)

_TICK_S = 0.5
_LINGER_S = 10.0
"""A worker whose end is known has this long to go."""
_EXIT_FILE_S = 1.0
"""How long the nursery of a dead Overlord may take to write an exit file."""
_REPLICATED = frozenset({"index_kafka"})
_WORKER_SETTINGS = ("druid.storage.", "druid.s3.", "druid.indexer.task.", "druid.worker.capacity", "ovl.")


@dataclass
class _Slot:
    """One attempt that is, or soon will be, a process."""

    task_id: str
    attempt: int
    type: str
    availability_group: str
    required_capacity: int
    folder: Path
    identity: ProcessIdentity | None = None
    pidfd: int | None = None  # watched by ourselves: the nursery that forked it is not ours
    kill_at: float | None = None
    killed_for: str | None = None
    ended: bool = False  # in the database; the slot is free
    sent: int = 0
    gone_at: float | None = None  # the pidfd told; only the exit file may be missing

    @property
    def weight(self) -> int:
        return 0 if self.ended else self.required_capacity


@dataclass
class _Nursery:
    process: subprocess.Popen[bytes]
    socket: socket.socket
    ready: bool = False
    started_at: float = field(default_factory=time.monotonic)


@runners.add("local")
class LocalRunner:
    """The `Runner` of one machine.

    Parameters
    ----------
    settings : Mapping
        `druid.worker.capacity`, `druid.indexer.task.baseTaskDir`, `ovl.task.memoryBytes` and what workers are told.
    location : callable
        Host and port of this server as clients are told, known once it listens.
    url : callable
        Where the workers, which are on this machine, reach it.
    """

    name = "local"

    def __init__(self, settings: Mapping[str, Any], location: Callable[[], Location], url: Callable[[], str]) -> None:
        self.on_exit: Callable[[Exit], None] = lambda _exit: None
        self._settings = settings
        self._location = location
        self._url = url
        self._capacity = int(settings["druid.worker.capacity"])
        self._limit = int(settings["ovl.task.memoryBytes"])
        self._folders = TaskFolders(Path(settings["druid.indexer.task.baseTaskDir"]))
        self._asking = Asking(
            self._folders.root / ".asks",
            self._send_message,
            self._for_workers(),
            most=int(settings["ovl.ask.processes"]),
            memory_bytes=int(settings["ovl.ask.memoryBytes"]),
        )
        self._slots: dict[str, _Slot] = {}
        self._elsewhere: dict[str, Path] = {}  # folders of tasks taken over from a server with a folder of its own
        self._lock = threading.RLock()
        self._enabled = True
        self._last_completed = format_instant(now_ms())
        self._nursery: _Nursery | None = None
        self._nursery_failures = 0
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._trash = threading.Event()

    # ---- what the queue asks for ----

    def open(self) -> None:
        """Start the nursery and the watch."""
        self._folders.create()
        self._asking.sweep()
        self._selector.register(self._wake_read, selectors.EVENT_READ, "wake")
        with self._lock:
            self._spawn_nursery()
        self._thread = threading.Thread(target=self._watch, name="runner", daemon=True)
        self._thread.start()
        threading.Thread(target=self._empty_trash, name="runner-trash", daemon=True).start()
        self._trash.set()

    def close(self) -> None:
        """Let go of everything; the tasks and their nursery live on until they have ended."""
        self._closing.set()
        self._trash.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout=5)
        with self._lock:
            if self._nursery is not None:
                self._nursery.socket.close()
                self._nursery = None
            for slot in self._slots.values():
                self._close_pidfd(slot)
            self._slots.clear()

    def start(self, launch: Launch) -> None:
        """Write the attempt's folder and have the nursery fork it."""
        slot = _Slot(
            task_id=launch.task_id,
            attempt=launch.attempt,
            type=launch.type,
            availability_group=launch.availability_group,
            required_capacity=launch.required_capacity,
            folder=self._folders.attempt(launch.task_id, launch.attempt),
        )
        with self._lock:
            self._slots[launch.task_id] = slot
            try:
                self._write_folder(slot.folder, launch)
            except OSError:
                del self._slots[launch.task_id]
                raise
            self._send(slot)

    def stop(self, task_id: str, grace_s: float) -> None:
        """SIGTERM now, SIGKILL after `grace_s`, to the whole process group."""
        with self._lock:
            slot = self._slots.get(task_id)
            if slot is None:
                return
            slot.kill_at = time.monotonic() + grace_s
            identity = slot.identity
        if identity is not None:
            signal_group(identity, signal.SIGTERM)
        self._wake()

    def adopt(self, row: dict[str, Any]) -> Found:
        """See `Runner.adopt`."""
        with self._lock:
            slot = self._slots.get(row["id"])
            if slot is not None and slot.attempt == row["attempt"]:
                return Found(state="alive", identity=self._identity_json(slot))
        folder = self._folders.attempt(row["id"], row["attempt"])
        told = row["identity"] or read_json(folder / "identity.json")
        if told and told.get("folder") and Path(told["folder"]) != folder:
            folder = Path(told["folder"])
            self._elsewhere[row["id"]] = folder.parent
        if not told:
            return self._adopt_unborn(row, folder)
        identity = ProcessIdentity.from_json(told)
        if not identity.is_here():
            return Found(state="elsewhere", identity=told)
        if identity.is_alive() and self._attach(row, folder, identity):
            return Found(state="alive", identity=told)
        return Found(state="ended", exit=self._exit_of_dead(row["id"], row["attempt"], folder))

    def ended(self, task_id: str, attempt: int) -> None:
        """Free the slot; the process gets a moment to go by itself."""
        with self._lock:
            slot = self._slots.get(task_id)
            if slot is not None and slot.attempt == attempt:
                slot.ended = True
                self._last_completed = format_instant(now_ms())
                if slot.kill_at is None:
                    slot.kill_at = time.monotonic() + _LINGER_S

    def holds(self, task_id: str) -> bool:
        """See `Runner.holds`."""
        with self._lock:
            return task_id in self._slots

    def clear(self, task_id: str, attempt: int) -> None:
        """See `Runner.clear`."""
        self._folders.throw_away(self._task_folder(task_id) / str(attempt) / "scratch")
        self._trash.set()

    def forget(self, task_id: str) -> None:
        """Remove the task's folder, unless it is at work again."""
        with self._lock:
            if task_id not in self._slots:
                self._folders.throw_away(self._task_folder(task_id))
                self._elsewhere.pop(task_id, None)
        self._trash.set()

    def sweep(self, running: dict[str, int]) -> None:
        """See `Runner.sweep`."""
        for task in self._folders.tasks():
            attempts = self._folders.attempts(task)
            launch = read_json(attempts[-1] / "launch.json") if attempts else None
            task_id = str(launch["task_id"]) if isinstance(launch, dict) else task.name
            for attempt in attempts:
                if running.get(task_id) != int(attempt.name):
                    self._end_stray(task_id, attempt)
            if task_id not in running and not self._folders.is_locked(task_id):
                self.forget(task_id)

    def room(self) -> Room:
        """See `Runner.room`.

        Replicas of a task that reads a stream share a group, and this machine: they outlive what ends one process.
        """
        with self._lock:
            taken = [slot for slot in self._slots.values() if not slot.ended]
        free = self._capacity - sum(slot.required_capacity for slot in taken) if self._enabled else 0
        alone = (slot.availability_group for slot in taken if slot.type not in _REPLICATED)
        return Room(free=max(0, free), groups=frozenset(alone))

    def capacity(self) -> int:
        """Slots in all."""
        return self._capacity

    def used(self) -> int:
        """Slots taken."""
        with self._lock:
            return sum(slot.weight for slot in self._slots.values())

    def workers(self) -> list[dict[str, Any]]:
        """This machine as Druid's one worker."""
        where = self._location()
        with self._lock:
            taken = [slot for slot in self._slots.values() if not slot.ended]
            by_type: dict[str, int] = {}
            for slot in taken:
                by_type[slot.type] = by_type.get(slot.type, 0) + slot.weight
            entry: dict[str, Any] = {
                "worker": {
                    "scheme": "http",
                    "host": f"{where.host}:{where.port}",
                    "ip": where.host,
                    "capacity": self._capacity,
                    "version": self._settings["druid.worker.version"] if self._enabled else "",
                    "category": self._settings["druid.worker.category"],
                },
                "currCapacityUsed": sum(by_type.values()),
                "currParallelIndexCapacityUsed": by_type.get("index_parallel", 0),
                "currCapacityUsedByTaskType": by_type,
                "availabilityGroups": list(dict.fromkeys(slot.availability_group for slot in taken)),
                "runningTasks": [slot.task_id for slot in taken],
                "lastCompletedTaskTime": self._last_completed,
            }
        if not by_type:
            del entry["currCapacityUsedByTaskType"]
        return [entry]

    def set_enabled(self, worker: str, enabled: bool) -> bool:
        """Let this machine take tasks, or not."""
        where = self._location()
        if worker != f"{where.host}:{where.port}":
            return False
        with self._lock:
            self._enabled = enabled
        return True

    def location(self) -> Location:
        """This server's."""
        return self._location()

    def live_log(self, task_id: str) -> Path | None:
        """See `Runner.live_log`."""
        return self._folders.live_file(self._task_folder(task_id), "log")

    def live_report(self, task_id: str) -> Path | None:
        """See `Runner.live_report`."""
        return self._folders.live_file(self._task_folder(task_id), "report.json")

    def live_file(self, task_id: str, name: str) -> Path | None:
        """See `Runner.live_file`."""
        return self._folders.live_file(self._task_folder(task_id), name)

    def take_log(self, task_id: str, attempt: int, more: bytes) -> None:
        """See `Runner.take_log`."""
        folder = self._task_folder(task_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / "log").open("ab") as log:
            log.write(more)

    def take_report(self, task_id: str, attempt: int, report: bytes) -> None:
        """See `Runner.take_report`."""
        folder = self._task_folder(task_id) / str(attempt)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(folder / "report.json", report)

    def ask(self, kind: str, body: Mapping[str, Any], timeout_s: float) -> bytes:
        """See `Runner.ask`."""
        return self._asking.ask(kind, body, timeout_s)

    def pids(self) -> dict[str, int]:
        """Process of each attempt that has one, for tests and diagnosis."""
        with self._lock:
            return {slot.task_id: slot.identity.pid for slot in self._slots.values() if slot.identity is not None}

    # ---- attempts ----

    def _write_folder(self, folder: Path, launch: Launch) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write_url(folder)
        write_atomically(folder / "task.json", launch.payload)
        write_json(
            folder / "launch.json",
            {
                "task_id": launch.task_id,
                "attempt": launch.attempt,
                "token": launch.token,
                "type": launch.type,
                "datasource": launch.datasource,
                "group_id": launch.group_id,
                "availability_group": launch.availability_group,
                "required_capacity": launch.required_capacity,
                "memory_bytes": self._limit,
                "heartbeat_ms": self._settings["ovl.task.heartbeat"],
                "settings": self._for_workers(),
            },
        )

    def _for_workers(self) -> dict[str, Any]:
        return {name: value for name, value in self._settings.items() if name.startswith(_WORKER_SETTINGS)}

    def _write_url(self, folder: Path) -> None:
        write_atomically(folder / "overlord.url", f"{self._url()}\n".encode())

    def _adopt_unborn(self, row: dict[str, Any], folder: Path) -> Found:
        """An attempt that never said who it is: died early, never forked, or about to speak."""
        if end_of(folder) is not None or wait_status_of(folder) is not None:
            return Found(state="ended", exit=self._exit_of_dead(row["id"], row["attempt"], folder))
        if not self._folders.is_locked(row["id"]):
            return Found(state="never")
        if folder.is_dir():
            self._write_url(folder)
        return Found(state="unclear")

    def _attach(self, row: dict[str, Any], folder: Path, identity: ProcessIdentity) -> bool:
        """Watch a living process that another server's nursery forked; False when it just died."""
        try:
            pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return False
        if not identity.is_alive():
            os.close(pidfd)
            return False
        if folder.is_dir():
            self._write_url(folder)
        slot = _Slot(
            task_id=row["id"],
            attempt=row["attempt"],
            type=row["type"],
            availability_group=row["availability_group"],
            required_capacity=row["required_capacity"],
            folder=folder,
            identity=identity,
            pidfd=pidfd,
        )
        with self._lock:
            self._slots[slot.task_id] = slot
            self._selector.register(pidfd, selectors.EVENT_READ, slot)
        self._wake()
        return True

    def _exit_of_dead(self, task_id: str, attempt: int, folder: Path) -> Exit:
        end, status = end_of(folder), wait_status_of(folder)
        deadline = time.monotonic() + _EXIT_FILE_S
        while end is None and status is None and folder.is_dir() and time.monotonic() < deadline:
            time.sleep(0.02)  # its nursery may be about to write
            end, status = end_of(folder), wait_status_of(folder)
        return Exit(
            task_id=task_id,
            attempt=attempt,
            end=end,
            wait_status=status,
            killed_for=killed_for(folder),
            log_tail=log_tail(folder.parent),
        )

    def _end_stray(self, task_id: str, folder: Path) -> None:
        """Kill an attempt that nobody wants any more."""
        with self._lock:
            slot = self._slots.get(task_id)
            if slot is not None and slot.folder == folder:
                return
        told = read_json(folder / "identity.json")
        if isinstance(told, dict) and signal_group(ProcessIdentity.from_json(told), signal.SIGKILL):
            _log.warning("Killed a stray attempt at task[%s] in %s", task_id, folder)

    def _task_folder(self, task_id: str) -> Path:
        return self._elsewhere.get(task_id) or self._folders.task(task_id)

    def _identity_json(self, slot: _Slot) -> dict[str, Any] | None:
        if slot.identity is None:
            return None
        return {**slot.identity.to_json(), "folder": str(slot.folder)}

    # ---- the nursery ----

    def _spawn_nursery(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        cpus = len(os.sched_getaffinity(0))
        threads = min(cpus, max(2, cpus // max(1, self._capacity)))
        env = {
            **os.environ,
            "POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", str(threads)),
            "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        with (self._folders.root / ".nursery.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "workers.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=env,
            )
        theirs.close()
        ours.setblocking(False)
        self._nursery = _Nursery(process, ours)
        self._selector.register(ours, selectors.EVENT_READ, "nursery")

    def _send(self, slot: _Slot) -> None:
        """Ask for a fork. A nursery that has just died is seen by the watch, which asks its successor."""
        if self._nursery is None:
            return
        try:
            self._nursery.socket.send(orjson.dumps({"folder": str(slot.folder)}))
            slot.sent += 1
        except BlockingIOError:
            return  # it is still busy with its imports; the watch asks again
        except OSError as error:
            slot.sent += 1
            _log.warning("The nursery cannot be asked for task[%s]: %s", slot.task_id, error)
            self._wake()

    def _send_message(self, message: dict[str, Any]) -> None:
        with self._lock:
            if self._nursery is None:
                raise OSError("there is no nursery")
            self._nursery.socket.send(orjson.dumps(message))

    def _hear_nursery(self) -> None:
        nursery = self._nursery
        if nursery is None:
            return
        while True:
            try:
                message = nursery.socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._lost_nursery(nursery)
                return
            self._heard(nursery, orjson.loads(message))

    def _heard(self, nursery: _Nursery, message: dict[str, Any]) -> None:
        if "ready" in message:
            nursery.ready = True
            self._nursery_failures = 0
            _log.info("Nursery %d is warm after %.1f s", nursery.process.pid, time.monotonic() - nursery.started_at)
            return
        if self._asking.heard(message):
            return
        folder = Path(message.get("forked") or message["exited"])
        with self._lock:
            slot = next((slot for slot in self._slots.values() if slot.folder == folder), None)
            if slot is None:
                return
            if "forked" in message:
                slot.identity = ProcessIdentity.of(message["pid"])
                if slot.kill_at is not None and slot.identity is not None:
                    signal_group(slot.identity, signal.SIGTERM)
                return
        self._gone(slot, int(message["status"]))

    def _lost_nursery(self, nursery: _Nursery) -> None:
        """Its children live on, and are watched by pidfd from here; those it had not forked go to the next one."""
        self._selector.unregister(nursery.socket)
        nursery.socket.close()
        code = nursery.process.wait()
        _log.error("The nursery ended with code %s; starting another", code)
        self._asking.lost()
        self._nursery_failures += 0 if nursery.ready else 1
        with self._lock:
            self._nursery = None
            if self._closing.is_set():
                return
            if self._nursery_failures > 1:
                time.sleep(min(5.0, 0.5 * self._nursery_failures))
            self._spawn_nursery()
            orphans = [slot for slot in self._slots.values() if slot.pidfd is None]
        for slot in orphans:
            self._take_orphan(slot)

    def _take_orphan(self, slot: _Slot) -> None:
        told = read_json(slot.folder / "identity.json")
        identity = ProcessIdentity.from_json(told) if told else slot.identity
        if identity is not None and identity.is_alive():
            try:
                slot.pidfd = os.pidfd_open(identity.pid)
            except ProcessLookupError:
                self._gone(slot, wait_status_of(slot.folder))
                return
            slot.identity = identity
            self._selector.register(slot.pidfd, selectors.EVENT_READ, slot)
        elif identity is not None or slot.sent > 3:
            if identity is None:
                slot.killed_for = "The nursery of worker processes does not start; see .nursery.log in the task folder"
            self._gone(slot, wait_status_of(slot.folder))
        else:
            with self._lock:
                self._send(slot)

    # ---- the watch ----

    def _watch(self) -> None:
        next_tick = time.monotonic() + _TICK_S
        while not self._closing.is_set():
            with self._lock:
                leaving = any(slot.gone_at for slot in self._slots.values())
            timeout_s = 0.02 if leaving else max(0.0, next_tick - time.monotonic())
            try:
                for key, _ in self._selector.select(timeout_s):
                    self._ready(key.data)
                self._finish_leaving()
                if time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + _TICK_S
                    self._check_memory()
                    self._kill_late()
                    self._send_unsent()
            except Exception:
                _log.exception("The watch over worker processes stumbled")
                time.sleep(_TICK_S)

    def _ready(self, what: Any) -> None:
        if what == "wake":
            try:
                while os.read(self._wake_read, 512):
                    pass
            except BlockingIOError:
                return
        elif what == "nursery":
            self._hear_nursery()
        elif isinstance(what, _Slot):
            with self._lock:
                self._close_pidfd(what)
                what.gone_at = time.monotonic()

    def _finish_leaving(self) -> None:
        """Adopted ones that are gone: their own nursery may still have to write the exit file."""
        with self._lock:
            leaving = [slot for slot in self._slots.values() if slot.gone_at is not None]
        for slot in leaving:
            status = wait_status_of(slot.folder)
            late = time.monotonic() - (slot.gone_at or 0) > _EXIT_FILE_S
            if status is not None or late or end_of(slot.folder) is not None:
                self._gone(slot, status)

    def _gone(self, slot: _Slot, status: int | None) -> None:
        """The process has ended: free the slot and tell."""
        with self._lock:
            if self._slots.get(slot.task_id) is not slot:
                return
            del self._slots[slot.task_id]
            self._close_pidfd(slot)
        exit_ = Exit(
            task_id=slot.task_id,
            attempt=slot.attempt,
            end=end_of(slot.folder),
            wait_status=status,
            killed_for=slot.killed_for or killed_for(slot.folder),
            log_tail="" if slot.ended else log_tail(slot.folder.parent),
        )
        self.on_exit(exit_)

    def _close_pidfd(self, slot: _Slot) -> None:
        if slot.pidfd is not None:
            self._selector.unregister(slot.pidfd)
            os.close(slot.pidfd)
            slot.pidfd = None

    def _check_memory(self) -> None:
        """Kill whoever takes more than `ovl.task.memoryBytes`."""
        with self._lock:
            groups = {slot.identity.pid: slot for slot in self._slots.values() if slot.identity is not None}
        if not groups:
            return
        for pid, members in memory.members_of_groups(set(groups)).items():
            used = memory.group_bytes(members, self._limit)
            slot = groups[pid]
            if used > self._limit and slot.killed_for is None and not slot.ended and slot.identity is not None:
                slot.killed_for = (
                    f"memory limit: the task took {used} bytes (PSS), more than ovl.task.memoryBytes = {self._limit}"
                )
                _log.warning("Killing task[%s]: %s", slot.task_id, slot.killed_for)
                self._write_killed(slot)
                signal_group(slot.identity, signal.SIGKILL)

    @staticmethod
    def _write_killed(slot: _Slot) -> None:
        """Leave word of why, for the case that somebody else settles the end."""
        try:
            write_json(slot.folder / "killed.json", {"cause": slot.killed_for})
        except OSError as error:
            _log.warning("%s/killed.json: %s", slot.folder, error)

    def _kill_late(self) -> None:
        """Kill those whose time to stop is over."""
        with self._lock:
            late = [s for s in self._slots.values() if s.kill_at is not None and s.kill_at <= time.monotonic()]
        for slot in late:
            if slot.identity is not None and signal_group(slot.identity, signal.SIGKILL):
                _log.warning("Killed task[%s], which did not stop by itself", slot.task_id)

    def _send_unsent(self) -> None:
        with self._lock:
            for slot in self._slots.values():
                if not slot.sent and slot.pidfd is None and slot.identity is None:
                    self._send(slot)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            return

    def _empty_trash(self) -> None:
        while not self._closing.is_set():
            self._trash.wait()
            self._trash.clear()
            try:
                self._folders.empty_trash()
            except OSError:
                _log.exception("Left-over task folders cannot be removed")
