"""Front-coded lists, read only: buckets of values, each sharing a prefix with one before it.

Dictionary: `u8 0x7F, u8 1, u8 format, u8 bucket size (a power of two), u8 1 if there is a null, vbyte count (without
null), vbyte bytes, LE i32 end of every bucket but the last, buckets`. In a bucket: first value `vbyte length, items`;
others `vbyte shared prefix, vbyte length, items`; the prefix is of the bucket's first value (format 0) or of the value
before (format 1). Items are bytes, or LE i32 in the dictionary of arrays, which has no `7F 01` in front.

A vbyte has seven bits a byte, low ones first; the last byte has its high bit set.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MARK = 0x7F


def vbyte(data: memoryview | bytes, at: int) -> tuple[int, int]:
    """Number at `at`, and the offset behind it."""
    number = shift = 0
    while (byte := data[at]) < 0x80:
        number |= byte << shift
        shift += 7
        at += 1
    return number | (byte & 0x7F) << shift, at + 1


class FrontCoded:
    """A front-coded list, read in place a bucket at a time.

    Parameters
    ----------
    data, at
        Where the format byte is.
    item_bytes : int
        1 for strings, 4 for arrays of ids.
    """

    def __init__(self, data: memoryview, at: int, *, item_bytes: int = 1) -> None:
        self._format, self._bucket_size = data[at], data[at + 1]
        if self._format > 1:
            raise ValueError(f"unknown front coding format {self._format}")
        self._item_bytes = item_bytes
        self._has_null = data[at + 2] == 1
        self._count, at = vbyte(data, at + 3)
        size, at = vbyte(data, at)
        buckets = -(-self._count // self._bucket_size)
        ends = np.frombuffer(data, "<i4", max(buckets - 1, 0), at)
        self.stop = at + size
        self._starts = np.concatenate([[0], ends]).astype(np.int64) + at + 4 * len(ends)
        self._data = data
        self._decoded: tuple[int, list[bytes]] = (-1, [])

    @property
    def is_sorted(self) -> bool:
        return True

    def __len__(self) -> int:
        return self._count + self._has_null

    def get(self, i: int) -> bytes | None:
        """Element `i`; None for null."""
        if not 0 <= i < len(self):
            raise IndexError(f"element {i} of {len(self)}")
        if self._has_null:
            if i == 0:
                return None
            i -= 1
        bucket, place = divmod(i, self._bucket_size)
        if self._decoded[0] != bucket:
            self._decoded = (bucket, self._bucket(bucket))
        return self._decoded[1][place]

    def take(self, indices: npt.NDArray[np.integer]) -> list[bytes | None]:
        """Elements at `indices`; cheapest when they ascend."""
        return [self.get(i) for i in indices.tolist()]

    def _bucket(self, bucket: int) -> list[bytes]:
        data, unit = self._data, self._item_bytes
        count = min(self._bucket_size, self._count - bucket * self._bucket_size)
        length, at = vbyte(data, int(self._starts[bucket]))
        values = [bytes(data[at : at + length * unit])]
        at += length * unit
        for _ in range(count - 1):
            shared, at = vbyte(data, at)
            length, at = vbyte(data, at)
            base = values[-1] if self._format == 1 else values[0]
            values.append(base[: shared * unit] + bytes(data[at : at + length * unit]))
            at += length * unit
        return values
