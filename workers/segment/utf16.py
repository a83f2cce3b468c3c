"""Strings in the order of their UTF-16 code units, which is how Druid orders every dictionary.

It differs from UTF-8 byte order only where U+E000..U+FFFF (lead bytes EE, EF) meets U+10000 and above (F0..F4):
UTF-16 puts the latter first. So raising the two lead bytes above F4 makes byte order right; values without any byte
from EE on, nearly all, are their own keys.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

FIRST_SPECIAL = 0xEE
_RAISE = bytes.maketrans(b"\xee\xef", b"\xfe\xff")
_SPECIAL_CHARACTERS = "[\\x{E000}-\\x{10FFFF}]"


def sort_key(value: bytes) -> bytes:
    """A key whose byte order is the UTF-16 order of the UTF-8 text `value`; for merges and single comparisons."""
    return value.translate(_RAISE)


def is_special(values: bytes | bytearray | memoryview | npt.NDArray[np.uint8]) -> bool:
    """Whether UTF-8 bytes (any number of values, joined) may be ordered otherwise than by byte."""
    array = np.frombuffer(values, np.uint8)
    return bool(array.size) and int(array.max()) >= FIRST_SPECIAL


def sort_keys(values: pl.Series) -> pl.Series:
    """Keys of a String series: itself when byte order is right, else a Binary series of `sort_key`. Nulls stay."""
    special = values.str.contains(_SPECIAL_CHARACTERS).fill_null(False)
    if not special.any():
        return values
    raw = values.cast(pl.Binary)
    keys = [sort_key(value) for value in raw.filter(special)]
    both = pl.concat([raw.filter(~special), pl.Series(keys, dtype=pl.Binary)])
    is_raised = special.to_numpy()
    place = np.where(is_raised, np.cumsum(is_raised) - 1 + len(raw) - len(keys), np.cumsum(~is_raised) - 1)
    return both.gather(place)


def argsort(values: pl.Series) -> npt.NDArray[np.uint32]:
    """Positions that put a String series in UTF-16 order, null first; stable."""
    keys = sort_keys(values)
    order = keys.to_frame("key").with_row_index("at").sort("key", nulls_last=False, maintain_order=True)["at"]
    return order.to_numpy()


def sort(values: pl.Series) -> pl.Series:
    """A String series in UTF-16 order, null first."""
    if sort_keys(values) is values:
        return values.sort(nulls_last=False)  # several times faster than by position
    return values.gather(argsort(values))


def is_ascending(values: pl.Series) -> bool:
    """Whether a String series rises strictly in UTF-16 order; it must hold no null."""
    if len(values) < 2:
        return True
    keys = sort_keys(values)
    return bool((keys.slice(1) > keys.slice(0, len(keys) - 1)).all())
