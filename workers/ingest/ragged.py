"""Rows of different lengths as two arrays: all items, and for each row where its items end.

Row r is `items[ends[r - 1] : ends[r]]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]

LONG = 64
"""From so many items a row on, rows are copied one by one."""


def lengths(ends: Ints) -> Ints:
    """Items in each row."""
    return np.diff(ends, prepend=0)


def take(ends: Ints, items: Ints, rows: Ints | slice) -> tuple[Ints, Ints]:
    """Those rows, as (ends, items)."""
    sizes = lengths(ends)
    starts = (ends - sizes)[rows]
    sizes = sizes[rows]
    new_ends = np.cumsum(sizes, dtype=np.int64)
    total = int(new_ends[-1]) if len(new_ends) else 0
    if total > LONG * len(sizes):
        stops = (starts + sizes).tolist()
        return new_ends, np.concatenate([items[a:b] for a, b in zip(starts.tolist(), stops, strict=True)])
    index = np.repeat(starts - (new_ends - sizes), sizes) + np.arange(total)
    return new_ends, items[index]
