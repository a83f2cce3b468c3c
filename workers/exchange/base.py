"""What a place of exchange is.

Keys are paths of names: `<parent task>/<phase>/<sub-task spec>/result`. What a sub-task makes lies below its own id, so
that two attempts at the same work never meet; the result, put last and as a whole, is what makes it count.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from overlord.errors import TaskFailed
from overlord.registry import Registry


class Exchange(ABC):
    """Files and folders under keys."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Exchange:
        """From `ovl.exchange.*`.

        Raises
        ------
        TaskFailed
            A setting it needs is missing.
        """

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Store a small file as a whole; one that is there is replaced."""

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """What was put; None if there is none."""

    @abstractmethod
    def put_path(self, key: str, path: Path) -> None:
        """Store a file or a flat folder, which may be moved away."""

    @abstractmethod
    def fetch(self, key: str, scratch: Path) -> Path:
        """A file or folder as one on this machine: a file to be read only, a folder, in `scratch`, to be moved away.

        Raises
        ------
        TaskFailed
            It is not there.
        """

    @abstractmethod
    def remove(self, key: str) -> None:
        """Delete all below a key; nothing there is no error."""

    @abstractmethod
    def sweep(self, wanted: Callable[[], Set[str]]) -> None:
        """Delete all below first parts that are not `wanted`, which is asked after one look at what is there."""


exchanges: Registry[type[Exchange]] = Registry("exchange")


def open_exchange(settings: Mapping[str, Any]) -> Exchange:
    """The place that `ovl.exchange.type` names."""
    kind = str(settings.get("ovl.exchange.type") or "local")
    if kind not in exchanges:
        raise TaskFailed(f"ovl.exchange.type is {kind!r}; known: {', '.join(exchanges.names())}")
    return exchanges[kind].from_settings(settings)
