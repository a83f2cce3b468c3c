"""Formats that hold whole columns or typed rows (parquet, orc, avro): tables become raw columns.

Values come as Druid's readers give them: instants as millis, lists and objects as Python values. All fields of a
file's schema are declared: each row has them, null or not. Discovery sees fields of plain types and lists of those;
objects are for a flattenSpec, or for a dimension that names them.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.formats.base import InputFormat, RawBatch, RawChunk, column
from workers.ingest.formats.flatten import FlattenSpec
from workers.ingest.sources import InputObject
from workers.ingest.sources.compression import is_compressed, plain

Row = dict[str, Any]
_EPOCH = datetime(1970, 1, 1)
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Values:
    """How values of a file become those of rows.

    Attributes
    ----------
    binary_as_string : bool
        Whether bytes are text in UTF-8; else they are written in base64.
    """

    binary_as_string: bool = False

    def plain(self, value: Any) -> Any:
        """One value, and those inside it."""
        if value is None or isinstance(value, (str, bool, int, float)):
            return value
        if isinstance(value, dict):
            return {str(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return self._list(value)
        if isinstance(value, (bytes, bytearray)):
            return value.decode("utf-8", "replace") if self.binary_as_string else base64.b64encode(value).decode()
        if isinstance(value, datetime):
            return _millis(value)
        if isinstance(value, date):
            return _millis(datetime(value.year, value.month, value.day))
        if isinstance(value, Decimal):
            return str(value)
        if isinstance(value, time):
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
        if isinstance(value, timedelta):
            return value // timedelta(milliseconds=1)
        return str(value)

    def _list(self, value: Sequence[Any]) -> Any:
        if value and all(isinstance(item, dict) and item.keys() == {"key", "value"} for item in value):
            return {str(self.plain(item["key"])): self.plain(item["value"]) for item in value}  # how polars reads maps
        return [self.plain(item) for item in value]

    def series(self, name: str, values: pl.Series) -> pl.Series:
        """A column in the types of `formats.base`."""
        dtype = values.dtype
        if dtype == pl.UInt64:
            values = values.reinterpret(signed=True)
        elif dtype.is_integer() or dtype.is_float():
            values = values.cast(pl.Int64 if dtype.is_integer() else pl.Float64, strict=False)
        elif isinstance(dtype, pl.Categorical | pl.Enum):
            values = values.cast(pl.String)
        elif dtype == pl.Date:
            values = values.cast(pl.Int32).cast(pl.Int64) * 86_400_000
        elif isinstance(dtype, pl.Datetime):
            values = _floor_millis(values, dtype.time_unit)
        elif dtype == pl.Binary and self.binary_as_string:
            values = _texts(values)
        elif dtype == pl.Binary:
            values = values.bin.encode("base64")
        elif dtype not in (pl.String, pl.Boolean, pl.Null):
            return column(name, [self.plain(value) for value in values.to_list()])
        return values.alias(name)


def _texts(values: pl.Series) -> pl.Series:
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        return pl.Series([None if v is None else v.decode("utf-8", "replace") for v in values], dtype=pl.String)


def _floor_millis(values: pl.Series, unit: str) -> pl.Series:
    number = values.to_physical().cast(pl.Int64)
    return number if unit == "ms" else number // {"us": 1000, "ns": 1_000_000}[unit]


def _millis(value: datetime) -> int:
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return (value - _EPOCH) // timedelta(milliseconds=1)


class TableRows:
    """Rows behind a table's columns; see `formats.base.Rows`."""

    def __init__(
        self,
        names: tuple[str, ...],
        flatten: FlattenSpec,
        rows: Sequence[Row],
        columns: Mapping[str, pl.Series],
        nested: bool,
    ) -> None:
        self._flatten = flatten
        self._rows = rows
        self._columns = columns
        self._nested = nested
        names = names if flatten.discovery else ()
        self.declared: tuple[str, ...] = tuple(dict.fromkeys((*flatten.fields, *names)))

    def event(self, row: int) -> Row:
        values = self._rows[row]
        event = {name: get(values) for name, get in self._flatten.fields.items()}
        if self._flatten.discovery:
            event |= {n: v for n, v in values.items() if n not in event and (self._nested or not _is_nested(v))}
        return event

    def raw(self, row: int) -> Row:
        return self._rows[row]

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        if not len(rows):
            return []
        return [name for name in self.declared if name not in known and not self._hidden(name)]

    def _hidden(self, name: str) -> bool:
        """Whether a field holds objects, which discovery does not see."""
        values = self._columns.get(name)
        if values is None or values.dtype != pl.Object or self._nested or name in self._flatten.fields:
            return False
        return any(map(_is_nested, values.to_list()))


def _is_nested(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, list | dict) for item in value)
    return isinstance(value, dict)


