"""Reading, rolling up and partitioning input. `read_typed` is the way in: a spec's rows, typed, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from overlord.errors import TaskFailed, UnknownKind
from overlord.registry import Registry
from workers.ingest.batch import Chunk
from workers.ingest.counting import BytesRead
from workers.ingest.formats import InputFormat, input_formats
from workers.ingest.formats.base import RawChunk
from workers.ingest.formats.json import JsonFormat
from workers.ingest.formats.table import TableFormat
from workers.ingest.formats.text import LineFormat
from workers.ingest.sources import Access, InputObject, InputSource, RowSource, input_sources
from workers.ingest.sources.ahead import ahead
from workers.ingest.system_fields import with_system_fields
from workers.ingest.transform import Phase, Transform

__all__ = ["Input", "chunk_bytes_for", "open_input", "read_typed", "see_all_fields"]

MOST_CHUNK_BYTES = 8 << 20
FEWEST_CHUNK_BYTES = 256 << 10
# At the peak there are about four blocks of a chunk's size, raw columns of three chunks (parsing runs ahead) and the
# typed ones of one.
MEMORY_PER_CHUNK_BYTE = 96


class Input:
    """The input of one task: where it lies, how it is written, and what its rows become.

    Parameters
    ----------
    spec : mapping
        The task's `spec`: dataSchema, ioConfig.
    settings : mapping
        The task's settings.
    phase, dimensions
        See `Transform`.
    access : Access, optional
        What sources such as `druid` need of the task.

    Raises
    ------
    TaskFailed
        If part of the spec cannot be understood.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        settings: Mapping[str, Any],
        *,
        phase: Phase = "buildSegments",
        dimensions: bool = True,
        access: Access | None = None,
    ) -> None:
        io_config = spec.get("ioConfig") or {}
        self.transform = Transform(spec["dataSchema"], phase=phase, dimensions=dimensions)
        self.source: InputSource = _kind(input_sources, io_config, "inputSource").from_json(
            io_config["inputSource"], settings
        )
        self.format: InputFormat | None = None
        if isinstance(self.source, RowSource):
            if access is not None:
                self.source.bind(access)
        else:
            self.format = _kind(input_formats, io_config, "inputFormat").from_json(io_config["inputFormat"])
            if self.transform.schema.finds_types:
                see_all_fields(self.format)
        self._read = BytesRead()
        self._table_bytes = 0

    def read(self, chunk_bytes: int) -> Iterator[Chunk]:
        """All rows, typed. Reading and parsing go on in threads while a chunk is worked on."""
        raw = self._raw(chunk_bytes)
        if isinstance(self.format, LineFormat):
            with closing(ahead(raw)) as chunks:
                yield from map(self.transform.apply, chunks)
        elif isinstance(self.format, TableFormat):  # of which reading takes less time than typing
            with closing(ahead(map(self._counted, raw))) as typed:
                yield from typed
        else:
            yield from map(self._counted, raw)

    def _counted(self, raw: RawChunk) -> Chunk:
        """A typed chunk of what is not read as streams of bytes, which nobody else counts."""
        self._table_bytes += raw.bytes
        self._read.count = max(self._read.count, self._table_bytes)
        return self.transform.apply(raw)

    @property
    def segments_read(self) -> int | None:
        """How many segments are read; None if they are no segments."""
        return self.source.segments_read if isinstance(self.source, RowSource) else None

    def _raw(self, chunk_bytes: int) -> Iterator[RawChunk]:
        wanted = self.transform.inputs
        if isinstance(self.source, RowSource):
            return self.source.rows(chunk_bytes=chunk_bytes, wanted=wanted)
        assert self.format is not None
        if self.source.system_fields:
            return with_system_fields(self.format, self._objects(), self.source.system_fields, chunk_bytes, wanted)
        return self.format.read(self._objects(), chunk_bytes=chunk_bytes, wanted=wanted)

    @property
    def bytes_read(self) -> int:
        """How much of the input, as it is stored, was read so far."""
        return self._read.count

    def _objects(self) -> Iterator[InputObject]:
        return self._read.over(self.source.objects())


def see_all_fields(form: InputFormat) -> None:
    """Let discovery find objects, and fields that are null."""
    if isinstance(form, JsonFormat | TableFormat):
        form.nested = True
    if isinstance(form, JsonFormat):
        form.keep_nulls = True


def read_typed(
    spec: Mapping[str, Any],
    settings: Mapping[str, Any],
    chunk_bytes: int = MOST_CHUNK_BYTES,
    *,
    phase: Phase = "buildSegments",
    dimensions: bool = True,
) -> Iterator[Chunk]:
    """The rows of a spec, typed. For the names of its dimensions use `Input`."""
    return Input(spec, settings, phase=phase, dimensions=dimensions).read(chunk_bytes)


def open_input(spec: Mapping[str, Any], settings: Mapping[str, Any], memory_bytes: int) -> Iterator[Chunk]:
    """The same, in chunks that suit a task of so much memory."""
    return read_typed(spec, settings, chunk_bytes_for(memory_bytes))


def chunk_bytes_for(memory_bytes: int) -> int:
    """How many bytes to read at a time under a memory limit."""
    return min(MOST_CHUNK_BYTES, max(FEWEST_CHUNK_BYTES, memory_bytes // MEMORY_PER_CHUNK_BYTE))


def _kind(registry: Registry[Any], io_config: Mapping[str, Any], field: str) -> Any:
    json = io_config.get(field)
    if not isinstance(json, Mapping) or not json.get("type"):
        raise TaskFailed(f"ioConfig.{field} must be an object with a type. Known: {', '.join(registry.names())}")
    try:
        return registry[json["type"]]
    except UnknownKind as unknown:
        raise TaskFailed(unknown.message, where=f"spec.ioConfig.{field}.type", hint=unknown.hint) from None
