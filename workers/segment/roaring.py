"""The bitmap index of a string column: for each dictionary id the rows that hold it, as serialised roaring bitmaps.

Most values of a column with many are rare, and their bitmaps hold array containers only, so they are laid out by numpy,
all at once; the rest goes through pyroaring. Both give the bytes Druid writes. The layout, little-endian::

    u32 12346 | u32 containers | per container: u16 key, u16 cardinality - 1
    | per container: u32 offset of its data | per container: u16 low half of each row, ascending

A container is 65536 rows with the same high half, its key. It is kept as runs instead where that is smaller:
`2 + 4 * runs < 2 * cardinality`. No rows at all: no bytes.
"""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from workers.segment.generic_indexed import NO_NULL, PREFIX, ListWriter

COOKIE = 12346
RARE = 4096
"""A value of at most so many rows is laid out by numpy; a container of more is no array."""
FEW_VALUES = 64
"""Below so many values the fixed costs of the numpy way are not worth it."""
SLICE_VALUES, SLICE_ROWS = 1 << 16, 1 << 18
"""What is laid out at once, which bounds memory."""

Ids = npt.NDArray[np.unsignedinteger]
Rows = npt.NDArray[np.uint32]


def group_rows(ids: Ids, count: int) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Rows of a single-value column sorted by (id, row), and where each of `count` ids begins; one more is the end."""
    if ids.dtype.itemsize <= 2:
        rows = np.argsort(ids, kind="stable").astype(np.uint32)  # a radix sort
    else:
        keys = ids.astype(np.uint64) << np.uint64(32)
        keys |= np.arange(len(ids), dtype=np.uint64)
        keys.sort()
        rows = keys.astype(np.uint32)
    return rows, _starts(np.bincount(ids, minlength=count))


def group_row_lists(ids: Ids, counts: npt.NDArray[np.int64], count: int) -> tuple[Rows, npt.NDArray[np.int64]]:
    """The same for a multi-value column with `counts[i]` of the ids in row i; an empty row has id 0, the null entry."""
    empty = np.flatnonzero(counts == 0)
    keys = np.concatenate([ids.astype(np.uint64) << np.uint64(32), np.zeros(len(empty), np.uint64)])
    keys[: len(ids)] |= np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    keys[len(ids) :] |= empty.astype(np.uint64)
    keys.sort()
    again = np.flatnonzero(keys[1:] == keys[:-1])  # a value twice in one row
    keys = np.delete(keys, again) if len(again) else keys
    return keys.astype(np.uint32), _starts(np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=count))


def _starts(sizes: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    return starts


def serialize(rows: Rows | array[int]) -> bytes:
    """One bitmap; no bytes if it is empty."""
    if not len(rows):
        return b""
    packed: bytes = BitMap(rows).serialize()
    return packed


def write_index(out: ListWriter, rows: Rows, starts: npt.NDArray[np.int64]) -> None:
    """Write the bitmaps of all ids, from what `group_rows` gives."""
    values = len(starts) - 1
    stop = 0
    while (first := stop) < values:
        enough = int(np.searchsorted(starts, starts[first] + SLICE_ROWS))
        stop = min(max(enough, first + 1), first + SLICE_VALUES, values)
        part = starts[first : stop + 1]
        base = int(part[0])
        piece = rows[base : int(part[-1])]
        if values < FEW_VALUES:
            _write_each(out, piece, part - base)
        else:
            _write_slice(out, piece, part - base)


def _write_each(out: ListWriter, rows: Rows, starts: npt.NDArray[np.int64]) -> None:
    cells = array("I")
    cells.frombytes(rows.tobytes())
    bounds = starts.tolist()
    for i in range(len(bounds) - 1):
        out.add(serialize(cells[bounds[i] : bounds[i + 1]]))


def _write_slice(out: ListWriter, rows: Rows, starts: npt.NDArray[np.int64]) -> None:
    sizes = np.diff(starts)
    rare = sizes <= RARE
    in_rare = np.repeat(rare, sizes)
    if not rare.all():
        packed, lengths, with_runs = lay_out(rows[in_rare], sizes[rare])
    else:
        packed, lengths, with_runs = lay_out(rows, sizes)
    if rare.all() and not with_runs.any():
        out.add_packed(packed.data, lengths)
        return
    all_lengths = np.empty(len(sizes), np.int64)
    all_lengths[rare] = lengths
    slow = ~rare
    slow[np.flatnonzero(rare)[with_runs]] = True
    _interleave(out, packed, all_lengths, slow, rare, rows, starts)


def _interleave(
    out: ListWriter,
    packed: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    slow: npt.NDArray[np.bool_],
    laid_out: npt.NDArray[np.bool_],
    rows: Rows,
    starts: npt.NDArray[np.int64],
) -> None:
    """Join the bitmaps numpy laid out with those that `slow` marks, in the order of the ids."""
    cells = array("I")
    cells.frombytes(rows.tobytes())
    ends = np.cumsum(np.where(laid_out, lengths, 0))
    view = packed.data
    pieces: list[bytes | memoryview] = []
    done = 0
    for i in np.flatnonzero(slow).tolist():
        stop = int(ends[i])
        before = stop - int(lengths[i]) if laid_out[i] else stop
        pieces.append(view[done:before])
        bitmap = serialize(cells[int(starts[i]) : int(starts[i + 1])])
        pieces += (NO_NULL, bitmap)
        lengths[i] = PREFIX + len(bitmap)
        done = stop
    pieces.append(view[done:])
    out.add_packed(b"".join(pieces), lengths)


def lay_out(
    rows: Rows, sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Bitmaps of array containers, joined, each with a list's prefix.

    Parameters
    ----------
    rows : ndarray of uint32
        Those of the first bitmap ascending, then those of the next.
    sizes : ndarray of int64, shape (n,)
        Rows of each bitmap.

    Returns
    -------
    packed : ndarray of uint8
    lengths : ndarray of int64, shape (n,)
        Bytes of each, prefix included.
    with_runs : ndarray of bool, shape (n,)
        Those for which Druid's bytes are others, as a container of them is smaller as runs.
    """
    n = len(sizes)
    owner = np.repeat(np.arange(n), sizes)
    high = rows >> np.uint32(16)
    new = np.empty(len(rows), np.bool_)  # first row of a container
    new[:1] = True
    same_owner = owner[1:] == owner[:-1]
    new[1:] = ~same_owner | (high[1:] != high[:-1])
    first = np.flatnonzero(new)
    cards = np.diff(np.append(first, len(rows)))
    holder = owner[first]
    containers = np.bincount(holder, minlength=n)
    lengths = PREFIX + np.where(sizes > 0, 8 + 8 * containers + 2 * sizes, 0)
    starts = (np.cumsum(lengths) - lengths) >> 1  # everything below counts in units of u16

    out = np.zeros(int(lengths.sum()) >> 1, "<u2")
    head = starts[sizes > 0] + 2
    out[head] = COOKIE
    out[head + 2] = containers[sizes > 0]
    first_container = np.cumsum(containers) - containers
    nth = np.arange(len(first)) - first_container[holder]
    description = starts[holder] + 6 + 2 * nth
    out[description] = high[first]
    out[description + 1] = cards - 1
    rows_before = np.cumsum(sizes) - sizes
    out[description + 2 * containers[holder]] = 8 + 8 * containers[holder] + 2 * (first - rows_before[holder])
    data = starts + 6 + 4 * containers - rows_before
    out[np.repeat(data, sizes) + np.arange(len(rows))] = rows.astype(np.uint16)

    with_runs = np.zeros(n, np.bool_)
    if int(cards.max(initial=0)) > 3:
        broken = np.ones(len(rows), np.int64)
        broken[1:] = new[1:] | (rows[1:] != rows[:-1] + 1)
        runs = np.add.reduceat(broken, first)
        with_runs[holder[2 + 4 * runs < 2 * cards]] = True
    return out.view(np.uint8), lengths, with_runs
