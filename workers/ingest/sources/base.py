"""What an input source is, and the objects (files, pages) it names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from overlord.errors import TaskFailed
from overlord.registry import Registry
from workers.client import Actions

if TYPE_CHECKING:
    from collections.abc import Collection

    from workers.ingest.formats.base import RawChunk


class ByteStream(Protocol):
    """What is needed of an open file."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; none at the end."""

    def close(self) -> None:
        """Give the resource back."""


@dataclass(frozen=True, kw_only=True)
class InputObject:
    """One thing to read from start to end.

    Attributes
    ----------
    name : str
        Path, URI, or what else tells a person where the rows came from.
    size : int or None
        Bytes as stored (perhaps compressed), if known.
    open : callable
        Gives the stored bytes; `compression.plain` decompresses them.
    uri : str or None
        The place as row errors print it; None for data that has none.
    path : Path or None
        The file itself, if it lies on this machine: formats that jump about in a file need no copy of it.
    system : mapping
        Druid's system fields (`__file_uri` and so on) that tell of it.
    """

    name: str
    size: int | None
    open: Callable[[], ByteStream]
    uri: str | None = None
    path: Path | None = None
    system: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SplitHint:
    """How much one sub-task should read."""

    max_bytes: int = 1 << 30
    max_objects: int = 1000


class InputSource(ABC):
    """Where rows come from.

    Attributes
    ----------
    splittable : bool
        Whether several sub-tasks may share it.
    system_fields : tuple of str
        Fields that rows get from the object they lie in.
    """

    splittable: ClassVar[bool] = False
    system_fields: tuple[str, ...] = ()

    @classmethod
    @abstractmethod
    def from_json(cls, json: Mapping[str, Any], settings: Mapping[str, Any]) -> InputSource:
        """From the `inputSource` of a spec.

        Raises
        ------
        TaskFailed
            If a field is missing or of the wrong kind.
        """

    @abstractmethod
    def objects(self) -> Iterator[InputObject]:
        """All objects, in the order they are read.

        Raises
        ------
        TaskFailed
            If there are none, naming where they were looked for.
        """

    @abstractmethod
    def splits(self, hint: SplitHint) -> Iterator[dict[str, Any]]:
        """The same objects as several smaller specs of this kind; one spec if it cannot be split."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a source may need of its task.

    Attributes
    ----------
    actions : Actions
    scratch : Path
        Space for copies of input.
    """

    actions: Actions
    scratch: Path


class RowSource(InputSource):
    """A source that gives rows itself, and so needs no format.

    Attributes
    ----------
    needs_task : bool
        Whether it can be read by a task alone.
    """

    needs_task: ClassVar[bool] = True

    @property
    def segments_read(self) -> int | None:
        """Segments of Druid's that it reads, for the report; None if it reads something else."""
        return None

    def bind(self, access: Access) -> None:
        """What the task offers; called once, before anything is read."""

    @abstractmethod
    def rows(self, *, chunk_bytes: int, wanted: Collection[str] | None = None) -> Iterator[RawChunk]:
        """All rows, as `InputFormat.read` would give them."""


input_sources: Registry[type[InputSource]] = Registry("input source")


def in_groups(items: Iterator[InputObject], hint: SplitHint) -> Iterator[list[InputObject]]:
    """Objects as they are read, as many at a time as one sub-task should read."""
    group: list[InputObject] = []
    size = 0
    for item in items:
        if group and (size + (item.size or 0) > hint.max_bytes or len(group) >= hint.max_objects):
            yield group
            group, size = [], 0
        group.append(item)
        size += item.size or 0
    if group:
        yield group


def strings(json: Mapping[str, Any], field: str, where: str) -> list[str]:
    """A field that is a list of texts, or absent."""
    value = json.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TaskFailed(f"{where}.{field} must be a list of strings", where=f"{where}.{field}")
    return value
