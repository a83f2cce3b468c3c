"""What the queue asks of whoever runs tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from overlord.model.task import Location
from overlord.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One attempt at a task, as the runner gets it after RUNNING was committed.

    Attributes
    ----------
    token : str
        The worker's password for its own routes; void with the next attempt.
    payload : bytes
        The task as JSON text.
    """

    task_id: str
    attempt: int
    token: str
    type: str
    datasource: str
    group_id: str
    availability_group: str
    required_capacity: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a worker process ended, as far as its runner knows.

    Attributes
    ----------
    end : dict or None
        The end file: the worker's own last word.
    wait_status : int or None
        As `os.wait` gave it; None when nobody was there to see.
    killed_for : str or None
        Why the runner itself killed it: the whole cause of the failure.
    log_tail : str
        Its last lines.
    """

    task_id: str
    attempt: int
    end: dict[str, Any] | None
    wait_status: int | None = None
    killed_for: str | None = None
    log_tail: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a runner found of an attempt that an earlier Overlord started.

    Attributes
    ----------
    state : str
        "alive": it is attached now, and its end will be told. "ended": see `exit`. "never": it has not begun and
        will not. "unclear": ask again in a moment. "elsewhere": it runs on another machine.
    identity : dict or None
        Of a living one.
    """

    state: str
    exit: Exit | None = None
    identity: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Room:
    """Slots that are free, and the availability groups of the tasks in the others."""

    free: int
    groups: frozenset[str]

    def fits(self, availability_group: str, required_capacity: int) -> bool:
        """Whether such a task could start."""
        return required_capacity <= self.free and availability_group not in self.groups


class Runner(Protocol):
    """Runs attempts. It decides nothing about a task's state; it tells the queue what it saw.

    `on_exit(Exit)` is called from a thread of the runner's, once an attempt that it started or adopted is gone.
    """

    name: str
    on_exit: Callable[[Exit], None]

    def start(self, launch: Launch) -> None:
        """Begin an attempt. Returns at once; what goes wrong later arrives as its exit.

        Raises
        ------
        OSError
            The attempt cannot begin (no space for its folder).
        """

    def stop(self, task_id: str, grace_s: float) -> None:
        """Ask an attempt to stop by SIGTERM, and kill its whole process group after `grace_s`. Returns at once."""

    def adopt(self, row: dict[str, Any]) -> Found:
        """Look for the attempt of a RUNNING row, and attach to it if it lives."""

    def ended(self, task_id: str, attempt: int) -> None:
        """The attempt's end is in the database: its slot is free, though its process may need a moment to go."""

    def holds(self, task_id: str) -> bool:
        """Whether a process of the task, even one whose end is known, may still be there."""

    def clear(self, task_id: str, attempt: int) -> None:
        """Remove the working files of an attempt that is gone, where another one of the task follows."""

    def forget(self, task_id: str) -> None:
        """Remove what an ended task left on disk, once its process is gone."""

    def sweep(self, running: dict[str, int]) -> None:
        """End and remove every attempt but the `running` ones (task id to attempt): the rest is a dead leader's."""

    def room(self) -> Room:
        """What could start now; nothing while the worker is disabled."""

    def capacity(self) -> int:
        """Slots in all."""

    def used(self) -> int:
        """Slots taken."""

    def workers(self) -> list[dict[str, Any]]:
        """Entries of `GET workers`."""

    def set_enabled(self, worker: str, enabled: bool) -> bool:
        """Let a worker ("host:port") take tasks or not; False when there is no such worker."""

    def location(self) -> Location:
        """Where its tasks run, as clients are told."""

    def live_log(self, task_id: str) -> Path | None:
        """File that the task's log is written to, while there is one."""

    def live_report(self, task_id: str) -> Path | None:
        """File with the task's report so far, while there is one."""

    def live_file(self, task_id: str, name: str) -> Path | None:
        """Another file that the task keeps up to date, while there is one."""

    def take_log(self, task_id: str, attempt: int, more: bytes) -> None:
        """Add to the log of a worker that does not share a disk with us."""

    def take_report(self, task_id: str, attempt: int, report: bytes) -> None:
        """Keep the report so far of a worker that does not share a disk with us."""

    def ask(self, kind: str, body: Mapping[str, Any], timeout_s: float) -> bytes:
        """Have a question answered by a process of its own, which takes no slot; gives the JSON of the answer.

        Raises
        ------
        NoAnswer
            What came instead: the words of who tried, or how its process ended.
        Unavailable
            Too many ask at the same time.
        """

    def open(self) -> None:
        """Begin to work."""

    def close(self) -> None:
        """Let go of everything without ending any task."""


runners: Registry[Callable[..., Runner]] = Registry("runner")
