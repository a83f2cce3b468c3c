"""Segments out of deep storage, each by its own loadSpec. To add a kind: one class, one decorator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overlord.errors import TaskFailed
from overlord.model.segment import DataSegment
from overlord.registry import Registry


class Fetcher(ABC):
    """Brings the files of a segment to where they can be read."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Fetcher:
        """From `druid.storage.*`."""

    @abstractmethod
    def fetch(self, load_spec: Mapping[str, Any], scratch: Path) -> Path:
        """The folder of the segment's files, or one flat zip of them: in place, or copied to `scratch`, an own folder.

        Raises
        ------
        TaskFailed
            They are not there, or cannot be copied.
        """


fetchers: Registry[type[Fetcher]] = Registry("loadSpec")


def fetch(segment: DataSegment, settings: Mapping[str, Any], scratch: Path) -> Path:
    """Where to read a segment; `scratch` is removed by the caller when it is read."""
    load_spec = segment.load_spec or {}
    kind = str(load_spec.get("type"))
    if kind not in fetchers:
        raise TaskFailed(
            f"Segment[{segment.id}] has a loadSpec of type [{kind}], which cannot be read. "
            f"Known: {', '.join(fetchers.names())}"
        )
    try:
        return fetchers[kind].from_settings(settings).fetch(load_spec, scratch)
    except TaskFailed as failure:
        raise TaskFailed(f"Segment[{segment.id}] cannot be read: {failure.message}") from failure


@fetchers.add("local")
class LocalFetcher(Fetcher):
    """A path of this machine: what the loadSpec names, `index/` or `index.zip`."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> LocalFetcher:
        return cls()

    def fetch(self, load_spec: Mapping[str, Any], scratch: Path) -> Path:
        path = Path(str(load_spec.get("path") or ""))
        if not load_spec.get("path") or not path.exists():
            raise TaskFailed(f"there is no [{load_spec.get('path')}] in deep storage")
        return path
