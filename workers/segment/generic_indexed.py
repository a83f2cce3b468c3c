"""GenericIndexed: Druid's list of byte strings, used for dictionaries, blocks, bitmaps and complex cells.

Version 1, big-endian::

    u8  1
    u8  1 if sorted and unique (binary search allowed) else 0
    i32 bytes that follow = 4 + 4 * count + len(values)
    i32 count
    i32 end[count]      end of each element within `values`, prefix included
    values: per element a 4-byte prefix (00000000, or FFFFFFFF = null) and its bytes

Version 2, for more than 2 GiB: `u8 2, u8 flag, i32 log2(elements per file), i32 count, str32 base`; the elements are in
the smoosh entries `<base>_value_<k>` and the ends, **little-endian** and restarting per file, in `<base>_header`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from workers.segment.errors import SegmentError
from workers.segment.smoosh import Entry

HEADER = 10
PREFIX = 4
NO_NULL = b"\0\0\0\0"
NULL = b"\xff\xff\xff\xff"
LIMIT = 2**31 - 1
DENSE = 512
"""Bytes an element, on average: where elements lie closer together they are copied at once."""


class GenericIndexed:
    """A version 1 or 2 list, read in place; nothing is copied before an element is asked for.

    Attributes
    ----------
    is_sorted : bool
        The flag byte.
    stop : int
        Offset of the first byte after the list in the buffer it was read from.
    """

    def __init__(
        self, ends: Sequence[npt.NDArray[np.int32]], values: Sequence[memoryview], *, is_sorted: bool, stop: int
    ) -> None:
        self._ends = ends
        self._values = values
        self._per_file = len(ends[0]) if ends else 0
        self._count = sum(len(e) for e in ends)
        self.is_sorted = is_sorted
        self.stop = stop

    @classmethod
    def read(cls, data: memoryview, at: int, entries: Mapping[str, memoryview] | None = None) -> GenericIndexed:
        """The list that starts at `data[at]`; `entries` are the smoosh entries, for version 2."""
        version, flag = data[at], data[at + 1]
        if version == 2:
            return cls._read_v2(data, at, entries or {})
        if version != 1:
            raise ValueError(f"unknown list version {version}")
        size, count = struct.unpack_from(">ii", data, at + 2)
        start = at + 10 + 4 * count
        stop = at + 6 + size
        if count < 0 or start > stop or stop > len(data):
            raise ValueError(f"a list of {count} elements in {size} bytes does not fit its column")
        ends = np.frombuffer(data, ">i4", count, at + 10)
        return cls([ends], [data[start:stop]], is_sorted=flag == 1, stop=stop)

    @classmethod
    def _read_v2(cls, data: memoryview, at: int, entries: Mapping[str, memoryview]) -> GenericIndexed:
        flag, shift, count, length = struct.unpack_from(">xBiii", data, at)
        stop = at + 14 + length
        base = bytes(data[at + 14 : stop]).decode()
        header = np.frombuffer(entries[base + "_header"], "<i4", count)
        per_file = 1 << shift
        ends = [header[i : i + per_file] for i in range(0, count, per_file)]
        values = [entries[f"{base}_value_{k}"] for k in range(len(ends))]
        return cls(ends, values, is_sorted=flag == 1, stop=stop)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[memoryview | None]:
        return (self.view(i) for i in range(self._count))

    def view(self, i: int) -> memoryview | None:
        """Element `i` without a copy; None for null."""
        if not 0 <= i < self._count:
            raise IndexError(f"element {i} of {self._count}")
        file, i = divmod(i, self._per_file)
        ends, values = self._ends[file], self._values[file]
        start = int(ends[i - 1]) if i else 0
        stop = int(ends[i])
        if stop - start == PREFIX and values[start] == 0xFF:
            return None
        return values[start + PREFIX : stop]

    def get(self, i: int) -> bytes | None:
        """Element `i`; None for null."""
        view = self.view(i)
        return None if view is None else bytes(view)

    def take(self, indices: npt.NDArray[np.integer]) -> list[bytes | None]:
        """Elements at `indices`."""
        if len(self._ends) != 1 or not len(indices):
            return [self.get(i) for i in indices.tolist()]
        if int(indices.min()) < 0 or int(indices.max()) >= self._count:
            raise IndexError(f"an element is outside the list of {self._count}")
        ends, values = self._ends[0], self._values[0]
        stops = ends[indices].astype(np.int64)
        starts = np.where(indices > 0, ends[np.maximum(indices, 1) - 1], 0) + PREFIX
        first, last = int(starts.min()), int(stops.max())
        if last - first < DENSE * len(indices):  # one copy and slices of it are cheaper than a view for each
            whole = bytes(values[first:last])
            bounds = zip((starts - first).tolist(), (stops - first).tolist(), strict=True)
            taken: list[bytes | None] = [whole[a:b] for a, b in bounds]
        else:
            taken = [bytes(values[a:b]) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        for i in np.flatnonzero(starts >= stops).tolist():
            taken[i] = self.get(int(indices[i]))
        return taken


class ListWriter:
    """Writes a version 1 list of `count` elements into an entry, piece by piece.

    Only the ends are held in memory: four bytes an element.
    """

    def __init__(self, entry: Entry, count: int, *, is_sorted: bool = False) -> None:
        self._entry = entry
        self._count = count
        self._is_sorted = is_sorted
        self._ends = np.empty(count, ">i4")
        self._added = 0
        self._size = 0
        self._at = entry.skip(HEADER + 4 * count)

    def add(self, element: bytes | memoryview | None) -> None:
        """Append one element; None is null."""
        self._entry.write(NULL if element is None else NO_NULL)
        self._size += PREFIX
        if element:
            self._entry.write(element)
            self._size += len(element)
        if self._size > LIMIT:
            raise _too_big(self._size)
        self._ends[self._added] = self._size
        self._added += 1

    def add_packed(self, packed: bytes | bytearray | memoryview, sizes: npt.NDArray[np.int64]) -> None:
        """Append many elements: their bytes with prefixes, joined, and the size of each, prefix included."""
        self._entry.write(packed)
        ends = np.cumsum(sizes)
        ends += self._size
        if len(ends):
            self._size = int(ends[-1])
            if self._size > LIMIT:
                raise _too_big(self._size)
        self._ends[self._added : self._added + len(ends)] = ends
        self._added += len(ends)

    def close(self) -> None:
        """Fill in the header."""
        assert self._added == self._count, (self._added, self._count)
        size = 4 + 4 * self._count + self._size
        if size > LIMIT:
            raise _too_big(size)
        header = struct.pack(">BBii", 1, self._is_sorted, size, self._count)
        self._entry.fill(self._at, header + self._ends.tobytes())


def _too_big(size: int) -> SegmentError:
    return SegmentError(
        f"a list of {size} bytes is over 2 GiB, which a segment's column cannot hold",
        hint="lower tuningConfig.partitionsSpec.maxRowsPerSegment",
    )


def pack(elements: Iterable[bytes | None], *, is_sorted: bool = False) -> bytes:
    """A version 1 list of a few elements (names, cells); big lists are streamed by the writer."""
    values = bytearray()
    ends = []
    for element in elements:
        values += NULL if element is None else NO_NULL
        values += element or b""
        ends.append(len(values))
    size = 4 + 4 * len(ends) + len(values)
    if size > LIMIT:
        raise _too_big(size)
    return struct.pack(f">BBii{len(ends)}i", 1, is_sorted, size, len(ends), *ends) + bytes(values)
