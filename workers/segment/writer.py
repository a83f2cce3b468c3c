"""Writing a segment: Druid's format V9, as `index.drd`'s and the columns' modules lay it out.

What is written is what Druid writes by default: strings with a UTF-8 dictionary, LZ4 blocks of ids and roaring bitmaps;
numbers as plain values in LZ4 blocks; or, where asked for, front-coded dictionaries and blocks of zstd. With
`lz4_level=9` the files equal Druid's byte for byte (but for zstd).

A column gives its rows through callables that return iterators of arrays of any length, so that they may come from
files; nothing is held that grows with the rows but arrays of ids (see `write_columns`).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.model.index_spec import unwritten
from workers.segment import compress, drd
from workers.segment import write_columns as write
from workers.segment.errors import SegmentError
from workers.segment.front_coded import FrontCoding
from workers.segment.smoosh import CHUNK_LIMIT, Aside, Entry, SmooshWriter
from workers.segment.utf16 import sort_key
from workers.segment.write_complex import CellChunk, PairChunk, write_cells, write_pairs
from workers.segment.write_nested import AutoColumn, Codecs, JsonColumn, write_auto

TIME = "__time"
VERSION = b"\0\0\0\x09"
FACTORY = b'{"type":"mMapSegmentFactory"}'
SAME_IN_ALL = {"version.bin": VERSION, "factory.json": FACTORY}
CODECS = {
    "lz4": compress.LZ4,
    "zstd": compress.ZSTD,
    "uncompressed": compress.UNCOMPRESSED,
    "none": compress.NONE,
}
DRUIDS_LEVEL = 9
"""The LZ4 level from which on blocks are compressed as asked, whatever it takes."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class IndexSpec:
    """How columns are encoded; Druid's `indexSpec`.

    Attributes
    ----------
    bitmap : str
        "roaring".
    dimension_compression : str
        Of the ids of string columns: "lz4", "zstd" or "uncompressed".
    metric_compression : str
        Of all numbers, `__time` and numeric dimensions too: "lz4", "zstd", "uncompressed" or "none".
    json_compression : str
        Of the values of JSON columns: "lz4", "zstd" or "uncompressed".
    front_coding : FrontCoding or None
        Of the dictionaries of strings; None writes every value whole.
    lz4_level : int
        0 is LZ4's fast mode; 9 its high compression mode as Druid uses it, many times slower for files some percent
        smaller.
    """

    bitmap: str = "roaring"
    dimension_compression: str = "lz4"
    metric_compression: str = "lz4"
    json_compression: str = "lz4"
    front_coding: FrontCoding | None = None
    lz4_level: int = 0

    @classmethod
    def from_json(cls, json: Mapping[str, Any] | None, *, lz4_level: int = 0) -> IndexSpec:
        """From a task's `tuningConfig.indexSpec`.

        Raises
        ------
        SegmentError
            It asks for an encoding that is read but not written.
        """
        for choice in unwritten(json):
            raise SegmentError(choice.message, where=f"spec.tuningConfig.indexSpec.{choice.key}", hint=choice.hint)
        json = json or {}
        spec = cls(
            bitmap=(json.get("bitmap") or {}).get("type") or "roaring",
            dimension_compression=json.get("dimensionCompression") or "lz4",
            metric_compression=json.get("metricCompression") or "lz4",
            json_compression=json.get("jsonCompression") or "lz4",
            front_coding=_front_coding(json.get("stringDictionaryEncoding")),
            lz4_level=lz4_level,
        )
        spec.check()
        return spec

    def check(self) -> None:
        """Refuse what cannot be written."""
        asked = {
            "bitmap": self.bitmap,
            "dimensionCompression": self.dimension_compression,
            "metricCompression": self.metric_compression,
        }
        for choice in unwritten(asked):
            raise SegmentError(choice.message, where=f"spec.tuningConfig.indexSpec.{choice.key}", hint=choice.hint)
        if not 0 <= self.lz4_level <= 12:
            raise SegmentError(f"lz4_level is {self.lz4_level}, but must be 0 to 12")


