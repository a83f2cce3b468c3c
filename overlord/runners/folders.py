"""Where the attempts at tasks live on disk; `workers.files` tells what is in their folders."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workers.files import is_locked, read_json

_LONGEST = 200
_TAIL_BYTES = 4096
_TAIL_LINES = 20


def file_name(task_id: str) -> str:
    """A name for files of a task: its id, unless that is too long for a file system."""
    data = task_id.encode()
    if len(data) <= _LONGEST:
        return task_id
    return data[: _LONGEST - 45].decode("utf-8", "ignore") + "~" + hashlib.sha1(data).hexdigest()


class TaskFolders:
    """All tasks' folders.

    Parameters
    ----------
    root : Path
        `druid.indexer.task.baseTaskDir`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._trash = root / ".trash"

    def create(self) -> None:
        """Make the root, and empty what an earlier process threw away."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._trash.mkdir(exist_ok=True)

    def task(self, task_id: str) -> Path:
        """Folder of a task."""
        return self.root / file_name(task_id)

    def attempt(self, task_id: str, attempt: int) -> Path:
        """Folder of one attempt."""
        return self.task(task_id) / str(attempt)

    def attempts(self, task: Path) -> list[Path]:
        """Attempts found in a task's folder, the oldest first."""
        try:
            found = [path for path in task.iterdir() if path.name.isdigit()]
        except OSError:
            return []
        return sorted(found, key=lambda path: int(path.name))

    def tasks(self) -> Iterator[Path]:
        """Folders of all tasks that left something."""
        for path in list(self.root.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield path

    def live_file(self, task: Path, name: str) -> Path | None:
        """The newest attempt's file of that name, if there is one; the log is the task's own."""
        if name == "log":
            return task / name if (task / name).is_file() else None
        for attempt in reversed(self.attempts(task)):
            if (attempt / name).is_file():
                return attempt / name
        return None

    def is_locked(self, task_id: str) -> bool:
        """Whether a process works on the task."""
        return is_locked(self.task(task_id) / "lock")

    def throw_away(self, task: Path) -> None:
        """Take a folder out of sight, in one step; `empty_trash` does the slow part."""
        try:
            task.rename(self._trash / uuid.uuid4().hex)
        except FileNotFoundError:
            return
        except OSError:  # on another file system
            shutil.rmtree(task, ignore_errors=True)

    def empty_trash(self) -> None:
        """Remove what was thrown away."""
        for path in list(self._trash.iterdir()):
            shutil.rmtree(path, ignore_errors=True)


def log_tail(task: Path) -> str:
    """The last lines of a task's log."""
    try:
        with (task / "log").open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = text.splitlines()
    if size > _TAIL_BYTES:
        lines = lines[1:]  # the first is but a part
    return "\n".join(lines[-_TAIL_LINES:])


def end_of(attempt: Path) -> dict[str, Any] | None:
    """The worker's last word."""
    end = read_json(attempt / "end.json")
    return end if isinstance(end, dict) else None


def wait_status_of(attempt: Path) -> int | None:
    """The wait status that the nursery saw."""
    seen = read_json(attempt / "exit.json")
    return int(seen["status"]) if isinstance(seen, dict) else None


def killed_for(attempt: Path) -> str | None:
    """Why a runner killed the attempt, if one did."""
    killed = read_json(attempt / "killed.json")
    return str(killed["cause"]) if isinstance(killed, dict) else None
