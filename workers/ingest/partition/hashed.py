"""Hashed partitions: a row's part follows from the hash of its dimensions, so that equal rows meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from overlord.model import shard_spec
from overlord.model.granularity import Granularity
from workers.ingest.building.run import Run
from workers.ingest.partition import group_keys
from workers.ingest.partition.base import Labels, Partitions, Parts, java_round
from workers.ingest.partition.murmur import buckets_of, murmur3_32

DEFAULT_ROWS = 5_000_000
BLOCK_ROWS = 1 << 17
_FIRST_LOOK_ROWS = 1024
_FIRST_ROWS = 1 << 14
_OTHER_SEED = 0x9747B28C


@dataclass(frozen=True, kw_only=True)
class HashedPartitions(Partitions):
    """By `murmur3_32_abs`.

    Attributes
    ----------
    num_shards : int or None
        Parts of each chunk; None for as many as `target_rows` asks for.
    target_rows : int
        Rows after rollup in one part.
    dimensions : tuple of str
        What is hashed; none stands for time and all dimensions.
    shards_of : mapping of int to int
        Parts by start of the chunk, where somebody has counted already.
    rollup : bool
        Whether equal rows have become one; if not, they are counted once all the same.
    query_granularity : Granularity or None
        By which the times that are hashed are truncated; those of rows begin no earlier than their chunk.
    by_sub_tasks : bool
        Whether parts come out as if sub-tasks made them: numbered by bucket, not as they turn up, and as many as are
        nearest to what is asked for, not rounded up.
    """

    perfect: ClassVar[bool] = True

    num_shards: int | None = None
    target_rows: int = DEFAULT_ROWS
    dimensions: tuple[str, ...] = ()
    shards_of: Mapping[int, int] = field(default_factory=dict)
    rollup: bool = True
    query_granularity: Granularity | None = None
    by_sub_tasks: bool = False
    _seen: dict[int, list[int]] = field(default_factory=dict, repr=False, compare=False)
    _first: dict[int, Labels] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        rows = json.get("targetRowsPerSegment") or json.get("maxRowsPerSegment")
        return cls(
            num_shards=_positive(json.get("numShards")),
            target_rows=_positive(rows) or DEFAULT_ROWS,
            dimensions=tuple(json.get("partitionDimensions") or ()),
        )

    @property
    def needs_counting(self) -> bool:
        return self.num_shards is None and not self.shards_of

    def watch(self, rows: Run) -> None:
        """Note in which order parts turn up, as Druid numbers them."""
        if self.by_sub_tasks:
            return
        for chunk in np.unique(rows.chunk[:]).tolist():
            count = self.shards_of.get(chunk, self.num_shards)
            if count is None:
                self._remember(chunk, rows)
                continue
            seen = self._seen.setdefault(chunk, [])
            if len(seen) < count:
                self._watch(rows.take(np.flatnonzero(rows.chunk[:] == chunk)), count, seen)

    def _remember(self, chunk: int, rows: Run) -> None:
        """Keep the hashes of a chunk's first rows: how many parts there will be is not known yet."""
        known = self._first.get(chunk, np.empty(0, np.int32))
        at = np.flatnonzero(rows.chunk[:] == chunk)[: _FIRST_ROWS - len(known)]
        if len(at):
            self._first[chunk] = np.concatenate([known, self.hashes(rows.take(at), 0, len(at))])

    def _watch(self, rows: Run, count: int, seen: list[int]) -> None:
        start, step = 0, _FIRST_LOOK_ROWS
        while start < len(rows) and len(seen) < count:
            stop = min(start + step, len(rows))
            buckets, first = np.unique(self._buckets(rows, start, stop, count), return_index=True)
            seen += [b for b in buckets[np.argsort(first)].tolist() if b not in seen]
            start, step = stop, min(2 * step, BLOCK_ROWS)

    def parts(self, run: Run, start: int, stop: int) -> Parts:
        """In the order in which they turned up."""
        chunk = int(run.chunk[start : start + 1][0])
        count = self.shards_of.get(chunk, self.num_shards)
        seen = self._seen.get(chunk, [])
        if count is None:
            count = self._count(run, start, stop)
        if chunk in self._first:
            buckets, first = np.unique(buckets_of(self._first[chunk], count), return_index=True)
            seen = buckets[np.argsort(first)].tolist()
        order = [*seen, *sorted(set(range(count)) - set(seen))]
        place = np.empty(count, np.int32)
        place[order] = np.arange(count, dtype=np.int32)
        return Parts(
            shard_specs=[shard_spec.hashed(bucket, count, self.dimensions) for bucket in order],
            label=lambda begin, end: place[self._buckets(run, begin, end, count)],
        )

    def _count(self, run: Run, start: int, stop: int) -> int:
        """How many parts the rows of a chunk make. All dimensions count, whichever are hashed."""
        keys = stop - start
        if not self.rollup:
            every = replace(self, dimensions=())
            blocks = [(at, min(at + BLOCK_ROWS, stop)) for at in range(start, stop, BLOCK_ROWS)]
            keys = len(np.unique(np.concatenate([every.long_hashes(run, *block) for block in blocks])))
        return shards_for(keys, self.target_rows) if self.by_sub_tasks else -(-keys // self.target_rows)

    def _buckets(self, run: Run, start: int, stop: int, count: int) -> Labels:
        if count == 1:
            return np.zeros(stop - start, np.int32)
        out = np.empty(stop - start, np.int32)
        for at in range(start, stop, BLOCK_ROWS):
            end = min(at + BLOCK_ROWS, stop)
            out[at - start : end - start] = buckets_of(self.hashes(run, at, end), count)
        return out

    def hashes(self, run: Run, start: int, stop: int) -> npt.NDArray[np.int32]:
        """Of the rows `start` to `stop`."""
        return murmur3_32(*self._keys(run, start, stop))

    def long_hashes(self, run: Run, start: int, stop: int) -> npt.NDArray[np.uint64]:
        """64 bits, to count keys by."""
        keys = self._keys(run, start, stop)
        high, low = murmur3_32(*keys).view(np.uint32), murmur3_32(*keys, seed=_OTHER_SEED).view(np.uint32)
        return high.astype(np.uint64) << np.uint64(32) | low

    def _keys(self, run: Run, start: int, stop: int) -> tuple[bytes, npt.NDArray[np.integer]]:
        """The keys' bytes, one after the other, and their lengths."""
        keys = (
            group_keys.of_dimensions(run, self.dimensions, start, stop)
            if self.dimensions
            else group_keys.of_all(run, start, stop, self._times(run, start, stop))
        )
        joined = keys.str.join("").item() if len(keys) else ""
        return joined.encode(), keys.str.len_bytes().to_numpy()

    def _times(self, run: Run, start: int, stop: int) -> npt.NDArray[np.int64]:
        times = np.asarray(run.time[start:stop])
        return times if self.query_granularity is None else self.query_granularity.bucket_starts(times)


def shards_for(rows: float, target_rows: int) -> int:
    """How many parts so many rows make."""
    return max(1, java_round(rows / target_rows))


def _positive(value: Any) -> int | None:
    return int(value) if value is not None and int(value) > 0 else None
