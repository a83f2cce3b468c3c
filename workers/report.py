"""The report of a task, kept as a file that is readable while the task runs and after it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from workers.files import write_json


class Report:
    """Druid's report: `{key: {type, taskId, payload}}`.

    Parameters
    ----------
    path : Path
        Rewritten as a whole, at most once in `every_s` seconds and at the end.
    """

    def __init__(self, path: Path, task_id: str, *, every_s: float = 1.0) -> None:
        self._path = path
        self._task_id = task_id
        self._every_s = every_s
        self._entries: dict[str, dict[str, Any]] = {}
        self._written_at = float("-inf")
        self._lock = threading.Lock()

    def set(self, key: str, payload: Any, *, type: str | None = None) -> None:
        """Put or replace one entry; `type` is Druid's and mostly the key itself."""
        with self._lock:
            self._entries[key] = {"type": type or key, "taskId": self._task_id, "payload": payload}
            if time.monotonic() - self._written_at >= self._every_s:
                self._write()

    def finish(self) -> bool:
        """Write what is still unwritten. Returns whether there is a report at all."""
        with self._lock:
            if self._entries:
                self._write()
            return bool(self._entries)

    def _write(self) -> None:
        write_json(self._path, self._entries)
        self._written_at = time.monotonic()