def _front_coding(json: Mapping[str, Any] | None) -> FrontCoding | None:
    if json is None or json.get("type") != "frontCoded":
        return None
    size, version = json.get("bucketSize"), json.get("formatVersion")
    return FrontCoding(bucket_size=4 if size is None else int(size), version=int(version or 0))


@dataclass(frozen=True, kw_only=True)
class SegmentSpec:
    """What a segment says of itself.

    Attributes
    ----------
    interval_start_ms, interval_end_ms : int
    dimensions, metrics : tuple of str
        In spec order; only stored ones. `__time` is ignored.
    metadata : dict
        `metadata.drd`, as JSON. Its `ordering` decides whether `__time` must ascend.
    """

    interval_start_ms: int
    interval_end_ms: int
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    metadata: dict[str, Any]
    index_spec: IndexSpec = field(default_factory=IndexSpec)


@dataclass(frozen=True)
class NumericColumn:
    """Numbers.

    Attributes
    ----------
    name : str
    kind : str
        "LONG", "DOUBLE" or "FLOAT".
    chunks : callable
        Gives arrays of values (of that type, or one that fits it) with a mask of nulls, or None when there are none.
    """

    name: str
    kind: str
    chunks: Callable[[], Iterator[tuple[Array, npt.NDArray[np.bool_] | None]]]


@dataclass(frozen=True)
class StringColumn:
    """Strings, one a row.

    Attributes
    ----------
    name : str
    dictionary : polars String series, or iterable of bytes or None
        Strictly ascending in UTF-16 order, null first; see `utf16`. A series is fastest.
    ids : callable
        Gives integer arrays of positions in the dictionary.
    bitmap_index : bool
        Whether filters get an index; Druid's `createBitmapIndex`.
    """

    name: str
    dictionary: pl.Series | Iterable[bytes | None]
    ids: Callable[[], Iterator[Array]]
    bitmap_index: bool = True


@dataclass(frozen=True)
class MultiStringColumn:
    """Strings, any number a row.

    Attributes
    ----------
    name, dictionary, bitmap_index
        As in `StringColumn`; the null entry is needed too when a row is empty.
    counts : callable
        Gives integer arrays: how many values each row has.
    ids : callable
        Gives the positions in the dictionary of all values, row after row; its arrays need not fit those of `counts`.
    """

    name: str
    dictionary: pl.Series | Iterable[bytes | None]
    counts: Callable[[], Iterator[Array]]
    ids: Callable[[], Iterator[Array]]
    bitmap_index: bool = True


@dataclass(frozen=True)
class NullColumn:
    """A string dimension without any value."""

    name: str


@dataclass(frozen=True)
class ComplexColumn:
    """Serialised objects, such as sketches.

    Attributes
    ----------
    name, type_name : str
        Druid's name of the type, such as "hyperUnique".
    cells : callable
        Gives the bytes of each row's object; None is null.
    """

    name: str
    type_name: str
    cells: Callable[[], Iterable[bytes | None]]


@dataclass(frozen=True)
class CellsColumn:
    """Serialised objects, many at a time.

    Attributes
    ----------
    name, type_name : str
        As in `ComplexColumn`.
    chunks : callable
        Gives the bytes of many rows joined, as uint8, the size of each row's, and a mask of nulls, or None.
    """

    name: str
    type_name: str
    chunks: Callable[[], Iterator[CellChunk]]


@dataclass(frozen=True)
class PairColumn:
    """Numbers with the time of each, as first and last keep them.

    Attributes
    ----------
    name, type_name : str
        The type is one of `write_complex.PAIRS`.
    chunks : callable
        Gives arrays of times and of values with a mask of nulls among the values, or None; called more than once.
    """

    name: str
    type_name: str
    chunks: Callable[[], Iterator[PairChunk]]


