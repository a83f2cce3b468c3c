"""Batches in, segments out; see `SegmentBuilder`."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.batch import Batch
from workers.ingest.building.buckets import Buckets
from workers.ingest.building.coder import Coder
from workers.ingest.building.columns import Dimension, encode
from workers.ingest.building.emit import BuiltSegment, emit, most_threads
from workers.ingest.building.merge import merge_runs
from workers.ingest.building.parting import Piece, chunks_of, part
from workers.ingest.building.run import Run, memory, roll_up, sort, spill, stack
from workers.ingest.building.schema import BuildSchema
from workers.ingest.building.spread import spread
from workers.ingest.building.store import Scratch
from workers.ingest.partition.base import Partitions

PROCESS_BYTES = 100_000_000
"""What a worker takes without any row: the interpreter, polars, numpy and their threads' arenas."""
MANY_ROWS = 10_000
"""Fewer rows are coded sooner than another thread begins."""
DRUIDS_ROWS = 1_000_000
"""maxRowsInMemory that every spec has which does not name one; then bytes alone decide."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much stays in memory.

    Attributes
    ----------
    rows, nbytes : int
        Rows, and bytes of their columns, after which a run is spilled. Rows are limited only where a spec asks for it.
    block_rows : int or None
        Rows sorted at a time when runs are merged; None for as many as `nbytes` allows.
    """

    rows: int = sys.maxsize
    nbytes: int = 256 << 20
    block_rows: int | None = None

    @classmethod
    def of(cls, tuning: Mapping[str, Any], memory_bytes: int) -> Limits:
        """From a tuningConfig, within a task's memory: sorting takes some three times what is kept."""
        share = max(memory_bytes - PROCESS_BYTES, memory_bytes // 4) // 8
        asked = tuning.get("maxBytesInMemory") or 0
        rows = tuning.get("maxRowsInMemory")
        return cls(
            rows=int(rows) if rows and rows != DRUIDS_ROWS else cls.rows,
            nbytes=min(asked, share) if asked > 0 else share,
        )


class SegmentBuilder:
    """Collects rows and writes them as segments, one or more a time chunk.

    Rows are kept as they come until the limits are reached; then they are sorted and rolled up to a run. A run much
    smaller than the limits stays and takes part in the next one; otherwise it is spilled. At the end, or when the
    partitioning calls segments full, the runs are merged and every chunk's stretch is written.

    Parameters
    ----------
    scratch : Path
        Folder for spilled runs and written segments; the caller removes it.
    """

    def __init__(
        self,
        schema: BuildSchema,
        buckets: Buckets,
        partitions: Partitions,
        *,
        scratch: Path,
        limits: Limits | None = None,
    ) -> None:
        self._schema = schema
        self._buckets = buckets
        self._partitions = partitions
        self._folder = scratch
        self._scratch = Scratch(scratch / "runs")
        self._limits = limits or Limits()
        self._metrics = {a.name for a in schema.aggregators}
        self._made: Counter[int] = Counter()  # segments begun, by chunk
        self._written = 0
        self._block_rows = 1024
        self._full: list[BuiltSegment] = []
        self._sparse: frozenset[str] = frozenset()
        self._coding = ThreadPoolExecutor(most_threads())
        self._reset()

    def _reset(self) -> None:
        self._coders: defaultdict[str, Coder] = defaultdict(Coder)
        self._pending: list[Run] = []
        self._pending_bytes = 0
        self._spilled: list[Run] = []
        self._row_bytes = 1
        self._spilled_counts: Counter[int] = Counter()
        self._counts: Counter[int] = Counter()  # by chunk, an upper bound of the rows in open segments

    def add(self, batch: Batch) -> None:
        """Take rows, all of which the buckets keep."""
        if len(batch):
            rows = self.encode(batch)
            self._partitions.watch(rows)
            self._add(rows)

    @property
    def counts(self) -> Mapping[int, int]:
        """Rows in open segments, by start of their chunk; an upper bound where rows roll up."""
        return self._counts

    def finish(self) -> Iterator[BuiltSegment]:
        """All segments, those closed on the way first; each is written when it is asked for."""
        full, self._full = self._full, []
        yield from full
        yield from self._close()

    # ---- rows in ----

    def encode(self, batch: Batch) -> Run:
        """Rows as integers, not sorted yet."""
        times = batch.columns["__time"].to_numpy()
        chunk = self._buckets.starts(times)
        truncated = np.maximum(self._schema.query_granularity.bucket_starts(times), chunk)
        rows = len(batch)
        self._sparse |= batch.sparse
        columns = {n: c for n, c in batch.columns.items() if n != "__time" and n not in self._metrics}
        for name, dtype in self._schema.dtypes.items():
            if name not in columns:
                columns[name] = pl.Series(name, [], dtype=dtype).extend_constant(None, rows)
        return Run(
            chunk=chunk,
            time=truncated,
            dimensions=self._coded(columns, rows),
            states=[a.lift(batch.columns.get(a.name), rows) for a in self._schema.aggregators],
        )

    def _coded(self, columns: Mapping[str, pl.Series], rows: int) -> dict[str, Dimension]:
        coders = [self._coders[name] for name in columns]

        def code(column: pl.Series, name: str, coder: Coder) -> Dimension:
            return encode(column, coder, auto=self._schema.is_auto(name))

        each = self._coding.map if rows >= MANY_ROWS else map
        return dict(zip(columns, each(code, columns.values(), columns, coders), strict=True))

    def _add(self, rows: Run) -> None:
        while True:
            chunks = memory(rows.chunk)
            counts = self._counts + _count(chunks)
            cut = self._cut(rows, chunks) if self._partitions.full(counts) else None
            if cut is None:
                self._keep(rows)
                return
            self._keep(rows.take(slice(0, cut)))
            self._full.extend(self._close())
            if cut == len(rows):
                return
            rows = rows.take(slice(cut, len(rows)))

    def _cut(self, rows: Run, chunks: npt.NDArray[np.int64]) -> int | None:
        """Where in `rows` a segment gets full, exactly."""
        is_new = np.ones(len(rows), np.bool_)
        if self._schema.rollup:
            self._compact()
            held = sum(map(len, self._pending))
            firsts = sort(stack([*self._pending, rows]), self._schema).first
            is_new[:] = False
            is_new[firsts[firsts >= held] - held] = True
        return self._partitions.cut(self._counts, chunks, is_new)

    def _keep(self, rows: Run) -> None:
        self._pending.append(rows)
        self._pending_bytes += rows.nbytes
        self._counts += _count(memory(rows.chunk))
        if self._over(sum(map(len, self._pending)), self._pending_bytes):
            self._compact()
            kept = self._pending[0]
            if self._over(2 * len(kept), 2 * kept.nbytes):
                self._spill()

    def _over(self, rows: int, nbytes: int) -> bool:
        return rows >= self._limits.rows or nbytes >= self._limits.nbytes

    def _compact(self) -> None:
        """What is pending becomes one run."""
        if not self._pending:
            return
        rows = stack(self._pending)
        self._pending.clear()
        self._coders.clear()
        run = roll_up(rows, sort(rows, self._schema), self._schema)
        del rows
        self._pending = [run]
        self._pending_bytes = run.nbytes
        self._counts = self._spilled_counts + _count(memory(run.chunk))

    def _spill(self) -> None:
        (run,) = self._pending
        self._row_bytes = max(self._row_bytes, run.nbytes // len(run))
        self._spilled.append(spill(run, self._scratch))
        self._spilled_counts += _count(memory(run.chunk))
        self._pending.clear()
        self._pending_bytes = 0

    # ---- segments out ----

    def parted(self) -> tuple[Run, list[Piece]] | None:
        """All rows, rolled up and in order of their parts, for somebody else to write; None if there are none."""
        self._compact()
        if self._spilled and self._pending:
            self._spill()
        runs = self._spilled or self._pending
        self._block_rows = self._limits.block_rows or max(1024, self._limits.nbytes // 2 // self._row_bytes)
        self._reset()
        if not runs:
            return None
        run = merge_runs(runs, self._schema, self._scratch, self._block_rows) if len(runs) > 1 else runs[0]
        runs.clear()
        if self._partitions.perfect:
            return part(run, self._partitions, self._scratch, self._block_rows)
        return run, list(chunks_of(run))

    def _close(self) -> Iterator[BuiltSegment]:
        """Write all open segments, and begin anew."""
        parted = self.parted()
        if parted is None:
            return
        run, pieces = parted
        del parted
        first = self._written
        self._written += len(pieces)
        orders = [self._next(piece.chunk) for piece in pieces]

        def folder(n: int) -> Path:
            return self._folder / f"segment-{first + n + 1}"

        def write(rows: Run, n: int) -> BuiltSegment:
            piece = pieces[n]
            return emit(
                rows,
                piece.start,
                piece.stop,
                interval=self._buckets.interval(piece.chunk),
                order=orders[n],
                shard_spec=piece.shard_spec,
                schema=self._schema,
                sparse=self._sparse,
                into=folder(n),
            )

        yield from spread(run, [len(piece) for piece in pieces], write, folder)

    def _next(self, chunk: int) -> int:
        """The next segment's place in its chunk."""
        self._made[chunk] += 1
        return self._made[chunk] - 1


def _count(chunks: npt.NDArray[np.int64]) -> Counter[int]:
    values, counts = np.unique(chunks, return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
