"""Logs and reports in one flat folder, as Druid's type `file` has them: `<taskId>.log`, `<taskId>.report.json`."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from overlord.logs import log_stores
from overlord.runners.folders import file_name


@log_stores.add("file")
class FileLogStore:
    """A folder of this machine.

    Parameters
    ----------
    settings : Mapping
        `druid.indexer.logs.directory`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.directory = Path(settings["druid.indexer.logs.directory"])
        self.directory.mkdir(parents=True, exist_ok=True)

    def put_log(self, task_id: str, source: Path) -> None:
        """Move the file; what is on another file system is copied."""
        _move(source, self._path(task_id, ".log"))

    def put_report(self, task_id: str, source: Path) -> None:
        """Move the file."""
        _move(source, self._path(task_id, ".report.json"))

    def open_log(self, task_id: str) -> BinaryIO | None:
        """The file, opened."""
        try:
            return self._path(task_id, ".log").open("rb")
        except FileNotFoundError:
            return None

    def report(self, task_id: str) -> bytes | None:
        """What the file holds."""
        try:
            return self._path(task_id, ".report.json").read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, task_id: str, suffix: str) -> Path:
        return self.directory / (file_name(task_id) + suffix)


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except FileNotFoundError:
        return  # moved before
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        aside = target.with_name(f".{target.name[:200]}.{os.getpid()}")
        shutil.copyfile(source, aside)
        aside.replace(target)
        source.unlink(missing_ok=True)
