"""Logs and reports in a bucket, as Druid's type `s3` has them: `<prefix>/<taskId>/log`, `.../report.json`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from overlord.errors import SettingError, TaskFailed
from overlord.logs import log_stores
from workers.object_store import Bucket, open_s3

LOG, REPORT, BAD_ROWS = NAMES = ("log", "report.json", "bad-rows.jsonl")
IN_MEMORY = 8 << 20


@log_stores.add("s3")
class S3LogStore:
    """A bucket.

    Parameters
    ----------
    settings : Mapping
        `druid.indexer.logs.s3Bucket`, `druid.indexer.logs.s3Prefix`, `druid.s3.*`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        name = settings["druid.indexer.logs.s3Bucket"]
        if not name:
            raise SettingError("druid.indexer.logs.type is s3, and druid.indexer.logs.s3Bucket is not set")
        self._bucket: Bucket = open_s3(name, settings)
        self._prefix = str(settings["druid.indexer.logs.s3Prefix"] or "").strip("/")

    def put_log(self, task_id: str, source: Path) -> None:
        """Upload, then delete the file."""
        self._put(task_id, LOG, source)

    def put_report(self, task_id: str, source: Path) -> None:
        """Upload, then delete the file."""
        self._put(task_id, REPORT, source)

    def put_bad_rows(self, task_id: str, source: Path) -> None:
        """Upload, then delete the file."""
        self._put(task_id, BAD_ROWS, source)

    def open_bad_rows(self, task_id: str) -> BinaryIO | None:
        """A copy of the object: in memory while it is small."""
        return self._open(task_id, BAD_ROWS)

    def open_log(self, task_id: str) -> BinaryIO | None:
        """A copy of the object: in memory while it is small."""
        return self._open(task_id, LOG)

    def report(self, task_id: str) -> bytes | None:
        """What the object holds."""
        return self._bucket.get(self._key(task_id, REPORT))

    def delete(self, task_id: str) -> None:
        """Delete the objects."""
        self._bucket.delete(*(self._key(task_id, name) for name in NAMES))

    def count_older(self, before_ms: int) -> int:
        """By the time of their upload."""
        return sum(1 for _ in self._older(before_ms))

    def delete_older(self, before_ms: int) -> int:
        """By the time of their upload."""
        keys = list(self._older(before_ms))
        if keys:
            self._bucket.delete(*keys)
        return len(keys)

    def _older(self, before_ms: int) -> Iterator[str]:
        for each in self._bucket.list(f"{self._prefix}/" if self._prefix else ""):
            if each.key.endswith(tuple(f"/{name}" for name in NAMES)) and each.written.timestamp() * 1000 < before_ms:
                yield each.key

    def _put(self, task_id: str, name: str, source: Path) -> None:
        if source.exists():  # else it was taken over before
            try:
                self._bucket.upload(self._key(task_id, name), source)
            except TaskFailed as failure:
                raise OSError(failure.message) from failure
            source.unlink(missing_ok=True)

    def _open(self, task_id: str, name: str) -> BinaryIO | None:
        key = self._key(task_id, name)
        if not any(each.key == key for each in self._bucket.list(key)):
            return None
        copy = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  whoever asked for it closes it
        self._bucket.download(key, cast(BinaryIO, copy))
        copy.seek(0)
        return cast(BinaryIO, copy)

    def _key(self, task_id: str, name: str) -> str:
        return "/".join((*filter(None, (self._prefix,)), task_id, name))
