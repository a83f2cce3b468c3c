"""Columns of fixed-width numbers, cut into compressed blocks; read a range of rows at a time.

Numbers::

    u8 2 | i32 rows | i32 rows per block | u8 compression | GenericIndexed of blocks (little-endian values)

Compression 0xFE: no blocks, the raw values follow. A compression byte that is below 0xFE as a signed number is the id
minus 126, and an encoding byte follows it: 0 delta (`u8 1, i64 base, i32 bits`), 1 table (`u8 1, i32 n, n * i64`),
255 plain. Delta and table values are packed big-endian in that many bits, with four zero bytes after each block.

Dictionary ids::

    u8 2 | u8 width 1..4 | i32 rows | i32 ids per block | u8 compression | GenericIndexed of blocks (little-endian)
    u8 0 | u8 width      | i32 bytes | big-endian ids | (4 - width) zero bytes
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.segment import compress
from workers.segment.generic_indexed import GenericIndexed

Array = npt.NDArray[Any]
Decode = Callable[["bytes | memoryview", int], Array]
PACKED_TAIL = 4


class Blocks:
    """Numbers in blocks.

    Attributes
    ----------
    rows : int
    stop : int
        Offset behind the part in the buffer it was read from.
    """

    def __init__(self, rows: int, stop: int) -> None:
        self.rows = rows
        self.stop = stop

    def read(self, start: int, stop: int) -> Array:
        """Values of rows `start` to `stop`."""
        raise NotImplementedError


class Compressed(Blocks):
    """Blocks of equally many rows, each compressed on its own."""

    def __init__(self, rows: int, per_block: int, codec: int, blocks: GenericIndexed, decode: Decode) -> None:
        super().__init__(rows, blocks.stop)
        if per_block <= 0 or len(blocks) != -(-rows // per_block):
            raise ValueError(f"{len(blocks)} blocks of {per_block} rows are not {rows} rows")
        self._per_block = per_block
        self._codec = codec
        self._blocks = blocks
        self._decode = decode
        self._last: tuple[int, Array] = (-1, np.empty(0))

    def read(self, start: int, stop: int) -> Array:
        """Values of rows `start` to `stop`; only the blocks they lie in are decompressed."""
        if start >= stop:
            return self._decode(b"", 0)
        first, last = start // self._per_block, (stop - 1) // self._per_block
        base = first * self._per_block
        parts = [self._block(i) for i in range(first, last + 1)]
        array = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return array[start - base : stop - base]

    def _block(self, i: int) -> Array:
        if self._last[0] != i:
            count = min(self._per_block, self.rows - i * self._per_block)
            packed = self._blocks.view(i)
            if packed is None:
                raise ValueError(f"block {i} is missing")
            array = self._decode(compress.decompress(self._codec, packed), count)
            if len(array) != count:
                raise ValueError(f"block {i} holds {len(array)} rows instead of {count}")
            self._last = i, array
        return self._last[1]


class Raw(Blocks):
    """All values in one piece, as they are."""

    def __init__(self, rows: int, stop: int, data: memoryview, width: int, decode: Decode) -> None:
        super().__init__(rows, stop)
        self._data = data
        self._width = width
        self._decode = decode

    def read(self, start: int, stop: int) -> Array:
        """Values of rows `start` to `stop`."""
        piece = self._data[start * self._width : stop * self._width]
        return self._decode(piece, max(stop - start, 0))


class PackedRaw(Blocks):
    """Packed longs in one piece."""

    def __init__(self, rows: int, data: memoryview, bits: int, decode: Decode) -> None:
        super().__init__(rows, len(data))
        self._data = data
        self._bits = bits
        self._decode = decode

    def read(self, start: int, stop: int) -> Array:
        """Values of rows `start` to `stop`."""
        aligned = start - start % 8  # eight values end on a byte, whatever their width
        piece = self._data[aligned * self._bits // 8 :]
        return self._decode(piece[: (stop - aligned) * 8 + PACKED_TAIL], stop - aligned)[start - aligned :]


class BlockBytes:
    """A long byte string in compressed blocks of 64 KiB.

    Parameters
    ----------
    codec : int
    positions : ndarray, shape (blocks + 1,)
        Where each block begins in `data`, and where the last one ends.
    data : memoryview
    """

    def __init__(self, codec: int, positions: Array, data: memoryview) -> None:
        self._codec = codec
        self._positions = positions.astype(np.int64)
        self._data = data

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of the plain string."""
        if start >= stop:
            return b""
        size = compress.BLOCK_BYTES
        first, last = start // size, (stop - 1) // size
        plain = b"".join(self._block(i) for i in range(first, last + 1))
        return plain[start - first * size : stop - first * size]

    def _block(self, i: int) -> bytes | memoryview:
        return compress.decompress(self._codec, self._data[self._positions[i] : self._positions[i + 1]])


