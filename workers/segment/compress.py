"""The block codecs of a segment: one byte names each in a column's header.

====  ============  =======================================================
0x01  lz4           LZ4 block format, no frame, no size prefix; read, written
0xFF  uncompressed  blocks as they are; read, written
0xFE  none          no blocks at all, numeric columns only; read, written
0x02  zstd          read, written; needs the `zstandard` package
0x00  lzf           read only
====  ============  =======================================================
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import lz4.block

from workers.segment import lzf
from workers.segment.errors import SegmentError

LZF = 0x00
LZ4 = 0x01
ZSTD = 0x02
NONE = 0xFE
UNCOMPRESSED = 0xFF
ZSTD_LEVEL = 3
BLOCK_BYTES = 65536
"""No block may decompress to more: Druid reads into buffers of this size."""

Compress = Callable[[Any], Any]


def decompress(codec: int, data: memoryview) -> bytes | memoryview:
    """The plain bytes of one block."""
    if codec == LZ4:
        try:
            plain: bytes = lz4.block.decompress(data, uncompressed_size=BLOCK_BYTES)
        except lz4.block.LZ4BlockError as fault:
            raise ValueError(f"bad lz4 block: {fault}") from None
        return plain
    if codec == UNCOMPRESSED:
        return data
    if codec == LZF:
        return lzf.decompress(data)
    if codec == ZSTD:
        return _zstd(data)
    raise ValueError(f"unknown compression 0x{codec:02X}")


def _zstd(data: memoryview) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise SegmentError("this segment is compressed with zstd: install the 'zstandard' package to read it") from None
    try:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=BLOCK_BYTES)
    except zstandard.ZstdError as fault:
        raise ValueError(f"bad zstd block: {fault}") from None


def _zstd_compressor() -> Compress:
    try:
        import zstandard
    except ImportError:
        raise SegmentError("compression with zstd needs the 'zstandard' package: install overlord[zstd]") from None
    own = threading.local()  # a compressor serves one thread at a time

    def pack(block: Any) -> Any:
        if not hasattr(own, "pack"):
            own.pack = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress
        return own.pack(block)

    return pack


def compressor(codec: int, lz4_level: int = 0) -> Compress:
    """The function that compresses one block (any object with the buffer protocol).

    Parameters
    ----------
    codec : int
        LZ4, ZSTD or UNCOMPRESSED.
    lz4_level : int
        0 is LZ4's fast mode. 1 to 12 is its high compression mode; 9 gives the very bytes Druid writes.
    """
    if codec == UNCOMPRESSED:
        return bytes
    if codec == ZSTD:
        return _zstd_compressor()
    if codec != LZ4:
        raise ValueError(f"compression 0x{codec:02X} is not written")
    pack = lz4.block.compress
    if lz4_level:
        return lambda block: pack(block, mode="high_compression", compression=lz4_level, store_size=False)
    return lambda block: pack(block, store_size=False)
