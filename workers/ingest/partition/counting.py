"""What several sub-tasks find out about the same chunks, in a form that can be put together in bounded memory.

For hashed partitions: the `MOST_HASHES` smallest of all keys' hashes. As long as there are fewer, their number is the
number of keys; from then on the largest kept tells how dense they lie (error about 1 %).

For ranges: how many rolled-up rows have each value; when those are too many, values at even ranks stand for the rest.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.building.run import Run
from workers.ingest.partition.ranges import Bound, Key, RangePartitions, spans
from workers.segment import utf16

MOST_HASHES = 1 << 14
MOST_VALUES = 100_000
COUNT = "count"

Hashes = npt.NDArray[np.uint64]


def smallest(parts: Sequence[Hashes]) -> Hashes:
    """The smallest distinct hashes of all."""
    return np.unique(np.concatenate(parts))[:MOST_HASHES] if parts else np.empty(0, np.uint64)


def cardinality(hashes: Hashes) -> float:
    """How many distinct keys there are, by their smallest hashes."""
    if len(hashes) < MOST_HASHES:
        return float(len(hashes))
    return (MOST_HASHES - 1) * 2.0**64 / float(hashes[-1])


def values_of(run: Run, dimensions: Sequence[str], start: int, stop: int) -> pl.DataFrame:
    """The values of the rows `start` to `stop`, in order, and how many rows have each."""
    keys = [Key(name, run.dimensions.get(name), start, stop) for name in dimensions]
    names = _names(len(keys))
    found = pl.DataFrame(schema=dict.fromkeys(names, pl.Int64) | {COUNT: pl.Int64})
    for at, end in spans(start, stop):
        block = pl.DataFrame({name: key.codes(at, end) for name, key in zip(names, keys, strict=True)})
        counted = block.group_by(names).agg(pl.len().cast(pl.Int64).alias(COUNT))
        found = pl.concat([found, counted]).group_by(names).agg(pl.col(COUNT).sum())
    found = _thinned(found.sort(names))
    return found.with_columns([_texts(key, found[name]) for name, key in zip(names, keys, strict=True)])


def _names(count: int) -> list[str]:
    return [f"value {i}" for i in range(count)]


def _texts(key: Key, codes: pl.Series) -> pl.Series:
    used = codes.unique().sort()
    some = used.filter(used > 0).to_numpy()
    values = [block.cast(pl.String) for block in key.table.gather(some)] if len(some) else []
    nulls = [pl.Series("", [None], dtype=pl.String)] if len(some) < len(used) else []
    texts = pl.concat([s.alias(codes.name) for s in nulls + values])
    return texts.gather(used.search_sorted(codes))


def _thinned(values: pl.DataFrame) -> pl.DataFrame:
    """At most `MOST_VALUES`; the counts of those left out go to their neighbours."""
    if len(values) <= MOST_VALUES:
        return values
    ends = values[COUNT].cum_sum().to_numpy()
    at = np.unique(np.searchsorted(ends, np.arange(1, MOST_VALUES + 1) * ends[-1] / MOST_VALUES))
    at = np.unique(np.concatenate(([0], np.minimum(at, len(values) - 1))))  # the first one must stay
    return values[at].with_columns(pl.Series(COUNT, np.diff(ends[at], prepend=0)))


def together(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The values of several sub-tasks, in order."""
    names = [name for name in parts[0].columns if name != COUNT]
    whole = pl.concat(parts).group_by(names).agg(pl.col(COUNT).sum())
    keys = [utf16.sort_keys(whole[name]).alias(f"key {name}") for name in names]
    return whole.with_columns(keys).sort([key.name for key in keys], nulls_last=False).select([*names, COUNT])


def bounds_of(values: pl.DataFrame, partitions: RangePartitions) -> list[Bound]:
    """Where the parts begin, without the first; see `cuts_of`."""
    ends = values[COUNT].cum_sum().to_numpy()
    rows = int(ends[-1])
    count = partitions.count(rows)
    ranks = np.array([0, *(i * rows // count for i in range(1, count)), rows - 1])
    at = np.unique(np.searchsorted(ends, ranks, side="right"))
    return [tuple(row[:-1]) for row in values[at].rows()][1:-1]


def to_bytes(values: pl.DataFrame) -> bytes:
    """As Arrow IPC."""
    out = io.BytesIO()
    values.write_ipc(out, compression="uncompressed")
    return out.getvalue()


def from_bytes(data: bytes) -> pl.DataFrame:
    """The inverse."""
    return pl.read_ipc(io.BytesIO(data))
