"""Bitmaps of rows as a segment keeps them; `roaring` builds those of a column.

Roaring bitmaps are in the portable format, little-endian; concise ones are read only. In both, no bytes at all are the
empty bitmap.
"""

from __future__ import annotations

from pyroaring import BitMap

from workers.segment import concise

ROARING = "roaring"
CONCISE = "concise"


def decode(kind: str, data: bytes | memoryview | None) -> BitMap:
    """The rows in `data`; `kind` is the type in the column's `bitmapSerdeFactory`."""
    if not data:
        return BitMap()
    if kind == ROARING:
        return BitMap.deserialize(bytes(data))
    if kind == CONCISE:
        return BitMap(concise.decode(data))
    raise ValueError(f"unknown bitmap type {kind!r}")