def read_numbers(
    data: memoryview, at: int, dtype: str, entries: Mapping[str, memoryview], *, big_endian: bool = False
) -> Blocks:
    """The block part at `data[at]`; `dtype` is numpy's name without byte order, such as "i8"."""
    version, rows, per_block, codec = struct.unpack_from(">BiiB", data, at)
    if version != 2:
        raise ValueError(f"unknown version {version} of a numeric part")
    at += 10
    order = ">" if big_endian else "<"
    decode = _plain(order + dtype)
    bits = 0
    if 0x80 <= codec < compress.NONE:
        codec = (codec + 126) & 0xFF
        decode, bits, at = _encoded(data, at, decode)
    if codec == compress.NONE:
        if bits:
            return PackedRaw(rows, data[at:], bits, decode)
        width = np.dtype(dtype).itemsize
        return Raw(rows, at + rows * width, data[at : at + rows * width], width, decode)
    blocks = GenericIndexed.read(data, at, entries)
    return Compressed(rows, per_block, codec, blocks, decode)


def read_ids(data: memoryview, at: int, entries: Mapping[str, memoryview]) -> Blocks:
    """The ids of a string column, compressed or not."""
    version, width = data[at], data[at + 1]
    if not 1 <= width <= 4:
        raise ValueError(f"ids of {width} bytes")
    if version == 2:
        rows, per_block, codec = struct.unpack_from(">iiB", data, at + 2)
        blocks = GenericIndexed.read(data, at + 11, entries)
        return Compressed(rows, per_block, codec, blocks, _narrow(width))
    if version == 0:
        (size,) = struct.unpack_from(">i", data, at + 2)
        return raw_ids(data, at + 6, size, width)
    raise ValueError(f"unknown version {version} of ids")


def raw_ids(data: memoryview, at: int, size: int, width: int) -> Raw:
    """Big-endian ids with their padding: `size` bytes at `data[at]`."""
    rows = (size - (4 - width)) // width
    return Raw(rows, at + size, data[at : at + size], width, _wide(width))


def _plain(dtype: str) -> Decode:
    def decode(data: bytes | memoryview, count: int) -> Array:
        return np.frombuffer(data, dtype, count).astype(dtype[1:], copy=False)

    return decode


def _narrow(width: int) -> Decode:
    """Little-endian ids of `width` bytes."""
    if width != 3:
        return _plain(f"<u{width}")

    def decode(data: bytes | memoryview, count: int) -> Array:
        wide = np.zeros((count, 4), np.uint8)
        wide[:, :3] = np.frombuffer(data, np.uint8, count * 3).reshape(count, 3)
        return wide.view("<u4").reshape(count)

    return decode


def _wide(width: int) -> Decode:
    """Big-endian ids of `width` bytes."""

    def decode(data: bytes | memoryview, count: int) -> Array:
        wide = np.zeros((count, 4), np.uint8)
        wide[:, 4 - width :] = np.frombuffer(data, np.uint8, count * width).reshape(count, width)
        return wide.view(">u4").reshape(count).astype("u4")

    return decode


def _encoded(data: memoryview, at: int, plain: Decode) -> tuple[Decode, int, int]:
    """How to decode longs that are not plain, their bits (0 if plain after all), and where their data starts."""
    encoding = data[at]
    if encoding == 0xFF:
        return plain, 0, at + 1
    if encoding == 0:
        base, bits = struct.unpack_from(">xxqi", data, at)
        return (lambda d, n: unpack(d, n, bits) + base), bits, at + 14
    if encoding == 1:
        (size,) = struct.unpack_from(">xxi", data, at)
        table = np.frombuffer(data, ">i8", size, at + 6).astype(np.int64)
        bits = max(size - 1, 1).bit_length()
        bits = next(b for b in (1, 2, 4, 8, 12, 16, 20, 24, 32) if b >= bits)
        return (lambda d, n: table[unpack(d, n, bits)]), bits, at + 6 + 8 * size
    raise ValueError(f"unknown long encoding {encoding}")


def unpack(data: bytes | memoryview, count: int, bits: int) -> npt.NDArray[np.int64]:
    """`count` unsigned numbers of `bits` bits each, most significant bit first."""
    size = -(-count * bits // 8)
    split = np.unpackbits(np.frombuffer(data, np.uint8, size), count=count * bits).reshape(count, bits)
    wide = np.zeros((count, 64), np.uint8)
    wide[:, 64 - bits :] = split
    return np.packbits(wide, axis=1).view(">i8").reshape(count).astype(np.int64)
