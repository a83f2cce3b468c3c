"""Front-coded lists: buckets of values, each sharing a prefix with one before it.

Dictionary: `u8 0x7F, u8 1, u8 format, u8 bucket size (a power of two), u8 1 if there is a null, vbyte count (without
null), vbyte bytes, LE i32 end of every bucket but the last, buckets`. In a bucket: first value `vbyte length, items`;
others `vbyte shared prefix, vbyte length, items`; the prefix is of the bucket's first value (format 0) or of the value
before (format 1). Items are bytes, or LE i32 in the dictionary of arrays, which has no `7F 01` in front, and whose
prefixes are of the value before in format 0 too.

A vbyte has seven bits a byte, low ones first; the last byte has its high bit set.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MARK = 0x7F

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class FrontCoding:
    """How a dictionary is front-coded.

    Attributes
    ----------
    bucket_size : int
        A power of two up to 128.
    version : int
        0: a prefix is of the bucket's first value; 1: of the value before.
    """

    bucket_size: int = 4
    version: int = 0


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
        self._by_previous = self._format == 1 or item_bytes > 1
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
            base = values[-1] if self._by_previous else values[0]
            values.append(base[: shared * unit] + bytes(data[at : at + length * unit]))
            at += length * unit
        return values


@dataclass(frozen=True, kw_only=True)
class Values:
    """Some values that lie anywhere in a buffer, in order; whole buckets of them, but for the last ones of a list."""

    data: Bytes
    starts: Ints
    lengths: Ints


def encode(parts: Iterable[Values], coding: FrontCoding, *, has_null: bool) -> bytes:
    """A whole list, from the format byte on.

    Parameters
    ----------
    parts : iterable of Values
    coding : FrontCoding
    has_null : bool
        Whether a null comes before them.
    """
    count, written = 0, 0
    packed: list[bytes] = []
    ends: list[Ints] = []
    for part in parts:
        data, bucket_ends = _buckets(part, coding)
        ends.append(bucket_ends + written)
        packed.append(data)
        written += len(data)
        count += len(part.starts)
    offsets = (np.concatenate(ends) if ends else np.empty(0, np.int64))[:-1].astype("<i4").tobytes()
    head = struct.pack("BBB", coding.version, coding.bucket_size, has_null)
    return b"".join([head, number(count), number(len(offsets) + written), offsets, *packed])


def number(value: int) -> bytes:
    """A vbyte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F)
        value >>= 7
    out.append(value | 0x80)
    return bytes(out)


def _buckets(part: Values, coding: FrontCoding) -> tuple[bytes, Ints]:
    """The buckets of some values, and where each ends."""
    places = np.arange(len(part.starts))
    leads = places % coding.bucket_size == 0
    before = places - 1 if coding.version else places - places % coding.bucket_size
    shared = np.where(leads, 0, _shared(part, before))
    rest = part.lengths - shared
    shared_width = np.where(leads, 0, _width(shared))
    rest_width = _width(rest)
    ends = np.cumsum(shared_width + rest_width + rest)
    out = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    at = ends - rest - rest_width
    _put_numbers(out, at, rest, rest_width)
    _put_numbers(out, at - shared_width, shared, shared_width)
    _copy(out, ends - rest, part.data, part.starts + shared, rest)
    last = np.append(np.flatnonzero(leads)[1:], len(leads)) - 1
    return out.tobytes(), ends[last] if len(ends) else ends


def _shared(part: Values, before: Ints) -> Ints:
    """How many bytes each value has in common with another one."""
    other = np.maximum(before, 0)
    limit = np.minimum(part.lengths, part.lengths[other])
    shared = np.zeros(len(limit), np.int64)
    active = np.flatnonzero(limit > 0)
    here, there = part.starts, part.starts[other]
    step = 0
    while len(active):
        active = active[part.data[here[active] + step] == part.data[there[active] + step]]
        step += 1
        shared[active] = step
        active = active[limit[active] > step]
    return shared


def _width(values: Ints) -> Ints:
    width = np.ones(len(values), np.int64)
    for bits in (7, 14, 21, 28):
        width += values >> bits > 0
    return width


def _put_numbers(out: Bytes, at: Ints, values: Ints, width: Ints) -> None:
    for place in range(int(width.max()) if len(width) else 0):
        there = np.flatnonzero(width > place)
        low = values[there] >> 7 * place & 0x7F
        out[at[there] + place] = low | np.where(width[there] == place + 1, 0x80, 0)


def _copy(out: Bytes, to: Ints, data: Bytes, starts: Ints, lengths: Ints) -> None:
    total = int(lengths.sum())
    steps = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    out[np.repeat(to, lengths) + steps] = data[np.repeat(starts, lengths) + steps]