Column = (
    NumericColumn
    | StringColumn
    | MultiStringColumn
    | NullColumn
    | ComplexColumn
    | CellsColumn
    | PairColumn
    | AutoColumn
    | JsonColumn
)


def write_segment(
    directory: Path,
    spec: SegmentSpec,
    columns: Sequence[Column],
    rows: int,
    *,
    chunk_limit: int = CHUNK_LIMIT,
    common: Path | None = None,
    threads: int = 1,
) -> int:
    """Write a segment's files.

    Parameters
    ----------
    directory : Path
        Made if it is not there; it should be empty.
    spec : SegmentSpec
    columns : sequence of Column
        `__time` and every dimension and metric of `spec`, in any order.
    rows : int
    chunk_limit : int
        Largest file; smaller ones serve tests.
    common : Path, optional
        Folder on the same file system that keeps the files which are the same in every segment. They are linked from
        there: of many small segments, half the time goes into making files.
    threads : int
        How many columns are made at once; each holds what `write_columns` says.

    Returns
    -------
    int
        Bytes of all files, which is the segment's `size`.

    Raises
    ------
    SegmentError
        The segment cannot be written; the message names the column.
    """
    spec.index_spec.check()
    if rows <= 0:
        raise SegmentError(f"{directory}: a segment without rows cannot be loaded by Druid, so none is written")
    by_name = _by_name(directory, spec, columns)
    dimensions = tuple(name for name in spec.dimensions if name != TIME)
    contents = drd.Contents(
        columns=(*sorted(spec.metrics, key=lambda name: sort_key(name.encode())), *dimensions),
        dimensions=dimensions,
        nulls=frozenset(column.name for column in columns if isinstance(column, NullColumn)),
        start_ms=spec.interval_start_ms,
        end_ms=spec.interval_end_ms,
        bitmap=spec.index_spec.bitmap,
    )
    directory.mkdir(parents=True, exist_ok=True)
    with SmooshWriter(directory, chunk_limit=chunk_limit) as smoosh:
        encoder = _Encoder(spec, rows)
        for column, aside in _made(encoder, [by_name[name] for name in (TIME, *contents.columns)], directory, threads):
            encoder.write(smoosh, column, directory, aside)
        with smoosh.entry(drd.INDEX) as entry:
            entry.write(drd.write(contents))
        with smoosh.entry(drd.METADATA) as entry:
            entry.write(drd.write_metadata(spec.metadata))
    for name, content in SAME_IN_ALL.items():
        _put(directory / name, content, common)
    return smoosh.total_bytes + sum(map(len, SAME_IN_ALL.values()))


def _made(
    encoder: _Encoder, columns: Sequence[Column], directory: Path, threads: int
) -> Iterator[tuple[Column, Aside | None]]:
    """The columns in order, by several threads made aside; by one, nothing is made yet."""
    if threads < 2:
        yield from ((column, None) for column in columns)
        return
    with ThreadPoolExecutor(threads, "columns") as pool:
        waiting: deque[tuple[Column, Future[Aside | None]]] = deque()
        for column in columns:
            waiting.append((column, pool.submit(encoder.aside, column, directory)))
            if len(waiting) > threads:
                first, made = waiting.popleft()
                yield first, made.result()
        for first, made in waiting:
            yield first, made.result()


def _put(file: Path, content: bytes, common: Path | None) -> None:
    if common is None:
        file.write_bytes(content)
        return
    source = common / file.name
    if not source.exists():
        common.mkdir(exist_ok=True)
        source.write_bytes(content)
    try:
        os.link(source, file)
    except OSError:  # a file system without links
        file.write_bytes(content)


