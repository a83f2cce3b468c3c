"""Order of rows by several integer columns, and the groups of equal ones.

The columns are packed, first one highest, into one int64 a row; when the next one does not fit, what is
packed so far is replaced by its rank. Sorting stops as soon as all rows differ. Below the packed value goes
the row number if there is room for it: then a plain sort, much faster than an argsort, gives the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]
_BITS = 63


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
    packed: Ints | None = None
    width = 0
    for column in columns:
        digits, bits = _shifted(column, rows)
        if bits == 0:
            continue
        if packed is None:
            packed, width = digits, bits
            continue
        if width + bits + _row_bits(rows) > _BITS:
            groups = _sorted_groups(packed, width)
            if groups.single:
                return groups
            packed, width = _ranks(groups), (len(groups) - 1).bit_length()
        if width + bits > _BITS:
            digits, bits = _dense(digits, bits)
        packed = (packed << bits) | digits
        width += bits
    if packed is None:
        return Groups(np.arange(rows), np.zeros(1, np.intp))
    return _sorted_groups(packed, width)


def _row_bits(rows: int) -> int:
    return max(1, (rows - 1).bit_length())


def _shifted(column: Ints, rows: int) -> tuple[Ints, int]:
    """The column counted from its least value, and the bits that takes; ranks if those are too many."""
    low, high = int(column.min()), int(column.max())
    bits = (high - low).bit_length()
    if bits <= _BITS:
        if low >= 0 or column.dtype == np.int64:
            shifted = column.astype(np.int64)
            if low:
                shifted -= low
        else:
            shifted = column.astype(np.int64) - low
        if bits + _row_bits(rows) <= _BITS:
            return shifted, bits
        return _dense(shifted, bits)
    values, ranks = np.unique(column, return_inverse=True)
    return ranks.astype(np.int64, copy=False), (len(values) - 1).bit_length()


def _dense(digits: Ints, bits: int) -> tuple[Ints, int]:
    groups = _sorted_groups(digits, bits)
    return _ranks(groups), (len(groups) - 1).bit_length()


def _ranks(groups: Groups) -> Ints:
    out = np.empty(len(groups.order), np.int64)
    out[groups.order] = groups.ids
    return out


def _sorted_groups(packed: Ints, width: int) -> Groups:
    rows = len(packed)
    row_bits = _row_bits(rows)
    if width + row_bits <= _BITS:
        keyed = (packed << row_bits) | np.arange(rows)
        keyed.sort()
        order = (keyed & ((1 << row_bits) - 1)).astype(np.intp, copy=False)
        in_order = keyed >> row_bits
    else:
        order = np.argsort(packed, kind="stable")
        in_order = packed[order]
    change = np.flatnonzero(in_order[1:] != in_order[:-1]) + 1
    return Groups(order, np.concatenate((np.zeros(1, np.intp), change)))
