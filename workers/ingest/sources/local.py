"""Files of the machine the task runs on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from overlord.errors import TaskFailed
from workers.ingest.sources.base import (
    ByteStream,
    InputObject,
    InputSource,
    SplitHint,
    in_groups,
    input_sources,
    strings,
)


@input_sources.add("local")
class LocalSource(InputSource):
    """`{"type": "local", "baseDir", "filter"}` and/or `{"files": [...]}`.

    `filter` is matched against file names (`*` and `?`, no character classes) in the folder and all below it.
    Files are read in the order of their paths. Stock Druid ends with SUCCESS and no rows when nothing is
    found; a wrong path fails here.
    """

    splittable = True

    def __init__(self, base_dir: str | None, pattern: str, files: list[str]) -> None:
        self.base_dir = base_dir
        self.pattern = pattern
        self.files = files

    @classmethod
    def from_json(cls, json: Mapping[str, Any], settings: Mapping[str, Any]) -> LocalSource:
        base_dir, files = json.get("baseDir"), strings(json, "files", "inputSource")
        if base_dir is None and not files:
            raise TaskFailed("inputSource of type local needs baseDir and filter, or files")
        pattern = json.get("filter", "*" if base_dir is None else None)
        if base_dir is not None and not (isinstance(base_dir, str) and isinstance(pattern, str)):
            raise TaskFailed("inputSource.baseDir and inputSource.filter must both be given, as strings")
        source = cls(base_dir, pattern or "*", files)
        source.system_fields = tuple(strings(json, "systemFields", "inputSource"))
        return source

    def objects(self) -> Iterator[InputObject]:
        seen: set[Path] = set()
        for path in [*self._found(), *map(Path, self.files)]:
            if path not in seen:
                seen.add(path)
                yield _object(path)

    def splits(self, hint: SplitHint) -> Iterator[dict[str, Any]]:
        system = {"systemFields": list(self.system_fields)} if self.system_fields else {}
        filled = (item for item in self.objects() if item.size)  # as Druid has no sub-task read nothing
        for group in in_groups(filled, hint):
            yield {"type": "local", "files": [item.name for item in group], **system}

    def _found(self) -> list[Path]:
        if self.base_dir is None:
            return []
        base, matches = Path(self.base_dir), wildcard(self.pattern)
        if not base.exists():
            raise TaskFailed(f"{base} does not exist (inputSource.baseDir)")
        found = sorted(_walk(base, matches)) if base.is_dir() else [base] if matches(base.name) else []
        if not found:
            raise TaskFailed(f"No file below {base} matches {self.pattern!r} (inputSource.filter)")
        return found


def wildcard(pattern: str) -> Callable[[str], bool]:
    """Whether a file name matches: `*` any run of characters, `?` any one, all else itself."""
    parts = {"*": ".*", "?": "."}
    regex = re.compile("".join(parts.get(c, re.escape(c)) for c in pattern), re.DOTALL)
    return lambda name: regex.fullmatch(name) is not None


def _walk(base: Path, matches: Callable[[str], bool]) -> Iterator[Path]:
    """Matching files below `base`; links to folders are followed once."""
    visited: set[str] = set()

    def fail(error: OSError) -> None:
        raise TaskFailed(f"Cannot list folder {error.filename}: {error.strerror}") from error

    for folder, folders, names in os.walk(base, onerror=fail, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        yield from (Path(folder, name) for name in names if matches(name))


def _object(path: Path) -> InputObject:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise TaskFailed(f"Cannot read file {path}: {error.strerror}") from error
    if path.is_dir():
        raise TaskFailed(f"Cannot read file {path}: Is a directory")
    uri = "file:" + quote(str(path.absolute()), safe="/~!$&'()*+,;=:@")
    system = {"__file_uri": uri, "__file_path": str(path)}
    return InputObject(name=str(path), size=size, open=partial(_open, path, size), uri=uri, path=path, system=system)


def _open(path: Path, size: int) -> ByteStream:
    try:
        return _Whole(path, size)
    except OSError as error:
        raise TaskFailed(f"Cannot read file {path}: {error.strerror}") from error


class _Whole:
    """An open file, of which at least the bytes must come that it had when it was found."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._file = path.open("rb")

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        if not data and size and self._file.tell() < self._size:
            raise TaskFailed(f"Cannot read file {self._path}: it became shorter while it was read")
        return data

    def close(self) -> None:
        self._file.close()
