"""Writers of one column each: descriptor and parts, as `read_columns` and `blocks` lay them out.

All take the open entry and stream into it. What is held in memory at once: an id column in its final width, and eight
bytes a row while its bitmaps are built; of numbers, a chunk.
"""

from __future__ import annotations

import itertools
import operator
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from workers.segment import front_coded, roaring, utf16
from workers.segment.compress import BLOCK_BYTES, LZ4, NONE, UNCOMPRESSED, Compress
from workers.segment.errors import SegmentError
from workers.segment.front_coded import FrontCoding
from workers.segment.generic_indexed import LIMIT, NO_NULL, PREFIX, ListWriter
from workers.segment.smoosh import Entry

SLICE_VALUES = 1 << 16
MANY_VALUES = 1024
"""From so many on, polars joins a dictionary series faster than Python does."""
LOOK_EVERY = 16
WORTH = 1.125
"""How much larger blocks may be for the sake of time."""
OFFSETS_PER_BLOCK = BLOCK_BYTES // 4
KINDS = {"LONG": ("longV2", "<i8"), "DOUBLE": ("doubleV2", "<f8"), "FLOAT": ("floatV2", "<f4")}

Chunks = Callable[[], Iterator[tuple[npt.NDArray[Any], "npt.NDArray[np.bool_] | None"]]]
Ints = Callable[[], Iterator[npt.NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How blocks are compressed.

    Attributes
    ----------
    id : int
        The byte that says so; see `compress`.
    compress : callable
    quick : callable or None
        Another that takes less time, for columns that it makes about as small.
    plain : callable or None
        LZ4, where this one does not compress.
    """

    id: int
    compress: Compress
    quick: Compress | None = None
    plain: Compress | None = None

    @property
    def for_ids(self) -> Codec:
        """For the ids of nested columns, which Druid compresses in any case."""
        return self if self.plain is None else Codec(id=LZ4, compress=self.plain)


def write_descriptor(entry: Entry, value_type: str, part: str, *, multi: bool = False) -> None:
    """The JSON in front of a column; `part` is its one part, as JSON text."""
    flag = "true" if multi else "false"
    text = f'{{"valueType":"{value_type}","hasMultipleValues":{flag},"parts":[{part}]}}'.encode()
    entry.write(struct.pack(">i", len(text)) + text)


def write_null(entry: Entry, rows: int) -> None:
    """A string column of nulls only: nothing but a descriptor."""
    write_descriptor(entry, "STRING", f'{{"type":"null","numRows":{rows},"bitmapSerdeFactory":{{"type":"roaring"}}}}')


def write_complex(entry: Entry, type_name: str, cells: Iterable[bytes | None], rows: int) -> None:
    """A complex column whose cells are byte strings."""
    name = orjson.dumps(type_name).decode()
    write_descriptor(entry, "COMPLEX", f'{{"type":"complex","typeName":{name}}}')
    out = ListWriter(entry, rows)
    written = 0
    for cell in cells:
        written += 1
        _check_rows(min(written, rows + 1), rows, at_most=True)
        out.add(cell)
    _check_rows(written, rows)
    out.close()


def write_numeric(entry: Entry, kind: str, chunks: Chunks, rows: int, codec: Codec, *, ascending: bool = False) -> None:
    """LONG, DOUBLE or FLOAT; `ascending` makes sure of that order, for `__time`."""
    part, dtype = KINDS[kind]
    write_descriptor(
        entry,
        kind,
        f'{{"type":"{part}","byteOrder":"LITTLE_ENDIAN","bitmapSerdeFactory":{{"type":"roaring"}}}}',
    )
    at = entry.skip(4)
    nulls: list[npt.NDArray[np.uint32]] = []
    values = _without_nulls(chunks(), np.dtype(dtype), nulls)
    if ascending:
        values = _checked_ascending(values)
    write_numbers(entry, values, rows, np.dtype(dtype).itemsize, codec)
    entry.fill(at, struct.pack(">i", len(entry) - at - 4))
    if nulls:
        bitmap = roaring.serialize(np.concatenate(nulls))
        entry.write(struct.pack(">i", len(bitmap)) + bitmap)


def _without_nulls(
    chunks: Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]],
    dtype: np.dtype[Any],
    nulls: list[npt.NDArray[np.uint32]],
) -> Iterator[npt.NDArray[Any]]:
    """Little-endian values with 0 for null; the null rows are added to `nulls`."""
    start = 0
    for values, mask in chunks:
        values = np.ascontiguousarray(values.astype(dtype, casting="same_kind", copy=False))
        if mask is not None:
            rows = np.flatnonzero(mask)
            if len(rows):
                nulls.append((rows + start).astype(np.uint32))
                values = values.copy()
                values[rows] = 0
        start += len(values)
        yield values


def _checked_ascending(chunks: Iterator[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
    last = None
    for values in chunks:
        if len(values):
            if (last is not None and values[0] < last) or bool((values[1:] < values[:-1]).any()):
                raise SegmentError("the rows are not in the order of time that metadata.ordering promises")
            last = values[-1]
        yield values


def write_numbers(entry: Entry, chunks: Iterator[npt.NDArray[Any]], rows: int, width: int, codec: Codec) -> None:
    """The block part of numbers; `chunks` are little-endian arrays of any length."""
    per_block = BLOCK_BYTES // width
    if codec.id == NONE:
        entry.write(struct.pack(">BiiB", 2, rows, 0, NONE))
        written = 0
        for values in chunks:
            entry.write(values.data.cast("B") if len(values) else b"")
            written += len(values)
        _check_rows(written, rows)
        return
    entry.write(struct.pack(">BiiB", 2, rows, per_block, codec.id))
    _write_blocks(entry, chunks, rows, per_block, codec)


def _write_blocks(entry: Entry, chunks: Iterator[npt.NDArray[Any]], rows: int, per_block: int, codec: Codec) -> None:
    """Cut rows (along the first axis) into blocks and write the list of them."""
    count = -(-rows // per_block)
    out = ListWriter(entry, count)
    compress = codec.compress if codec.quick is None or count < LOOK_EVERY else _as_worth(codec.compress, codec.quick)
    written = 0
    for block in _blocks(chunks, per_block):
        written += len(block)
        _check_rows(written, rows, at_most=True)
        out.add(compress(block))
    _check_rows(written, rows)
    out.close()


def _as_worth(tight: Compress, quick: Compress) -> Compress:
    """Blocks of one column by `quick`, as long as now and then one shows that it would not be much smaller."""
    done = itertools.count()
    chosen = tight

    def compress(block: npt.NDArray[Any]) -> Any:
        nonlocal chosen
        if next(done) % LOOK_EVERY:
            return chosen(block)
        small, large = tight(block), quick(block)
        chosen = quick if len(large) <= WORTH * len(small) else tight
        return small

    return compress


def _blocks(chunks: Iterator[npt.NDArray[Any]], size: int) -> Iterator[npt.NDArray[Any]]:
    """Arrays of exactly `size`, and a shorter last one."""
    held: list[npt.NDArray[Any]] = []
    count = 0
    for chunk in chunks:
        start = 0
        while count + len(chunk) - start >= size:
            stop = start + size - count
            piece = chunk[start:stop]
            yield np.concatenate([*held, piece]) if held else piece
            held, count, start = [], 0, stop
        if start < len(chunk):
            held.append(chunk[start:])
            count += len(chunk) - start
    if held:
        yield held[0] if len(held) == 1 else np.concatenate(held)


def _check_rows(written: int, rows: int, *, at_most: bool = False) -> None:
    if written > rows or (written < rows and not at_most):
        more = "more than" if written > rows else f"{written} of"
        raise SegmentError(f"its source gave {more} {rows} rows")


def write_string(
    entry: Entry,
    values: Any,
    ids: Ints,
    rows: int,
    codec: Codec,
    *,
    bitmap_index: bool,
    coding: FrontCoding | None = None,
) -> None:
    """A string column of one value a row."""
    compressed = codec.id != UNCOMPRESSED
    _write_string_head(entry, multi=False, compressed=compressed, bitmap_index=bitmap_index)
    dictionary = write_dictionary(entry, values, coding)
    column = gather_ids(ids(), dictionary.count, rows)
    if compressed:
        write_ids(entry, column, dictionary.count, codec)
    else:
        write_raw_ids(entry, column, dictionary.count)
    if bitmap_index:
        write_index(entry, *roaring.group_rows(column, dictionary.count))


def write_multi_string(
    entry: Entry,
    values: Any,
    counts: Ints,
    ids: Ints,
    rows: int,
    codec: Codec,
    *,
    bitmap_index: bool,
    coding: FrontCoding | None = None,
) -> None:
    """A string column of any number of values a row."""
    compressed = codec.id != UNCOMPRESSED
    _write_string_head(entry, multi=True, compressed=compressed, bitmap_index=bitmap_index)
    dictionary = write_dictionary(entry, values, coding)
    lengths = _concatenated([np.asarray(c, np.int64) for c in counts()])
    _check_rows(len(lengths), rows)
    total = int(lengths.sum())
    if total > LIMIT:
        raise SegmentError(f"it holds {total} values, more than a column can")
    if (lengths == 0).any() and not dictionary.has_null:
        raise SegmentError("it has rows without any value, so its dictionary must begin with null")
    column = gather_ids(ids(), dictionary.count, total)
    if compressed:
        entry.write(b"\3")
        offsets = np.zeros(rows + 1, "<i4")
        offsets[1:] = np.cumsum(lengths)
        write_numbers(entry, iter([offsets]), rows + 1, 4, codec)
        write_ids(entry, column, dictionary.count, codec)
    else:
        _write_raw_lists(entry, column, lengths, dictionary.count)
    if bitmap_index:
        write_index(entry, *roaring.group_row_lists(column, lengths, dictionary.count))


def _write_string_head(entry: Entry, *, multi: bool, compressed: bool, bitmap_index: bool) -> None:
    part = '{"type":"stringDictionary","bitmapSerdeFactory":{"type":"roaring"},"byteOrder":"LITTLE_ENDIAN"}'
    write_descriptor(entry, "STRING", part, multi=multi)
    if compressed:
        entry.write(struct.pack(">Bi", 2, 2 * multi + 4 * (not bitmap_index)))
    elif bitmap_index:
        entry.write(b"\1" if multi else b"\0")
    else:
        entry.write(struct.pack(">Bi", 3, multi + 4))


def id_width(count: int) -> int:
    """Bytes of an id in a column of `count` values, null included; as Druid, by the count and not the highest id."""
    return 1 if count <= 0xFF else 2 if count <= 0xFFFF else 3 if count <= 0xFFFFFF else 4


def write_ids(entry: Entry, ids: npt.NDArray[Any], count: int, codec: Codec) -> None:
    """Compressed ids."""
    width = id_width(count)
    per_block = BLOCK_BYTES // (4 if width == 3 else width)
    entry.write(struct.pack(">BBiiB", 2, width, len(ids), per_block, codec.id))
    array = ids
    if width == 3:
        array = np.ascontiguousarray(ids.astype("<u4", copy=False)).view(np.uint8).reshape(-1, 4)
    chunks = (array[i : i + per_block] for i in range(0, len(array), per_block))
    if width == 3:
        chunks = (np.ascontiguousarray(chunk[:, :3]) for chunk in chunks)
    _write_blocks(entry, chunks, len(ids), per_block, codec)


def write_raw_ids(entry: Entry, ids: npt.NDArray[Any], count: int) -> None:
    """Uncompressed ids."""
    width = id_width(count)
    raw = _big_endian(ids, width)
    entry.write(struct.pack(">BBi", 0, width, len(raw)) + raw)


def _big_endian(ids: npt.NDArray[Any], width: int) -> bytes:
    wide = np.ascontiguousarray(ids.astype(">u4")).view(np.uint8).reshape(-1, 4)
    return wide[:, 4 - width :].tobytes() + bytes(4 - width)


def _write_raw_lists(entry: Entry, ids: npt.NDArray[Any], lengths: npt.NDArray[np.int64], count: int) -> None:
    """Uncompressed: `u8 1, u8 width, i32 bytes, i32 rows, i32 end[rows] (in bytes), big-endian ids, padding`."""
    width = id_width(count)
    raw = _big_endian(ids, width)
    size = 4 + 4 * len(lengths) + len(raw)
    if size > LIMIT:
        raise SegmentError(f"its values take {size} bytes, which is over 2 GiB")
    ends = (np.cumsum(lengths) * width).astype(">i4")
    entry.write(struct.pack(">BBii", 1, width, size, len(lengths)) + ends.tobytes() + raw)


def gather_ids(chunks: Iterator[npt.NDArray[Any]], count: int, rows: int) -> npt.NDArray[Any]:
    """All ids in one array of their final width (four bytes instead of three), checked against the dictionary."""
    ids = np.empty(rows, {1: "<u1", 2: "<u2"}.get(id_width(count), "<u4"))
    at = 0
    for chunk in chunks:
        if not len(chunk):
            continue
        _check_rows(at + len(chunk), rows, at_most=True)
        if int(chunk.min()) < 0 or int(chunk.max()) >= count:
            raise SegmentError(f"an id is outside its dictionary of {count} values")
        ids[at : at + len(chunk)] = chunk
        at += len(chunk)
    _check_rows(at, rows)
    return ids


def _concatenated(arrays: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def write_index(entry: Entry, rows: npt.NDArray[np.uint32], starts: npt.NDArray[np.int64]) -> None:
    out = ListWriter(entry, len(starts) - 1)
    roaring.write_index(out, rows, starts)
    out.close()


@dataclass(frozen=True)
class Written:
    """What became of a dictionary.

    Attributes
    ----------
    count : int
        Entries, null included.
    has_null : bool
    """

    count: int
    has_null: bool


@dataclass(frozen=True)
class _Slice:
    """Some values of a dictionary, ready to be written."""

    packed: bytes
    sizes: npt.NDArray[np.int64]


def write_dictionary(entry: Entry, values: Any, coding: FrontCoding | None = None) -> Written:
    """The sorted list of a column's values.

    Parameters
    ----------
    values : polars String series, or iterable of bytes or None
        Strictly ascending in UTF-16 order; null, if there is one, first. An iterable without a length is held in
        memory, as bytes, until its end is known.
    coding : FrontCoding, optional
        None writes each value whole.

    Raises
    ------
    SegmentError
        The values are not in order, or one is not UTF-8 (as an unpaired surrogate never is).
    """
    if isinstance(values, pl.Series):
        if len(values) < MANY_VALUES:
            values = values.cast(pl.Binary).to_list()
        else:
            return _write_slices(entry, len(values), *_series_slices(values), coding)
    if not hasattr(values, "__len__"):
        has_null, slices = _value_slices(iter(values))
        held = list(slices)
        return _write_slices(entry, has_null + sum(len(s.sizes) for s in held), has_null, iter(held), coding)
    return _write_slices(entry, len(values), *_value_slices(iter(values)), coding)


def _write_slices(
    entry: Entry, count: int, has_null: bool, slices: Iterator[_Slice], coding: FrontCoding | None
) -> Written:
    if count == 0:
        raise SegmentError("its dictionary is empty")
    if coding is not None:
        coded = front_coded.encode(map(_in_buffer, slices), coding, has_null=has_null)
        if len(coded) > LIMIT:
            raise SegmentError(f"its dictionary takes {len(coded)} bytes, which is over 2 GiB")
        entry.write(bytes((front_coded.MARK, 1)) + coded)
        return Written(count, has_null)
    out = ListWriter(entry, count, is_sorted=True)
    if has_null:
        out.add(None)
    for part in slices:
        out.add_packed(part.packed, part.sizes)
    out.close()
    return Written(count, has_null)


def _in_buffer(part: _Slice) -> front_coded.Values:
    ends = np.cumsum(part.sizes)
    lengths = part.sizes - PREFIX
    return front_coded.Values(data=np.frombuffer(part.packed, np.uint8), starts=ends - lengths, lengths=lengths)


def _value_slices(values: Iterator[bytes | None]) -> tuple[bool, Iterator[_Slice]]:
    first = next(values, b"")
    if first is not None:
        values = itertools.chain([first], values)
    return first is None, _joined(values)


def _joined(values: Iterator[Any]) -> Iterator[_Slice]:
    last: list[bytes] = []
    while part := list(itertools.islice(values, SLICE_VALUES)):
        if None in part:
            raise SegmentError("its dictionary has a null that is not its first entry")
        packed = NO_NULL + NO_NULL.join(part)
        if not packed.isascii():
            _check_utf8(packed)
        ordered = last + part
        if utf16.is_special(packed) or (last and utf16.is_special(last[0])):
            ordered = [utf16.sort_key(value) for value in ordered]
        if not all(map(operator.lt, ordered, ordered[1:])):
            raise _unordered()
        last = part[-1:]
        yield _Slice(packed, np.fromiter(map(len, part), np.int64, len(part)) + PREFIX)


def _check_utf8(packed: bytes) -> None:
    """The zero bytes between the values keep half a character of one from being completed by the next."""
    try:
        packed.decode()
    except UnicodeDecodeError as fault:
        start = packed.rfind(NO_NULL, 0, fault.start)
        value = packed[start + PREFIX : fault.start + 16]
        raise SegmentError(
            f"a value is not UTF-8: {value!r}; a segment stores no unpaired surrogates and no other bytes than text"
        ) from None


def _unordered() -> SegmentError:
    return SegmentError("its dictionary is not strictly ascending in UTF-16 order")


def _series_slices(values: pl.Series) -> tuple[bool, Iterator[_Slice]]:
    has_null = values[0] is None
    values = values.slice(int(has_null))
    if values.null_count():
        raise SegmentError("its dictionary has a null that is not its first entry")
    return has_null, _series_joined(values)


def _series_joined(values: pl.Series) -> Iterator[_Slice]:
    prefix = pl.Series([NO_NULL.decode()])
    for start in range(0, len(values), SLICE_VALUES):
        part = values.slice(start, SLICE_VALUES)
        packed: bytes = (prefix + part).str.join("").cast(pl.Binary).item()
        with_last = values.slice(max(start - 1, 0), SLICE_VALUES + (start > 0))
        if not utf16.is_ascending(with_last):
            raise _unordered()
        yield _Slice(packed, part.str.len_bytes().to_numpy().astype(np.int64) + PREFIX)
