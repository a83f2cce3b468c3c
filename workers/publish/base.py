"""What deep storage is to a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overlord.errors import TaskFailed
from overlord.model.segment import DataSegment
from overlord.registry import Registry

LoadSpec = dict[str, Any]


class Pusher(ABC):
    """Puts segments into deep storage."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Pusher:
        """From `druid.storage.*`.

        Raises
        ------
        TaskFailed
            A setting it needs is missing.
        """

    @abstractmethod
    def push(self, directory: Path, segment: DataSegment) -> LoadSpec:
        """Store the files of `directory`, which may be moved away; give the segment's loadSpec.

        What lay at its place before, from an attempt that died, is replaced.

        Raises
        ------
        TaskFailed
            It could not be stored; nothing of it is left.
        """

    @abstractmethod
    def settle(self) -> None:
        """Return once all that was pushed would outlive a power cut."""

    @abstractmethod
    def remove(self, load_spec: LoadSpec) -> None:
        """Delete a pushed segment; none there is no error."""


pushers: Registry[type[Pusher]] = Registry("deep storage")


def open_pusher(settings: Mapping[str, Any]) -> Pusher:
    """The deep storage that `druid.storage.type` names."""
    kind = str(settings.get("druid.storage.type") or "local")
    if kind not in pushers:
        raise TaskFailed(f"druid.storage.type is {kind!r}; known: {', '.join(pushers.names())}")
    return pushers[kind].from_settings(settings)
