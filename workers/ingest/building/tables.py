"""Dictionaries of string columns: distinct values in the order a segment keeps them (UTF-16), null apart.

Code 0 is null, code i the i-th value. A table is a polars Series, or blocks of such on disk; several sorted
tables are merged block by block, so that no more than one block of each is in memory.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.building.store import ArrayFile, ArrayWriter, Column, Scratch
from workers.segment import utf16

Ints = npt.NDArray[Any]

BLOCK_BYTES = 256 << 10
_KEEP_BYTES = 4 << 20


class Table(Protocol):
    """Sorted distinct values."""

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def blocks(self) -> Iterator[pl.Series]:
        """All values in order, in one or more Series."""

    def gather(self, codes: Ints) -> Iterator[pl.Series]:
        """The values of ascending `codes`, none of them 0."""


@dataclass(frozen=True)
class MemoryTable:
    """Values in a Series; not `sorted` only between a batch's arrival and its first sort."""

    values: pl.Series
    sorted: bool = True

    @property
    def key(self) -> int:
        """The same for tables of the same values."""
        return id(self.values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return int(self.values.estimated_size())

    def blocks(self) -> Iterator[pl.Series]:
        """See `Table`."""
        yield self.values

    def gather(self, codes: Ints) -> Iterator[pl.Series]:
        """See `Table`."""
        # indexing is a quarter of the price of `gather`, which goes by way of a lazy frame
        yield self.values[codes - 1] if len(codes) < len(self.values) else self.values


EMPTY = MemoryTable(pl.Series("values", [], dtype=pl.String))


class Loose(Protocol):
    """A table in memory, sorted or not."""

    @property
    def values(self) -> pl.Series: ...
    @property
    def sorted(self) -> bool: ...
    @property
    def key(self) -> int: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class PlainTable:
    """Values as bytes, for where polars must not be used; see `spread`."""

    values: npt.NDArray[np.object_]
    nbytes: int

    @classmethod
    def of(cls, values: pl.Series) -> PlainTable:
        """From a String series."""
        return cls(values.cast(pl.Binary).to_numpy().astype(object), int(values.estimated_size()))

    def __len__(self) -> int:
        return len(self.values)

    def blocks(self) -> Iterator[pl.Series]:
        """See `Table`."""
        yield pl.Series("values", self.values.tolist(), dtype=pl.Binary).cast(pl.String)

    def gather(self, codes: Ints) -> Iterator[pl.Series]:
        """See `Table`."""
        yield pl.Series("values", self.bytes_of(codes), dtype=pl.Binary).cast(pl.String)

    def bytes_of(self, codes: Ints) -> list[bytes]:
        """The values of `codes`, none of them 0."""
        values: list[bytes] = self.values[codes - 1].tolist()
        return values


class DiskTable:
    """Values in blocks of Arrow IPC."""

    def __init__(self, file: ArrayFile, places: Sequence[tuple[int, int]], counts: Sequence[int], nbytes: int) -> None:
        self._file = file
        self.places = places
        self.counts = counts
        self.nbytes = nbytes

    def __len__(self) -> int:
        return sum(self.counts)

    def blocks(self) -> Iterator[pl.Series]:
        """See `Table`."""
        for place in self.places:
            yield self._read(place)

    def gather(self, codes: Ints) -> Iterator[pl.Series]:
        """See `Table`."""
        base = 0
        for place, count in zip(self.places, self.counts, strict=True):
            low, high = np.searchsorted(codes, (base + 1, base + count + 1))
            if high > low:
                yield self._read(place)[codes[low:high] - (base + 1)]
            base += count

    def loaded(self) -> Table:
        """The same in memory if it is small."""
        return MemoryTable(pl.concat(list(self.blocks()))) if self.nbytes <= _KEEP_BYTES and self.places else self

    def _read(self, place: tuple[int, int]) -> pl.Series:
        data = io.BytesIO(self._file.read_bytes(*place))
        return pl.read_ipc(data).to_series()


class DiskTableWriter:
    """Puts values away in blocks."""

    def __init__(self, file: ArrayFile) -> None:
        self._file = file
        self._waiting: list[pl.Series] = []
        self._waiting_bytes = 0
        self._places: list[tuple[int, int]] = []
        self._counts: list[int] = []
        self._nbytes = 0

    def append(self, values: pl.Series) -> None:
        """Add values that follow all those before."""
        size = int(values.estimated_size())
        if size > 2 * BLOCK_BYTES and len(values) > 1:
            step = max(1, len(values) * BLOCK_BYTES // size)
            for at in range(0, len(values), step):
                self._take(values.slice(at, step), size * min(step, len(values) - at) // len(values))
        else:
            self._take(values, size)

    def done(self) -> DiskTable:
        """All that was appended."""
        self._flush()
        return DiskTable(self._file, self._places, self._counts, self._nbytes)

    def _take(self, piece: pl.Series, size: int) -> None:
        if not len(piece):
            return
        self._waiting.append(piece)
        self._waiting_bytes += size
        if self._waiting_bytes >= BLOCK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        block = pl.concat(self._waiting, rechunk=True).alias("values")
        data = io.BytesIO()
        block.to_frame().write_ipc(data, compression="uncompressed")
        self._places.append(self._file.put_bytes(data.getvalue()))
        self._counts.append(len(block))
        self._nbytes += self._waiting_bytes
        self._waiting = []
        self._waiting_bytes = 0


def union(tables: Sequence[Loose]) -> tuple[MemoryTable, list[Ints]]:
    """One sorted table of all values, and for each table what its codes become."""
    distinct = {t.key: t for t in tables if len(t)}
    first = next(iter(distinct.values()), EMPTY)
    if len(distinct) < 2 and first.sorted:
        same = np.arange(len(first) + 1, dtype=np.int32)
        return MemoryTable(first.values), [same if len(t) else same[:1] for t in tables]
    values = pl.concat([t.values for t in distinct.values()])
    order = utf16.sort_keys(values).arg_sort()
    ordered = values.gather(order)
    begins = (ordered != ordered.shift(1)).fill_null(True)
    codes = np.empty(len(values), np.int32)
    codes[order.to_numpy()] = np.cumsum(begins.to_numpy(), dtype=np.int32)
    made = {}
    for key, table in distinct.items():
        made[key] = np.concatenate((np.zeros(1, np.int32), codes[: len(table)]))
        codes = codes[len(table) :]
    return MemoryTable(ordered.filter(begins)), [made[t.key] if len(t) else np.zeros(1, np.int32) for t in tables]


def _key(value: str) -> bytes:
    return utf16.sort_key(value.encode())


class _Cursor:
    """Reads one table on; has at least a block at hand, so that each step of a merge is worth its while."""

    def __init__(self, table: Table) -> None:
        self._blocks = table.blocks()
        self.block = EMPTY.values
        self._fill()

    def _fill(self) -> None:
        parts = [self.block]
        held = len(self.block)
        for block in self._blocks:
            parts.append(block)
            held += len(block)
            if held > len(block):
                break
        self.block = pl.concat(parts, rechunk=True) if len(parts) > 1 else self.block
        self.last = _key(self.block[-1]) if len(self.block) else None

    def take(self, upto: bytes) -> pl.Series:
        """The values not above `upto`, which is one of this or another cursor's `last`."""
        assert self.last is not None
        count = len(self.block)
        if self.last > upto:
            count = bisect_right(range(count), upto, key=lambda i: _key(self.block[i]))
        taken = self.block.head(count)
        self.block = self.block.slice(count)
        if count:
            self._fill()
        return taken


def merge(tables: Sequence[Table], scratch: Scratch) -> tuple[Table, list[Column]]:
    """`union` for tables of any size; the new codes too are on disk."""
    if all(isinstance(t, MemoryTable) for t in tables) and sum(t.nbytes for t in tables) <= _KEEP_BYTES:
        table, codes = union([t for t in tables if isinstance(t, MemoryTable)])
        return table, list(codes)
    writer = DiskTableWriter(ArrayFile(scratch))
    new_codes = [ArrayWriter(scratch, np.int32) for _ in tables]
    for out in new_codes:
        out.append(np.zeros(1, np.int32))
    cursors = [_Cursor(table) for table in tables]
    base = 0
    while True:
        lasts = [c.last for c in cursors if c.last is not None]
        if not lasts:
            break
        upto = min(lasts)
        parts = [(i, MemoryTable(c.take(upto))) for i, c in enumerate(cursors) if c.last is not None]
        merged, codes = union([part for _, part in parts])
        for (i, _), code in zip(parts, codes, strict=True):
            new_codes[i].append(code[1:] + base)
        writer.append(merged.values)
        base += len(merged)
    return writer.done().loaded(), [out.done() for out in new_codes]