def _by_name(directory: Path, spec: SegmentSpec, columns: Sequence[Column]) -> dict[str, Column]:
    by_name = {column.name: column for column in columns}
    wanted = {TIME, *spec.dimensions, *spec.metrics}
    if len(by_name) != len(columns) or len(wanted - {TIME}) != sum(
        name != TIME for name in (*spec.dimensions, *spec.metrics)
    ):
        raise SegmentError(f"{directory}: a column name is used twice")
    if missing := sorted(wanted - by_name.keys()):
        raise SegmentError(f"{directory}: column {missing[0]!r} is named but not given")
    if extra := sorted(by_name.keys() - wanted):
        raise SegmentError(f"{directory}: column {extra[0]!r} is neither a dimension nor a metric")
    time = by_name[TIME]
    if not isinstance(time, NumericColumn) or time.kind != "LONG":
        raise SegmentError(f"{directory}: column {TIME!r} must be LONG")
    return by_name


@contextmanager
def _naming_column(directory: Path, column: Column) -> Iterator[None]:
    try:
        yield
    except SegmentError as error:
        message = f"{directory}: column {column.name!r}: {error.message}"
        raise SegmentError(message, where=error.where, hint=error.hint) from error


class _Encoder:
    """Writes columns the way an `IndexSpec` says."""

    def __init__(self, spec: SegmentSpec, rows: int) -> None:
        self._rows = rows
        index = spec.index_spec
        self._coding = index.front_coding
        self._ids = _codec(index.dimension_compression, index.lz4_level)
        self._numbers = _codec(index.metric_compression, index.lz4_level)
        self._pairs = compress.compressor(compress.LZ4, index.lz4_level)  # whatever the rest is packed with
        raw = _codec(index.json_compression, index.lz4_level)
        self._nested = Codecs(ids=self._ids, raw=raw, strings=index.front_coding)
        ordering = spec.metadata.get("ordering") or [{"columnName": TIME}]
        self._by_time = ordering[0].get("columnName") == TIME

    def aside(self, column: Column, directory: Path) -> Aside | None:
        if isinstance(column, AutoColumn | JsonColumn):  # it has several entries
            return None
        with _naming_column(directory, column):
            entry = Aside(directory)
            self._write(entry, column)
            return entry

    def write(self, smoosh: SmooshWriter, column: Column, directory: Path, aside: Aside | None) -> None:
        if isinstance(column, AutoColumn | JsonColumn):
            with _naming_column(directory, column):
                write_auto(smoosh, column, self._rows, self._nested)
            return
        with _naming_column(directory, column), smoosh.entry(column.name) as entry:
            if aside is None:
                self._write(entry, column)
            else:
                for piece in aside.pieces():
                    entry.write(piece)

    def _write(self, entry: Entry, column: Column) -> None:
        rows = self._rows
        match column:
            case NumericColumn(name, kind, chunks):
                by_time = name == TIME and self._by_time
                write.write_numeric(entry, kind, chunks, rows, self._numbers, ascending=by_time)
            case StringColumn(_, values, ids, index):
                coding = self._coding
                write.write_string(entry, values, ids, rows, self._ids, bitmap_index=index, coding=coding)
            case MultiStringColumn(_, values, counts, ids, index):
                write.write_multi_string(
                    entry, values, counts, ids, rows, self._ids, bitmap_index=index, coding=self._coding
                )
            case NullColumn():
                write.write_null(entry, rows)
            case ComplexColumn(_, type_name, cells):
                write.write_complex(entry, type_name, cells(), rows)
            case CellsColumn(_, type_name, chunks):
                write_cells(entry, type_name, chunks(), rows)
            case PairColumn(_, type_name, chunks):
                write_pairs(entry, type_name, chunks, rows, self._pairs)


def _codec(name: str, lz4_level: int) -> write.Codec:
    codec = CODECS[name]
    if codec == compress.NONE:
        return write.Codec(id=codec, compress=bytes)
    quick = compress.compressor(codec) if codec == compress.LZ4 and 0 < lz4_level < DRUIDS_LEVEL else None
    plain = compress.compressor(compress.LZ4, lz4_level) if codec == compress.UNCOMPRESSED else None
    return write.Codec(id=codec, compress=compress.compressor(codec, lz4_level), quick=quick, plain=plain)
