"""What a job gets: its task, a place to work, and the Overlord's ear."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workers.client import ActionClient, OverlordClient
from workers.report import Report


class Progress:
    """Numbers of a running task, sent with its heartbeat."""

    def __init__(self) -> None:
        self._numbers: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.changed = threading.Event()

    def __call__(self, **numbers: Any) -> None:
        """Set some of them."""
        with self._lock:
            self._numbers.update(numbers)
        self.changed.set()

    def take(self) -> dict[str, Any] | None:
        """All of them, or None when there are none yet."""
        self.changed.clear()
        with self._lock:
            return dict(self._numbers) or None


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """One attempt at a task, from the inside.

    Attributes
    ----------
    payload : dict
        The task, every default filled in.
    context : dict
        The task's `context`.
    dir : Path
        Scratch space; removed after the task.
    settings : Mapping
        The server's settings that begin with `druid.storage.`, `druid.indexer.task.` or `ovl.`.
    memory_bytes : int
        More than this, and the task is ended.
    actions : ActionClient
        `submit(action)` returns the action's result.
    overlord : OverlordClient or None
        Druid's own routes, for those that have sub-tasks; None where there is no server.
    report : Report
        `set(key, payload)`.
    progress : callable
        `progress(rows=..., bytes=...)`: what users see while it runs.
    remarks : list of str
        What is to be said of a task that succeeds; the last one is its errorMsg.
    stopping : threading.Event
        Set when the task shall stop; look at it in each loop.
    log : logging.Logger
        Goes to the task's log.
    """

    task_id: str
    attempt: int
    type: str
    payload: dict[str, Any]
    dir: Path
    settings: Mapping[str, Any]
    memory_bytes: int
    actions: ActionClient
    overlord: OverlordClient | None = None
    report: Report
    progress: Progress = field(default_factory=Progress)
    remarks: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("task"))

    @property
    def context(self) -> dict[str, Any]:
        """The task's own context."""
        return self.payload.get("context") or {}
