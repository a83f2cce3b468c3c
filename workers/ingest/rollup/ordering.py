"""Order of rows by several integer columns, and the groups of equal ones.

The columns are packed, as the digits of one number, first one highest, into one int64 a row; when the next one does
not fit, what is packed so far is replaced by its rank. Sorting stops as soon as all rows differ. Below the packed
value goes the row number if there is room for it: then a plain sort, much faster than an argsort, gives the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]
LIMIT = 1 << 63
STEPS = (3_600_000, 60_000, 1000)
"""Milliseconds of an hour, a minute, a second."""


@dataclass(frozen=True)
class Groups:
    """Rows in sorted order, cut into groups of equals.

    Attributes
    ----------
    order : ndarray of intp, shape (rows,)
        `order[i]` is the row that comes i-th; equal rows keep their input order.
    starts : ndarray of intp, shape (groups,)
        Position within `order` where each group begins.
    """

    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def single(self) -> bool:
        """Whether every group has one row."""
        return len(self.starts) == len(self.order)

    @cached_property
    def ids(self) -> npt.NDArray[np.intp]:
        """Group of each position of `order`."""
        marks = np.zeros(len(self.order), np.intp)
        marks[self.starts[1:]] = 1
        return np.cumsum(marks)

    @property
    def first(self) -> npt.NDArray[np.intp]:
        """The first row of each group."""
        return self.order if self.single else self.order[self.starts]


def singles(order: npt.NDArray[np.intp]) -> Groups:
    """Every row a group of its own."""
    return Groups(order, np.arange(len(order)))


def order_rows(columns: Iterable[Ints], rows: int) -> Groups:
    """Sort rows by `columns`, the first one foremost; stable.

    Parameters
    ----------
    columns : iterable of integer ndarrays, shape (rows,)
        Drawn one by one, so that they may be made on the way.
    """
    if rows == 0:
        return Groups(np.empty(0, np.intp), np.empty(0, np.intp))
    room = LIMIT >> _row_bits(rows)
    packed: Ints | None = None
    count = 1
    for column in columns:
        digits, base = _digits(column, room)
        if base == 1:
            continue
        if packed is None:
            packed, count = digits.astype(np.int64), base
            continue
        if count * base > room:
            groups = _sorted_groups(packed, count)
            if groups.single:
                return groups
            packed, count = _ranks(groups), len(groups)
        if count * base > LIMIT:
            digits, base = _dense(digits.astype(np.int64), base)
        packed *= base
        packed += digits
        count *= base
    if packed is None:
        return Groups(np.arange(rows), np.zeros(1, np.intp))
    return _sorted_groups(packed, count)


def _row_bits(rows: int) -> int:
    return max(1, (rows - 1).bit_length())


def _digits(column: Ints, room: int) -> tuple[Ints, int]:
    """The column as numbers from 0 of the same order, and how many there may be; few enough for `room` if it can be."""
    low, high = int(column.min()), int(column.max())
    if high - low >= LIMIT:
        values, ranks = np.unique(column, return_inverse=True)
        return ranks, len(values)
    wide = column.astype(np.int64) if low < 0 and column.dtype != np.int64 else column
    digits = wide - wide.dtype.type(low) if low else wide
    digits, highest = _without_steps(digits, high - low)
    return (digits, highest + 1) if highest < room else _dense(digits.astype(np.int64), highest + 1)


def _without_steps(digits: Ints, highest: int) -> tuple[Ints, int]:
    """Truncated times lie whole hours, minutes or seconds apart: then it is these that are counted."""
    for step in STEPS:
        if highest >= step and highest % step == 0:
            steps = digits // step
            if np.array_equal(steps * step, digits):
                return steps, highest // step
    return digits, highest


def _dense(digits: Ints, base: int) -> tuple[Ints, int]:
    groups = _sorted_groups(digits, base)
    return _ranks(groups), len(groups)


def _ranks(groups: Groups) -> Ints:
    out = np.empty(len(groups.order), np.int64)
    out[groups.order] = groups.ids
    return out


def _sorted_groups(packed: Ints, count: int) -> Groups:
    """The order of numbers below `count`, whose array is used up."""
    rows = len(packed)
    row_bits = _row_bits(rows)
    if count <= LIMIT >> row_bits:
        packed <<= row_bits
        packed |= np.arange(rows)
        packed.sort()
        order = (packed & ((1 << row_bits) - 1)).astype(np.intp, copy=False)
        packed >>= row_bits
    else:
        order = np.argsort(packed, kind="stable")
        packed = packed[order]
    change = np.flatnonzero(packed[1:] != packed[:-1]) + 1
    return Groups(order, np.concatenate((np.zeros(1, np.intp), change)))
