"""Logs and reports in one flat folder, as Druid's type `file` has them: `<taskId>.log`, `<taskId>.report.json`."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from overlord.logs import log_stores
from overlord.runners.folders import file_name

LOG, REPORT, BAD_ROWS = SUFFIXES = (".log", ".report.json", ".bad-rows.jsonl")


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
        _move(source, self._path(task_id, LOG))

    def put_report(self, task_id: str, source: Path) -> None:
        """Move the file."""
        _move(source, self._path(task_id, REPORT))

    def put_bad_rows(self, task_id: str, source: Path) -> None:
        """Move the file."""
        _move(source, self._path(task_id, BAD_ROWS))

    def open_bad_rows(self, task_id: str) -> BinaryIO | None:
        """The file, opened."""
        return self._open(task_id, BAD_ROWS)

    def open_log(self, task_id: str) -> BinaryIO | None:
        """The file, opened."""
        return self._open(task_id, LOG)

    def report(self, task_id: str) -> bytes | None:
        """What the file holds."""
        try:
            return self._path(task_id, REPORT).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, task_id: str) -> None:
        """Unlink the files."""
        for suffix in SUFFIXES:
            self._path(task_id, suffix).unlink(missing_ok=True)

    def count_older(self, before_ms: int) -> int:
        """By the time of their last change."""
        return sum(1 for _ in self._older(before_ms))

    def delete_older(self, before_ms: int) -> int:
        """By the time of their last change."""
        gone = 0
        for path in list(self._older(before_ms)):
            path.unlink(missing_ok=True)
            gone += 1
        return gone

    def _older(self, before_ms: int) -> Iterator[Path]:
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if not entry.name.endswith(SUFFIXES) or not entry.is_file(follow_symlinks=False):
                    continue
                try:
                    written_ns = entry.stat(follow_symlinks=False).st_mtime_ns
                except FileNotFoundError:
                    continue
                if written_ns < before_ms * 1_000_000:
                    yield Path(entry.path)

    def _open(self, task_id: str, suffix: str) -> BinaryIO | None:
        try:
            return self._path(task_id, suffix).open("rb")
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
