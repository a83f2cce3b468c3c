"""Logs and reports of tasks: live ones where the task works, then the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from overlord.registry import Registry
from overlord.runners.base import Runner

BAD_ROWS = "bad-rows.jsonl"
"""A file of the attempt: rows that were rejected."""


class LogStore(Protocol):
    """Keeps what ended tasks leave. Putting the same again is no error."""

    def put_log(self, task_id: str, source: Path) -> None:
        """Take a log over; `source` may be gone afterwards."""

    def put_report(self, task_id: str, source: Path) -> None:
        """Take a report over."""

    def put_bad_rows(self, task_id: str, source: Path) -> None:
        """Take the rejected rows over."""

    def open_bad_rows(self, task_id: str) -> BinaryIO | None:
        """The rejected rows, seekable; None where there are none."""

    def open_log(self, task_id: str) -> BinaryIO | None:
        """The log, seekable; None where there is none."""

    def report(self, task_id: str) -> bytes | None:
        """The report as JSON text; None where there is none."""

    def delete(self, task_id: str) -> None:
        """Delete all that is kept of a task; none there is no error."""

    def count_older(self, before_ms: int) -> int:
        """How many logs and reports were last written before."""

    def delete_older(self, before_ms: int) -> int:
        """Delete them; gives their number."""


log_stores: Registry[type[LogStore]] = Registry("log store")


class TaskLogs:
    """What users ask for.

    Parameters
    ----------
    store : LogStore
    runner : Runner
        Knows the files of tasks that run here.
    """

    def __init__(self, store: LogStore, runner: Runner) -> None:
        self._store = store
        self._runner = runner

    def open(self, task_id: str) -> BinaryIO | None:
        """A task's log, live or stored."""
        for _ in range(2):  # it may move from one to the other between two looks
            live = self._runner.live_log(task_id)
            if live is not None:
                try:
                    return live.open("rb")
                except FileNotFoundError:
                    pass
            stored = self._store.open_log(task_id)
            if stored is not None:
                return stored
        return None

    def read(self, task_id: str, offset: int = 0) -> bytes | None:
        """A task's log from `offset` bytes on, the last `-offset` bytes if it is negative; None without a log."""
        file = self.open(task_id)
        if file is None:
            return None
        with file:
            size = file.seek(0, 2)
            file.seek(max(0, size + offset) if offset < 0 else min(offset, size))
            return file.read()

    def report(self, task_id: str) -> bytes | None:
        """A task's report as JSON text, live or stored."""
        for _ in range(2):
            live = self._runner.live_report(task_id)
            if live is not None:
                try:
                    return live.read_bytes()
                except FileNotFoundError:
                    pass
            stored = self._store.report(task_id)
            if stored is not None:
                return stored
        return None

    def bad_rows(self, task_id: str) -> BinaryIO | None:
        """The rows a task rejected, as JSON lines, live or stored; None if it kept none."""
        for _ in range(2):
            live = self._runner.live_file(task_id, BAD_ROWS)
            if live is not None:
                try:
                    return live.open("rb")
                except FileNotFoundError:
                    pass
            stored = self._store.open_bad_rows(task_id)
            if stored is not None:
                return stored
        return None

    def keep(self, task_id: str) -> None:
        """Hand what the task left to the store. Does nothing the second time."""
        rejected = self._runner.live_file(task_id, BAD_ROWS)
        if rejected is not None:
            self._store.put_bad_rows(task_id, rejected)
        log, report = self._runner.live_log(task_id), self._runner.live_report(task_id)
        if report is not None:
            self._store.put_report(task_id, report)
        if log is not None:
            self._store.put_log(task_id, log)

    def forget(self, task_id: str) -> None:
        """Delete what is stored of a task."""
        self._store.delete(task_id)

    def count_older(self, before_ms: int) -> int:
        """How many stored logs and reports were last written before."""
        return self._store.count_older(before_ms)

    def delete_older(self, before_ms: int) -> int:
        """Delete them; gives their number."""
        return self._store.delete_older(before_ms)


def open_store(settings: Mapping[str, Any]) -> LogStore:
    """The store that `druid.indexer.logs.type` names."""
    from overlord.logs import local, s3  # noqa: F401

    kind: Any = log_stores[settings["druid.indexer.logs.type"]]
    store: LogStore = kind(settings)
    return store
