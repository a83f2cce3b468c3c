"""What deep storage is to a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from overlord.errors import TaskFailed
from overlord.model.segment import DataSegment
from overlord.registry import Registry

LoadSpec = dict[str, Any]
_CANNOT = "Deep storage [{}] cannot move segments"
_UNKNOWN = "org.apache.druid.segment.loading.SegmentLoadingException: Unknown loader type[{}].  Known types are {}"


class Pusher(ABC):
    """Puts segments into deep storage.

    Attributes
    ----------
    load_types : tuple of str
        Types of the loadSpecs that it gives and can handle.
    unique : str
        A folder of the task's own below a segment's place, where several tasks build one segment; empty for none.
    """

    load_types: ClassVar[tuple[str, ...]] = ()
    unique: str = ""

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
        """Delete a pushed segment; none there is no error.

        Raises
        ------
        TaskFailed
            It cannot be deleted.
        """

    def copy(self, segment: DataSegment, target: Mapping[str, Any]) -> LoadSpec:
        """Store a segment that lies here once more, where `target` says; the same loadSpec if it is there already.

        Raises
        ------
        TaskFailed
            It could not be copied, nothing of it is left; or this deep storage cannot do it at all.
        """
        raise TaskFailed(_CANNOT.format(self.load_types[0] if self.load_types else type(self).__name__))

    def archive(self) -> dict[str, Any]:
        """The target of archived segments."""
        raise TaskFailed(_CANNOT.format(self.load_types[0] if self.load_types else type(self).__name__))

    def home(self) -> dict[str, Any]:
        """The target of restored segments: where they were pushed to."""
        raise TaskFailed(_CANNOT.format(self.load_types[0] if self.load_types else type(self).__name__))


pushers: Registry[type[Pusher]] = Registry("deep storage")


def open_pusher(settings: Mapping[str, Any]) -> Pusher:
    """The deep storage that `druid.storage.type` names."""
    kind = str(settings.get("druid.storage.type") or "local")
    if kind not in pushers:
        raise TaskFailed(f"druid.storage.type is {kind!r}; known: {', '.join(pushers.names())}")
    return pushers[kind].from_settings(settings)


def open_for(load_type: str, settings: Mapping[str, Any]) -> Pusher:
    """The deep storage in which segments with loadSpecs of this type lie."""
    for name in pushers:
        if load_type in pushers[name].load_types:
            return pushers[name].from_settings(settings)
    known = sorted({load_type for name in pushers for load_type in pushers[name].load_types})
    raise TaskFailed(_UNKNOWN.format(load_type, f"[{', '.join(known)}]"))