class LazyRows(Sequence[Row]):
    """The rows of a frame, made when they are looked at."""

    def __init__(self, frame: pl.DataFrame, values: Values) -> None:
        self._frame = frame
        self._values = values

    def __len__(self) -> int:
        return self._frame.height

    def __getitem__(self, row: Any) -> Any:
        return self._plain(self._frame.row(row, named=True))

    def __iter__(self) -> Iterator[Row]:
        return map(self._plain, self._frame.iter_rows(named=True))

    def _plain(self, row: Row) -> Row:
        return {name: self._values.plain(value) for name, value in row.items()}


class TableFormat(InputFormat):
    """A format of tables.

    Parameters
    ----------
    flatten : FlattenSpec
    values : Values
    """

    def __init__(self, flatten: FlattenSpec, values: Values) -> None:
        self.flatten = flatten
        self.values = values
        self.nested = False  # whether objects are fields that discovery sees

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> TableFormat:
        return cls(
            FlattenSpec.from_json(json.get("flattenSpec")),
            Values(binary_as_string=json.get("binaryAsString") is True),
        )

    def read(
        self, objects: Iterable[InputObject], *, chunk_bytes: int, wanted: Collection[str] | None = None
    ) -> Iterator[RawChunk]:
        return self._chunks(objects, chunk_bytes, wanted)

    @abstractmethod
    def tables(self, path: Path, item: InputObject, chunk_bytes: int, needed: Collection[str] | None) -> Iterator[Any]:
        """Pieces of a file: a DataFrame each, or a list of rows as dicts, with at least the `needed` fields.

        Raises
        ------
        TaskFailed
            The file is damaged.
        """

    def _chunks(
        self, objects: Iterable[InputObject], chunk_bytes: int, wanted: Collection[str] | None
    ) -> Iterator[RawChunk]:
        names: tuple[str, ...] = ()
        needed = None if wanted is None or self.flatten.fields or not self.flatten.discovery else frozenset(wanted)
        for item in objects:
            names = (*names, item.name)
            done, left = 0, item.size or 0
            with on_disk(item) as (path, size):
                left = size
                for piece in self.tables(path, item, chunk_bytes, needed):
                    chunk = self._chunk(piece, item, names, done, wanted, left)
                    done, left = done + len(chunk.batch), 0
                    yield chunk
            if left:
                yield self._chunk([], item, names, 0, wanted, left)

    def _chunk(
        self,
        piece: Any,
        item: InputObject,
        files: tuple[str, ...],
        done: int,
        wanted: Collection[str] | None,
        size: int,
    ) -> RawChunk:
        if isinstance(piece, pl.DataFrame):
            fields: tuple[str, ...] = tuple(piece.columns)
            rows: Sequence[Row] = LazyRows(piece, self.values)
        else:
            rows = [{name: self.values.plain(value) for name, value in row.items()} for row in piece]
            fields = tuple(dict.fromkeys(name for row in rows for name in row))
        count = len(rows)
        columns: dict[str, pl.Series] = {}
        if self.flatten.fields:
            rows = list(rows)
            for name, get in self.flatten.fields.items():
                if wanted is None or name in wanted:
                    columns[name] = column(name, [get(row) for row in rows])
        for name in fields:  # without discovery too: whoever knows a field's name finds it at the root
            if name not in self.flatten.fields and (wanted is None or name in wanted):
                columns[name] = (
                    self.values.series(name, piece[name])
                    if isinstance(piece, pl.DataFrame)
                    else column(name, [row.get(name) for row in rows])
                )
        batch = RawBatch(
            columns=columns,
            file=np.full(count, len(files) - 1, np.int32),
            line=np.arange(done + 1, done + count + 1, dtype=np.int64),
            files=files,
            rows=TableRows(fields, self.flatten, rows, columns, self.nested),
            uri=item.uri,
            lined=False,
        )
        return RawChunk(batch=batch, bytes=size)


@contextmanager
def on_disk(item: InputObject) -> Iterator[tuple[Path, int]]:
    """An object as a file that can be jumped about in, and its size: itself, or a copy that is gone afterwards."""
    try:
        if item.path is not None and not is_compressed(item.path):
            yield item.path, item.path.stat().st_size
            return
        with tempfile.NamedTemporaryFile(prefix="input-") as copy:
            stream = plain(item.open(), item.name)
            try:
                shutil.copyfileobj(stream, copy, _COPY_BYTES)
            finally:
                stream.close()
            copy.flush()
            yield Path(copy.name), copy.tell()
    except OSError as error:
        raise TaskFailed(f"Cannot read {item.name}: {error.strerror or error}") from error


def damaged(item: InputObject, kind: str, rows: int, error: Exception) -> TaskFailed:
    """What is said of a file that cannot be read (further)."""
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
    after = f" after row {rows}" if rows else ""
    return TaskFailed(f"Cannot read {item.name}: damaged {kind} data{after}: {cause}")
