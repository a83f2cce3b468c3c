"""Which rows are taken: as many as asked for, counted as Druid counts them, each with its raw form or its fault."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from workers.ingest.batch import BadRow
from workers.ingest.formats import NotAnObject, RawBatch, RawChunk
from workers.ingest.transform import Examined, Transform
from workers.sampling.footprint import Footprint

UNLIMITED = 2**63 - 1


@dataclass
class Taken:
    """One row of the input.

    Attributes
    ----------
    input : dict or None
        As it was read; None if it could not be.
    error : str or None
        What is wrong with it.
    place : int or None
        Its place among all rows that were typed.
    """

    input: dict[str, Any] | None
    error: str | None = None
    place: int | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When enough is read.

    Attributes
    ----------
    rows : int
        Most rows that show up in the answer.
    memory_bytes : int
        Reading stops after the row with which Druid's index would be so large.
    """

    rows: int
    memory_bytes: int = UNLIMITED


@dataclass
class _Entry:
    """A row of a chunk, in input order."""

    line: int
    row: int | None = None  # of the raw batch
    bad: BadRow | None = None


@dataclass
class Taking:
    """Takes rows until the limits are met.

    Attributes
    ----------
    taken : list of Taken
        Rows with a place in the answer.
    steps : list of Examined
        Typed rows, chunk by chunk; the places of `taken` count through them.
    typed, filtered : int
        Rows that were typed, and that a filter dropped.
    bytes : int
        What the rows took in the input.
    complete : bool
        Whether there is no more to read.
    """

    transform: Transform
    limits: Limits
    lines: bool = True  # whether messages tell the line
    taken: list[Taken] = field(default_factory=list)
    steps: list[Examined] = field(default_factory=list)
    typed: int = 0
    filtered: int = 0
    bytes: int = 0
    complete: bool = False
    _memory: int = 0
    _footprint: Footprint | None = None

    def __post_init__(self) -> None:
        if self.limits.memory_bytes < UNLIMITED:
            metrics = [metric for _, metric in self.transform.schema.metrics]
            counts = metrics.count(None)
            self._footprint = Footprint(len(metrics) - counts, counts)

    def run(self, chunks: Iterable[RawChunk]) -> None:
        """Take what the chunks give."""
        if self._full():
            return
        for chunk in chunks:
            self._chunk(chunk)
            if self._full():
                return
        self.complete = True

    def _full(self) -> bool:
        return len(self.taken) >= self.limits.rows or self._memory >= self.limits.memory_bytes

    def _chunk(self, chunk: RawChunk) -> None:
        transform = self.transform.clone()
        examined = transform.examine(chunk.batch)
        entries = list(_entries(chunk))
        enough = self._enough(entries, examined, transform.dimensions)
        self.bytes += chunk.bytes * enough // len(entries) if entries else chunk.bytes
        if enough < len(entries):
            # What comes after the last row must leave no trace, such as a dimension that only it has.
            entries = entries[:enough]
            transform = self.transform.clone()
            examined = transform.examine(_head(chunk.batch, sum(entry.row is not None for entry in entries)))
        self.transform = transform
        self._take(entries, examined)

    def _enough(self, entries: list[_Entry], examined: Examined, dimensions: Collection[str]) -> int:
        """How many of the entries fit under the limits."""
        lost = set(examined.lost.tolist())
        kept = {row: place for place, row in enumerate(examined.kept.tolist())}
        rows, memory = len(self.taken), self._memory
        sizes = None if self._footprint is None else self._footprint.sizes(examined, dimensions)
        for number, entry in enumerate(entries):
            if rows >= self.limits.rows or memory >= self.limits.memory_bytes:
                self._memory = memory
                return number
            if entry.row is None or entry.row in lost:
                rows += 1
            elif entry.row in kept:
                rows += 1
                memory += sizes[kept[entry.row]] if sizes is not None else 0
        self._memory = memory
        return len(entries)

    def _take(self, entries: list[_Entry], examined: Examined) -> None:
        raw = examined.raw
        lost = set(examined.lost.tolist())
        kept = {row: place for place, row in enumerate(examined.kept.tolist())}
        for entry in entries:
            if entry.row is None:
                assert entry.bad is not None
                self.taken.append(Taken(None, _of_bad(entry.bad, self._place(raw, entry.line))))
            elif entry.row in kept:
                self.taken.append(Taken(raw.rows.raw(entry.row), place=self.typed + kept[entry.row]))
            elif entry.row in lost:
                self.taken.append(self._lost(examined, entry.row, entry.line))
            else:
                self.filtered += 1
        self.steps.append(examined)
        self.typed += len(examined.kept)

    def _place(self, raw: RawBatch, line: int) -> str:
        return place(raw.uri, line if self.lines and raw.lined else None)

    def _lost(self, examined: Examined, row: int, line: int) -> Taken:
        raw = examined.raw
        try:
            if row in examined.untimely:
                return Taken(raw.rows.raw(row), examined.untimely[row].message)
            return Taken(raw.rows.raw(row), self.transform.without_time(raw, row) + self._place(raw, line))
        except NotAnObject as error:
            return Taken(None, f"Unable to parse row [{error}] into JSON" + self._place(raw, line))


def _entries(chunk: RawChunk) -> Iterator[_Entry]:
    """Good and bad rows of a chunk, by line."""
    found = [_Entry(line, row=row) for row, line in enumerate(chunk.batch.line.tolist())]
    found += [_Entry(bad.line, bad=bad) for bad in chunk.bad]
    found.sort(key=lambda entry: entry.line)
    return iter(found)


def _head(raw: RawBatch, rows: int) -> RawBatch:
    return replace(
        raw,
        columns={name: column.head(rows) for name, column in raw.columns.items()},
        file=raw.file[:rows],
        line=raw.line[:rows],
    )


def place(uri: str | None, line: int | None) -> str:
    """Where a row stands, as messages end."""
    parts = [f"Path: {uri}"] if uri else []
    if line is not None:
        parts.append(f"Line: {line}")
    return f" ({', '.join(parts)})" if parts else ""


def _of_bad(bad: BadRow, where: str) -> str:
    text = "; ".join(bad.details)
    if text == f"Unable to parse row [{bad.input}]":
        text += " into JSON"  # in the sampler a row is shown as JSON first, whatever its format
    return text + where
