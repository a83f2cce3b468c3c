"""Writers of complex metrics, as `read_columns` lays them out: cells of bytes, and the pairs of `longFirst`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from workers.segment.compress import BLOCK_BYTES, Compress
from workers.segment.errors import SegmentError
from workers.segment.generic_indexed import NULL, PREFIX, ListWriter
from workers.segment.smoosh import Entry
from workers.segment.write_columns import write_descriptor

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
CellChunk = tuple[Array, Array, "Bools | None"]
"""Bytes of all cells joined, the size of each, and which are null."""
PairChunk = tuple[Array, Array, "Bools | None"]
"""Times, values, and where the value is null."""

PAIRS = {
    "serializablePairLongLong": "<i8",
    "serializablePairLongDouble": "<f8",
    "serializablePairLongFloat": "<f4",
}
_LONG_MAX, _INT_MAX = 2**63 - 1, 2**31 - 1
_INT_DELTAS = 0x80


def write_cells(entry: Entry, type_name: str, chunks: Iterable[CellChunk], rows: int) -> None:
    """A list of byte strings."""
    _write_descriptor(entry, type_name)
    out = ListWriter(entry, rows)
    written = 0
    for data, sizes, nulls in chunks:
        written += len(sizes)
        if written > rows:
            break
        out.add_packed(_prefixed(data, sizes, nulls), sizes + PREFIX)
    _check(written, rows)
    out.close()


def _write_descriptor(entry: Entry, type_name: str) -> None:
    write_descriptor(entry, "COMPLEX", f'{{"type":"complex","typeName":{orjson.dumps(type_name).decode()}}}')


def _prefixed(data: Array, sizes: Array, nulls: Bools | None) -> memoryview:
    begins = np.cumsum(sizes) - sizes
    moved = begins + PREFIX * np.arange(len(sizes))
    out = np.zeros(len(data) + PREFIX * len(sizes), np.uint8)
    out[np.repeat(moved + PREFIX - begins, sizes) + np.arange(len(data))] = data
    if nulls is not None:
        out[moved[nulls][:, None] + np.arange(PREFIX)] = np.frombuffer(NULL, np.uint8)
    return out.data


def write_pairs(
    entry: Entry, type_name: str, chunks: Callable[[], Iterator[PairChunk]], rows: int, compress: Compress
) -> None:
    """Pairs of a time and a number.

    Times are kept as their distance to the earliest, in four bytes where that is enough.
    """
    _write_descriptor(entry, type_name)
    value = PAIRS[type_name]
    low, high, seen = _LONG_MAX, -(2**63), 0
    missing = 0
    for times, _, nulls in chunks():
        seen += len(times)
        missing += 0 if nulls is None else int(nulls.sum())
        if len(times):
            low, high = min(low, int(times.min())), max(high, int(times.max()))
    _check(seen, rows)
    base, short = (low, high - low <= _INT_MAX) if 0 <= high - low <= _LONG_MAX else (0, False)
    layout = np.dtype([("delta", "<i4" if short else "<i8"), ("null", "u1"), ("value", value)])
    head = layout.itemsize - np.dtype(value).itemsize

    def ends() -> Iterator[Array]:
        yield np.zeros(1, "<i8")
        done = 0
        for times, _, nulls in chunks():
            sizes = np.full(len(times), layout.itemsize, np.int64)
            if nulls is not None:
                sizes[nulls] = head
            out = np.cumsum(sizes) + done
            done = int(out[-1]) if len(out) else done
            yield out.astype("<i8", copy=False)

    def cells() -> Iterator[Array]:
        for times, values, nulls in chunks():
            packed = np.zeros(len(times), layout)
            packed["delta"], packed["value"] = times - base, values
            whole = packed.view(np.uint8).reshape(len(times), layout.itemsize)
            if nulls is None or not nulls.any():
                yield whole.ravel()
                continue
            packed["null"] = nulls
            keep = np.ones(whole.shape, np.bool_)
            keep[nulls, head:] = False
            yield whole[keep]

    entry.write(struct.pack("<BBHq", 3, _INT_DELTAS if short else 0, 0, base))
    _write_section(entry, ends(), 8 * (rows + 1), compress)
    _write_section(entry, cells(), rows * layout.itemsize - missing * (layout.itemsize - head), compress)


def _write_section(entry: Entry, pieces: Iterator[Array], size: int, compress: Compress) -> None:
    """`size` bytes in blocks, with an index in front of where each begins."""
    blocks = -(-size // BLOCK_BYTES)
    at = entry.skip(4 * (blocks + 4))
    positions = [0]
    for block in _blocks(pieces):
        packed = compress(block)
        entry.write(packed)
        positions.append(positions[-1] + len(packed))
    index = struct.pack(f"<{len(positions)}i", *positions)
    length = 4 + len(index) + 4 + positions[-1]
    entry.fill(at, struct.pack("<ii", length, len(index)) + index + struct.pack("<i", positions[-1]))


def _blocks(pieces: Iterator[Array]) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        held += np.ascontiguousarray(piece).view(np.uint8).data
        whole = len(held) // BLOCK_BYTES * BLOCK_BYTES
        for start in range(0, whole, BLOCK_BYTES):
            yield bytes(held[start : start + BLOCK_BYTES])
        del held[:whole]
    if held:
        yield bytes(held)


def _check(written: int, rows: int) -> None:
    if written != rows:
        raise SegmentError(f"its source gave {'more than' if written > rows else f'{written} of'} {rows} rows")
