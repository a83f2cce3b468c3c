"""`index.drd`, the table of contents of a segment, and `metadata.drd`.

`index.drd` is: list of the columns that hold a value (metrics by name, then dimensions in spec order; never `__time`);
list of the dimensions among them; i64 start and i64 end of the interval; str32 with the bitmap type; then both lists
once more with the columns that hold only nulls: the name stands for such a column, null for the next of the shorter
list.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from workers.segment.generic_indexed import GenericIndexed, pack
from workers.segment.utf16 import sort_key

INDEX = "index.drd"
METADATA = "metadata.drd"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What `index.drd` says.

    Attributes
    ----------
    columns : tuple of str
        All but `__time`: metrics, then dimensions.
    dimensions : tuple of str
        In spec order.
    nulls : frozenset of str
        Those of `columns` without any value, which Druid keeps as a part of type "null".
    start_ms, end_ms : int
        The segment's interval.
    bitmap : str
        Type of all bitmaps.
    """

    columns: tuple[str, ...]
    dimensions: tuple[str, ...]
    nulls: frozenset[str]
    start_ms: int
    end_ms: int
    bitmap: str


def read(data: memoryview) -> Contents:
    """Decode `index.drd`."""
    columns = GenericIndexed.read(data, 0)
    dimensions = GenericIndexed.read(data, columns.stop)
    start_ms, end_ms = struct.unpack_from(">qq", data, dimensions.stop)
    at = dimensions.stop + 16
    bitmap = "concise"
    if at < len(data):
        (length,) = struct.unpack_from(">i", data, at)
        bitmap = orjson.loads(data[at + 4 : at + 4 + length])["type"]
        at += 4 + length
    names, dims = _texts(columns), _texts(dimensions)
    if at >= len(data):
        return Contents(
            columns=names, dimensions=dims, nulls=frozenset(), start_ms=start_ms, end_ms=end_ms, bitmap=bitmap
        )
    all_columns = GenericIndexed.read(data, at)
    all_dimensions = GenericIndexed.read(data, all_columns.stop)
    return Contents(
        columns=_restored(all_columns, names),
        dimensions=_restored(all_dimensions, dims),
        nulls=frozenset(_texts(all_columns)),
        start_ms=start_ms,
        end_ms=end_ms,
        bitmap=bitmap,
    )


def _texts(names: GenericIndexed) -> tuple[str, ...]:
    return tuple(bytes(name).decode() for name in names if name is not None)


def _restored(names: GenericIndexed, stored: Sequence[str]) -> tuple[str, ...]:
    stored_names = iter(stored)
    return tuple(next(stored_names) if name is None else bytes(name).decode() for name in names)


def write(contents: Contents) -> bytes:
    """Encode `index.drd`."""
    bitmap = b'{"type":"%s"}' % contents.bitmap.encode()
    nulls = contents.nulls
    return b"".join(
        (
            _pack_names(n for n in contents.columns if n not in nulls),
            _pack_names(n for n in contents.dimensions if n not in nulls),
            struct.pack(">qqi", contents.start_ms, contents.end_ms, len(bitmap)),
            bitmap,
            _pack_names(n if n in nulls else None for n in contents.columns),
            _pack_names(n if n in nulls else None for n in contents.dimensions),
        )
    )


def _pack_names(names: Iterator[str | None]) -> bytes:
    """The flag is 1 when every name is followed by a greater one; null is least, and may repeat."""
    elements = [None if name is None else name.encode() for name in names]
    rising = all(a is None or (b is not None and sort_key(a) < sort_key(b)) for a, b in itertools.pairwise(elements))
    return pack(elements, is_sorted=rising)


def write_metadata(metadata: dict[str, Any]) -> bytes:
    """Compact JSON; characters above U+FFFF are escaped as Druid's JSON writer does."""
    text = orjson.dumps(metadata)
    if max(text) < 0xF0:
        return text
    return re.sub("[\U00010000-\U0010ffff]", _escape, text.decode()).encode()


def _escape(match: re.Match[str]) -> str:
    return "\\u{:02X}{:02X}\\u{:02X}{:02X}".format(*match[0].encode("utf-16-be"))
