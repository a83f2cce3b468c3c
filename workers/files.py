"""Small files that others read while they change: written aside, then renamed.

An attempt at a task has a folder `<task folder>/<attempt>`:

=============  ==========================================================================================
launch.json    what the runner tells the worker: ids, token, settings, memory
task.json      the task, as stored
overlord.url   where the Overlord is; a new one overwrites it
identity.json  the worker's (host, boot id, pid, start time): it has begun
report.json    the report so far
bad-rows.jsonl  rows that were rejected, if the context asks for them
end.json       the worker's last word; when it is there the work is done
exit.json      how the process ended, by the nursery
killed.json    why the runner killed it, if it did
scratch/       the task's own
=============  ==========================================================================================

The task folder itself holds `log`, which all attempts append to, and `lock`, which a worker holds for life.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import orjson


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file as a whole: a reader, or a crash, finds the old one or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """`write_atomically` of JSON."""
    write_atomically(path, orjson.dumps(value, default=str))


def read_json(path: Path) -> Any:
    """The JSON of a file; None when it is not there or not JSON."""
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


def take_lock(path: Path) -> int | None:
    """Lock a file until this process ends. Returns its descriptor, None when another process holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock."""
    if not path.exists():
        return False
    fd = take_lock(path)
    if fd is None:
        return True
    os.close(fd)
    return False
