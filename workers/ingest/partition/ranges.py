"""Range partitions: stretches of the order of one or several dimensions, each with about as many rows.

A value is known by its code, which orders as the value does; null is 0 and comes first. Where to cut is found level
by level: the first dimension's code at each cut, then, among the rows that share it, the second's, and so on.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from overlord.model import shard_spec
from workers.ingest.building.columns import Autos, Dimension, Lists, Numbers, from_keys
from workers.ingest.building.run import Run
from workers.ingest.building.store import BLOCK_ROWS
from workers.ingest.building.tables import EMPTY, MemoryTable, Table, union
from workers.ingest.java import text_of
from workers.ingest.partition.base import Labels, Partitions, Parts, java_round
from workers.ingest.partition.group_keys import auto_values, number_texts
from workers.segment import utf16

Ints = npt.NDArray[Any]
Bound = tuple[str | None, ...]

SKETCH_ERROR = 1.854 / 4096**0.9657
"""By how much of all rows Druid's sketch may err in a rank; it keeps that far below maxRowsPerSegment."""


@dataclass(frozen=True, kw_only=True)
class RangePartitions(Partitions):
    """By ranges of values.

    Attributes
    ----------
    dimensions : tuple of str
    target_rows, max_rows : int or None
        Rows after rollup in a part, about or at most; one of them is given.
    bounds_of : mapping of int to sequence of tuple
        Cuts by start of the chunk, where somebody has found them already.
    """

    perfect: ClassVar[bool] = True

    dimensions: tuple[str, ...]
    target_rows: int | None = None
    max_rows: int | None = None
    bounds_of: Mapping[int, Sequence[Bound]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        one = json.get("partitionDimension")
        dimensions = [one] if one is not None else list(json.get("partitionDimensions") or ())
        if not dimensions or None in dimensions:
            raise TaskFailed(
                "Range partitions need the dimensions to go by",
                where="spec.tuningConfig.partitionsSpec.partitionDimensions",
            )
        return cls(
            dimensions=tuple(dimensions),
            target_rows=json.get("targetRowsPerSegment"),
            max_rows=json.get("maxRowsPerSegment"),
        )

    @property
    def needs_counting(self) -> bool:
        return not self.bounds_of

    def count(self, rows: int) -> int:
        """How many parts so many rows are to make."""
        if self.target_rows:
            return max(1, java_round(rows / self.target_rows))
        most = max(1, math.floor((self.max_rows or rows) - rows * SKETCH_ERROR))
        return max(1, math.ceil(rows / most))

    def parts(self, run: Run, start: int, stop: int) -> Parts:
        """From the lowest to the highest."""
        keys = [Key(name, run.dimensions.get(name), start, stop) for name in self.dimensions]
        chunk = int(run.chunk[start : start + 1][0])
        if chunk in self.bounds_of:
            bounds = list(self.bounds_of[chunk])
            cuts = np.array([[k.place(v) for k, v in zip(keys, b, strict=True)] for b in bounds], np.int64)
        else:
            codes = cuts_of(keys, start, stop, self.count(stop - start))
            bounds = [tuple(k.value(c) for k, c in zip(keys, cut, strict=True)) for cut in codes.tolist()]
            cuts = 2 * codes
        return Parts(
            shard_specs=[
                shard_spec.ranged(self.dimensions, low, high)
                for low, high in zip([None, *bounds], [*bounds, None], strict=True)
            ],
            label=lambda begin, end: labels(cuts.reshape(-1, len(keys)), [2 * k.codes(begin, end) for k in keys]),
        )


class Key:
    """A dimension that ranges go by: single strings, whatever the column holds."""

    def __init__(self, name: str, column: Dimension | None, start: int, stop: int) -> None:
        self._name = name
        self._column = column
        self._distinct: Ints | None = None
        self.table: Table = EMPTY
        if isinstance(column, Numbers):
            self._take_numbers(column, start, stop)
        elif isinstance(column, Autos):
            self._take_autos(column, start, stop)
        elif column is not None:
            self.table = column.table

    def _take_numbers(self, column: Numbers, start: int, stop: int) -> None:
        distinct = np.empty(0, column.keys.dtype)
        for at, end in spans(start, stop):
            distinct = np.union1d(distinct, column.keys[at:end])
        texts = pl.Series("values", number_texts(from_keys(distinct, column.kind), column.kind), dtype=pl.String)
        self.table, (codes,) = union([MemoryTable(texts, sorted=False)])
        self._distinct, self._text_codes = distinct, codes[1:]

    def _take_autos(self, column: Autos, start: int, stop: int) -> None:
        distinct = np.empty(0, np.int64)
        for at, end in spans(start, stop):
            distinct = np.union1d(distinct, column.codes[at:end]).astype(np.int64)
        texts = pl.Series("values", [self._single(v) for v in auto_values(column, distinct)], dtype=pl.String)
        self.table, (codes,) = union([MemoryTable(texts.drop_nulls(), sorted=False)])
        found = np.zeros(len(distinct), np.int32)
        found[texts.is_not_null().to_numpy()] = codes[1:]
        self._distinct, self._text_codes = distinct, found

    def _single(self, value: Any) -> str | None:
        """The text of a value, or of the only one in a list."""
        if isinstance(value, list):
            if len(value) > 1:
                raise self._many()
            value = value[0] if value else None
        return None if value is None else text_of(value)

    def codes(self, start: int, stop: int) -> Ints:
        """Codes of the rows' values."""
        column = self._column
        if column is None:
            return np.zeros(stop - start, np.int64)
        if isinstance(column, Numbers):
            assert self._distinct is not None
            found = self._text_codes[np.searchsorted(self._distinct, column.keys[start:stop])]
            return np.where(column.valid[start:stop] != 0, found, 0).astype(np.int64)
        if isinstance(column, Autos):
            assert self._distinct is not None
            return self._text_codes[np.searchsorted(self._distinct, column.codes[start:stop])].astype(np.int64)
        if isinstance(column, Lists):
            return self._of_lists(column, start, stop)
        return column.codes[start:stop].astype(np.int64)

    def _of_lists(self, column: Lists, start: int, stop: int) -> Ints:
        begin = int(column.ends[start - 1 : start][0]) if start else 0
        ends = column.ends[start:stop]
        sizes = np.diff(ends, prepend=begin)
        if len(sizes) and int(sizes.max()) > 1:
            raise self._many()
        out = np.zeros(stop - start, np.int64)
        out[sizes == 1] = column.items[begin : int(ends[-1])] if len(ends) else 0
        return out

    def _many(self) -> TaskFailed:
        return TaskFailed(
            f"Cannot partition on multi-value dimension [{self._name}]. Range partitions need one value a row; "
            "take another dimension, or hashed partitions"
        )

    def value(self, code: int) -> str | None:
        """The value of a code."""
        if code == 0:
            return None
        (value,) = [v for block in self.table.gather(np.array([code])) for v in block.to_list()]
        return str(value)

    def place(self, value: str | None) -> int:
        """Where a value lies among doubled codes: even if it is in the table, else odd, between two."""
        if value is None:
            return 0
        before = 0
        wanted = _sort_key(value)
        for block in self.table.blocks():
            if len(block) and _sort_key(block[-1]) < wanted:
                before += len(block)
                continue
            at = bisect_left(range(len(block)), wanted, key=lambda i, block=block: _sort_key(block[i]))  # type: ignore[misc]
            found = at < len(block) and block[at] == value
            return 2 * (before + at + 1) - (0 if found else 1)
        return 2 * before + 1


def spans(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """A stretch of rows in steps."""
    for at in range(start, stop, BLOCK_ROWS):
        yield at, min(at + BLOCK_ROWS, stop)


def cuts_of(keys: Sequence[Key], start: int, stop: int, count: int) -> Ints:
    """Codes at which `count` parts of about the same size begin, without the first; fewer where values repeat.

    Returns
    -------
    ndarray of int64, shape (cuts, keys)
        Ascending. Rows at a cut belong to the part above it.
    """
    rows = stop - start
    left = np.array([0, *(i * rows // count for i in range(1, count)), rows - 1])
    group = np.zeros(len(left), np.int64)
    prefixes: list[Ints] = []
    chosen = []
    for level, key in enumerate(keys):
        width = len(key.table) + 1
        packed, counts = _counted(keys[: level + 1], prefixes, start, stop)
        before = np.cumsum(counts) - counts
        wanted = before[np.searchsorted(packed, group * width)] + left
        at = np.searchsorted(before, wanted, side="right") - 1
        left = wanted - before[at]
        chosen.append(packed[at] % width)
        prefixes.append(np.unique(packed[at]))
        group = np.searchsorted(prefixes[-1], packed[at])
    found = np.stack(chosen, axis=1)
    changed = np.ones(len(found), np.bool_)
    changed[1:] = (found[1:] != found[:-1]).any(axis=1)
    return found[changed][1:-1]


def _counted(keys: Sequence[Key], prefixes: Sequence[Ints], start: int, stop: int) -> tuple[Ints, Ints]:
    """How many rows have each code of the last key, by the group that the keys before put them in."""
    found, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for at, end in spans(start, stop):
        rows = np.arange(end - at)
        packed = keys[0].codes(at, end)
        for key, prefix in zip(keys[1:], prefixes, strict=True):
            place = np.minimum(np.searchsorted(prefix, packed), len(prefix) - 1)
            there = prefix[place] == packed
            rows, place = rows[there], place[there]
            packed = place * (len(key.table) + 1) + key.codes(at, end)[rows]
        more, more_counts = np.unique(packed, return_counts=True)
        found, inverse = np.unique(np.concatenate((found, more)), return_inverse=True)
        counts = np.bincount(inverse, np.concatenate((counts, more_counts)), len(found)).astype(np.int64)
    return found, counts


def labels(cuts: Ints, columns: Sequence[Ints]) -> Labels:
    """For each row, how many cuts are not above it.

    Parameters
    ----------
    cuts : ndarray of integers, shape (cuts, columns)
        Ascending.
    columns : sequence of ndarray
        The rows' values.
    """
    if not len(cuts):
        return np.zeros(len(columns[0]), np.int32)
    base = 2 * len(cuts) + 2
    row_key, cut_key = np.zeros(len(columns[0]), np.int64), np.zeros(len(cuts), np.int64)
    for values, bounds in zip(columns, cuts.T, strict=True):
        row_key = row_key * base + _among(values, bounds)
        cut_key = cut_key * base + _among(bounds, bounds)
        row_key, cut_key = _among(row_key, cut_key), _among(cut_key, cut_key)
    return np.searchsorted(cut_key, row_key, side="right").astype(np.int32)


def _among(values: Ints, bounds: Ints) -> Ints:
    """Small numbers that compare with those of `bounds` as the values do."""
    distinct = np.unique(bounds)
    at = np.searchsorted(distinct, values)
    equal = distinct[np.minimum(at, len(distinct) - 1)] == values
    return 2 * at + np.where(equal, 1, 0)


def _sort_key(value: str) -> bytes:
    return utf16.sort_key(value.encode())
