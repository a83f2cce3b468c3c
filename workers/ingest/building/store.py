"""Columns that lie on disk but read like arrays.

Plain little-endian values in unlinked temporary files, read by `pread` into fresh arrays: nothing stays mapped,
so a task's memory is what it holds at the moment, and a killed task leaves nothing behind.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BLOCK_ROWS = 1 << 16


class Column(Protocol):
    """What an array and a `DiskArray` have in common."""

    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Array: ...


class DiskArray:
    """A stretch of a file, read as a one-dimensional array."""

    def __init__(self, file: IO[bytes], offset: int, dtype: np.dtype[Any], length: int) -> None:
        self._file = file
        self._offset = offset
        self._length = length
        self.dtype = dtype

    def __len__(self) -> int:
        return self._length

    @classmethod
    def joined(cls, pieces: Sequence[DiskArray], dtype: np.dtype[Any]) -> DiskArray:
        """Arrays that were put one after the other into the same file, as one."""
        if not pieces:
            return cls(tempfile.TemporaryFile(), 0, dtype, 0)
        first = pieces[0]
        return cls(first._file, first._offset, first.dtype, sum(map(len, pieces)))

    def __getitem__(self, rows: slice) -> Array:
        start, stop, step = rows.indices(self._length)
        assert step == 1, step
        out = np.empty(max(0, stop - start), self.dtype)
        _read_into(self._file, out, self._offset + start * self.dtype.itemsize)
        return out


class Constant:
    """The same value in every row."""

    def __init__(self, value: int, length: int, dtype: np.dtype[Any]) -> None:
        self._value = value
        self._length = length
        self.dtype = dtype

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, rows: slice) -> Array:
        start, stop, _ = rows.indices(self._length)
        return np.full(max(0, stop - start), self._value, self.dtype)


class Scratch:
    """Where columns are put away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def file(self) -> IO[bytes]:
        """A new file without a name; its space is freed when the last reader lets go of it."""
        return tempfile.TemporaryFile(dir=self.directory, buffering=0)


class ArrayFile:
    """Several whole arrays, one after the other in a file."""

    def __init__(self, scratch: Scratch) -> None:
        self._file = scratch.file()
        self._end = 0

    @classmethod
    def over(cls, file: IO[bytes]) -> ArrayFile:
        """Over an open, unbuffered file; what is put begins at its start."""
        made = cls.__new__(cls)
        made._file, made._end = file, 0
        return made

    @property
    def size(self) -> int:
        """Bytes put so far."""
        return self._end

    def put(self, array: Array) -> DiskArray:
        """Append `array`."""
        stored = DiskArray(self._file, self._end, array.dtype, len(array))
        self._end += write_all(self._file, array)
        return stored

    def put_bytes(self, data: bytes) -> tuple[int, int]:
        """Append `data`; its offset and length."""
        at = self._end
        self._end += write_all(self._file, np.frombuffer(data, np.uint8))
        return at, len(data)

    def read_bytes(self, offset: int, length: int) -> bytes:
        """What `put_bytes` appended."""
        out = np.empty(length, np.uint8)
        _read_into(self._file, out, offset)
        return out.tobytes()


class ArrayWriter:
    """One array, written piece by piece to a file of its own."""

    def __init__(self, scratch: Scratch, dtype: npt.DTypeLike) -> None:
        self._file = scratch.file()
        self._dtype = np.dtype(dtype)
        self._length = 0

    def append(self, piece: Array) -> None:
        """Add values at the end."""
        write_all(self._file, piece.astype(self._dtype, copy=False))
        self._length += len(piece)

    def done(self) -> DiskArray:
        """All that was appended."""
        return DiskArray(self._file, 0, self._dtype, self._length)

    def __len__(self) -> int:
        return self._length


def write_all(file: IO[bytes], array: Array) -> int:
    """Write the array's bytes; a raw file may take them in parts."""
    if not len(array):
        return 0
    view = np.ascontiguousarray(array).view(np.uint8).data
    done = 0
    while done < len(view):
        done += file.write(view[done:]) or 0
    return done


def _read_into(file: IO[bytes], out: Array, offset: int) -> None:
    if not len(out):
        return
    view = out.view(np.uint8).data
    done = 0
    while done < len(view):
        got = os.preadv(file.fileno(), [view[done:]], offset + done)
        if got == 0:
            raise EOFError(f"scratch file ends at {offset + done}")
        done += got


def blocks(column: Column, start: int, stop: int, rows: int = BLOCK_ROWS) -> Iterator[Array]:
    """`column[start:stop]` in pieces; an array in memory comes whole."""
    if isinstance(column, np.ndarray):
        yield column[start:stop]
        return
    for at in range(start, stop, rows):
        yield column[at : min(at + rows, stop)]


def bisect(column: Column, value: int, start: int, stop: int, *, right: bool) -> int:
    """Where `value` belongs within the ascending `column[start:stop]`."""
    while stop - start > 2048 and not isinstance(column, np.ndarray):
        middle = (start + stop) // 2
        here = int(column[middle : middle + 1][0])
        if here < value or (right and here == value):
            start = middle + 1
        else:
            stop = middle
    return start + int(np.searchsorted(column[start:stop], value, side="right" if right else "left"))
