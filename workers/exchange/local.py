"""A folder that all workers share."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from overlord.errors import TaskFailed
from workers.exchange.base import Exchange, exchanges
from workers.files import write_atomically

_LONGEST = 200


@exchanges.add("local")
class LocalExchange(Exchange):
    """See the module's text.

    Parameters
    ----------
    root : Path
        `ovl.exchange.dir`; made when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> LocalExchange:
        root = settings.get("ovl.exchange.dir")
        if not root:
            raise TaskFailed("ovl.exchange.dir is not set: sub-tasks have no place for what they hand on")
        return cls(Path(str(root)))

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, data)

    def get(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def put_path(self, key: str, path: Path) -> None:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            path.rename(target)
        except OSError as fault:
            if fault.errno != errno.EXDEV:
                raise
            shutil.move(path, target)

    def fetch(self, key: str, scratch: Path) -> Path:
        path = self._path(key)
        if not path.exists():
            raise TaskFailed(f"[{key}] is missing from the exchange: what a sub-task had made is gone ({path})")
        return _linked(path, scratch) if path.is_dir() else path

    def remove(self, key: str) -> None:
        path = self._path(key)
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)

    def sweep(self, wanted: Callable[[], Set[str]]) -> None:
        if not self._root.is_dir():
            return
        there = list(self._root.iterdir())
        keep = set(map(_file_name, wanted()))
        for path in there:
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*map(_file_name, key.split("/")))


def _linked(folder: Path, scratch: Path) -> Path:
    """The folder once more, at the price of a few directory entries: it may be wanted again."""
    copy = scratch / uuid.uuid4().hex
    copy.mkdir(parents=True)
    for file in folder.iterdir():
        try:
            os.link(file, copy / file.name)
        except OSError as fault:
            if fault.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                raise
            shutil.copyfile(file, copy / file.name)
    return copy


def _file_name(name: str) -> str:
    """The name, unless it is too long for a file system or would lead elsewhere."""
    data = name.encode()
    if len(data) <= _LONGEST and name not in ("", ".", ".."):
        return name
    return data[: _LONGEST - 45].decode("utf-8", "ignore") + "~" + hashlib.sha1(data).hexdigest()
