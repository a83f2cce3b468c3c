"""From messages to raw batches, by the formats that files have, many messages at a time.

A message is an input of its own. Formats that read lines get the messages of a batch as the lines of one text; a
message with line breaks inside, or a format that needs a header, is read alone.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed, UnknownKind
from workers.ingest.batch import BadRow
from workers.ingest.formats import InputFormat, RawBatch, RawChunk, input_formats
from workers.ingest.formats.base import column
from workers.ingest.formats.delimited import DelimitedFormat
from workers.ingest.formats.json import JsonFormat
from workers.ingest.formats.text import LineFormat, NoRows
from workers.ingest.kafka.consumer import Messages
from workers.ingest.sources import InputObject

_ONE_MESSAGE_BYTES = 64 << 20


class Values:
    """Reads values (or keys) of messages with an inputFormat.

    Parameters
    ----------
    json : mapping
        The inputFormat.
    wanted : collection of str, optional
        The only fields that columns are needed for.
    """

    def __init__(self, json: Any, wanted: Collection[str] | None, *, where: str = "ioConfig.inputFormat") -> None:
        self._form = open_format(json, where)
        self._wanted = wanted
        if isinstance(self._form, JsonFormat):
            self._form.by_lines = True
            self._json = self._form.reader(wanted)

    def see_all_fields(self) -> None:
        """Let discovery find objects, and fields that are null."""
        if isinstance(self._form, JsonFormat):
            self._form.nested = self._form.keep_nulls = True

    def read(self, values: Sequence[bytes], name: str) -> Iterator[RawChunk]:
        """Rows of messages; `line` is the number of a row's message, from 1."""
        if not values:
            return
        if isinstance(self._form, JsonFormat):
            text = b"\n".join(values)
            if text.count(b"\n") != len(values) - 1:  # between the tokens of JSON a break is a blank
                values = [value.replace(b"\n", b" ") for value in values]
                text = b"\n".join(values)
            if all(values):
                yield self._lines(self._json.parse(text + b"\n", True), name, len(text))
                return
        elif isinstance(self._form, LineFormat) and self._plain(values):
            text = b"\n".join(values) + b"\n"
            yield self._lines(self._form.reader(self._wanted).parse(text, True), name, len(text) - len(values))
            return
        yield from self._each(values, name)

    def _plain(self, values: Sequence[bytes]) -> bool:
        form = self._form
        if isinstance(form, DelimitedFormat) and (form.dialect.header or form.dialect.skip):
            return False
        return all(values) and not any(b"\n" in value or b"\r" in value for value in values)

    def _lines(self, parsed: Any, name: str, nbytes: int) -> RawChunk:
        assert parsed is not None
        bad = [
            BadRow(kind="unparseable", input=text, details=(message,), file=name, line=at + 1)
            for at, text, message in parsed.bad
        ]
        return RawChunk(
            batch=RawBatch(
                columns=parsed.columns,
                file=np.zeros(len(parsed.lines), np.int32),
                line=parsed.lines + 1,
                files=(name,),
                rows=parsed.rows,
                uri=None,
            ),
            bad=bad,
            bytes=nbytes,
            unparseable=len(bad),
        )

    def _each(self, values: Sequence[bytes], name: str) -> Iterator[RawChunk]:
        """One message at a time."""
        for number, value in enumerate(values, 1):
            source = InputObject(name=name, size=len(value), open=lambda value=value: io.BytesIO(value))  # type: ignore[misc]
            chunks = self._form.read([source], chunk_bytes=_ONE_MESSAGE_BYTES, wanted=self._wanted)
            for chunk in chunks:
                yield _renumbered(chunk, number)


def _renumbered(chunk: RawChunk, number: int) -> RawChunk:
    batch = chunk.batch
    return RawChunk(
        batch=RawBatch(
            columns=batch.columns,
            file=batch.file,
            line=np.full(len(batch), number, np.int64),
            files=batch.files,
            rows=batch.rows,
            uri=None,
            lined=batch.lined,
        ),
        bad=[
            BadRow(kind=row.kind, input=row.input, details=row.details, file=row.file, line=number) for row in chunk.bad
        ],
        bytes=chunk.bytes,
        unparseable=chunk.unparseable,
    )


class Records:
    """Raw batches of whole messages, for any inputFormat, `kafka` among them.

    Parameters
    ----------
    json : mapping
        The task's inputFormat.
    wanted : collection of str, optional
    all_fields : bool
        Whether discovery finds objects and nulls too.
    """

    def __init__(self, json: Any, wanted: Collection[str] | None, *, all_fields: bool = False) -> None:
        self._meta: Metadata | None = None
        if isinstance(json, Mapping) and json.get("type") == "kafka":
            self._meta = Metadata(json, wanted)
            json = json.get("valueFormat")
        self._values = Values(json, wanted)
        if all_fields:
            self._values.see_all_fields()

    @property
    def whole(self) -> bool:
        """Whether more than values is read: keys, headers, times."""
        return self._meta is not None

    def chunks(self, messages: Messages, name: str) -> Iterator[RawChunk]:
        """Rows of messages. Those without a value are thrown away, as Druid does."""
        keep = np.fromiter((value is not None for value in messages.values), np.bool_, len(messages))
        thrown = int(len(keep) - keep.sum())
        if thrown:
            messages = messages.select(keep)
            yield _nothing(name, thrown)
        values = [value for value in messages.values if value is not None]
        for chunk in self._values.read(values, name):
            yield chunk if self._meta is None else self._meta.add(chunk, messages)


def _nothing(name: str, thrown: int) -> RawChunk:
    batch = RawBatch(
        columns={}, file=np.empty(0, np.int32), line=np.empty(0, np.int64), files=(name,), rows=NoRows(), uri=None
    )
    return RawChunk(batch=batch, thrown_away=thrown)


class Metadata:
    """Columns of the `kafka` format beside those of the value: timestamp, topic, headers, key."""

    def __init__(self, json: Mapping[str, Any], wanted: Collection[str] | None) -> None:
        if not isinstance(json.get("valueFormat"), Mapping):
            raise TaskFailed("inputFormat.valueFormat of the kafka format is missing", where="ioConfig.inputFormat")
        self._wanted = wanted
        self._timestamp = json.get("timestampColumnName") or "kafka.timestamp"
        self._topic = json.get("topicColumnName") or "kafka.topic"
        self._key = json.get("keyColumnName") or "kafka.key"
        self._prefix = json.get("headerColumnPrefix") or "kafka.header."
        headers = json.get("headerFormat")
        self._encoding = None if headers is None else str(headers.get("encoding") or "UTF-8")
        keys = json.get("keyFormat")
        self._keys = None if keys is None else Values(keys, None, where="ioConfig.inputFormat.keyFormat")

    def add(self, chunk: RawChunk, messages: Messages) -> RawChunk:
        """The chunk with these columns; fields of the value win."""
        batch = chunk.batch
        at = batch.line - 1
        found = [messages.messages[i] for i in at.tolist()]
        extra: dict[str, pl.Series] = {
            self._timestamp: pl.Series(self._timestamp, [each.timestamp()[1] for each in found], dtype=pl.Int64),
            self._topic: pl.Series(self._topic, [each.topic() for each in found], dtype=pl.String),
        }
        if self._encoding is not None:
            extra |= self._headers(found)
        if self._keys is not None:
            extra[self._key] = self._key_column(found)
        if self._wanted is not None:
            extra = {name: values for name, values in extra.items() if name in self._wanted}
        columns = {**extra, **batch.columns}
        columns |= {name: _either(batch.columns[name], extra[name]) for name in extra.keys() & batch.columns.keys()}
        rows = MergedRows(batch.rows, extra)
        merged = RawBatch(columns=columns, file=batch.file, line=batch.line, files=batch.files, rows=rows, uri=None)
        return RawChunk(
            batch=merged,
            bad=chunk.bad,
            bytes=chunk.bytes,
            thrown_away=chunk.thrown_away,
            unparseable=chunk.unparseable,
        )

    def _headers(self, found: list[Any]) -> dict[str, pl.Series]:
        columns: dict[str, list[Any]] = {}
        for row, message in enumerate(found):
            for name, value in message.headers() or ():
                cells = columns.setdefault(self._prefix + name, [None] * len(found))
                cells[row] = None if value is None else value.decode(self._encoding or "utf-8", "replace")
        return {name: column(name, cells) for name, cells in columns.items()}

    def _key_column(self, found: list[Any]) -> pl.Series:
        """The first field of each key."""
        assert self._keys is not None
        cells: list[Any] = [None] * len(found)
        present = [(row, key) for row, message in enumerate(found) if (key := message.key()) is not None]
        for chunk in self._keys.read([key for _, key in present], self._key):
            for place, line in enumerate(chunk.batch.line.tolist()):
                cells[present[line - 1][0]] = next(iter(chunk.batch.rows.event(place).values()), None)
        return column(self._key, cells)


def _either(first: pl.Series, second: pl.Series) -> pl.Series:
    """Row by row the first, or, where it is null, the second."""
    if first.null_count() == len(first):
        return second
    if first.dtype == second.dtype:
        return first.zip_with(first.is_not_null(), second)
    pairs = zip(first.to_list(), second.to_list(), strict=True)
    return column(first.name, [b if a is None else a for a, b in pairs])


class MergedRows:
    """Rows of values, with the columns of metadata behind."""

    def __init__(self, rows: Any, extra: Mapping[str, pl.Series]) -> None:
        self._rows = rows
        self._extra = extra
        self.declared = rows.declared

    def event(self, row: int) -> dict[str, Any]:
        more = {name: value for name, values in self._extra.items() if (value := values[row]) is not None}
        return {**self._rows.event(row), **{n: v for n, v in more.items() if n not in self._rows.event(row)}}

    def raw(self, row: int) -> dict[str, Any] | None:
        found = self._rows.raw(row)
        return None if found is None else {**found, **self.event(row)}

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        found = list(self._rows.discover(known, rows))
        more = [name for name in self._extra if name not in known and name not in found]
        return found + [name for name in more if len(rows) and self._extra[name].gather(rows).null_count() < len(rows)]


def open_format(json: Any, where: str) -> InputFormat:
    """The format an inputFormat names.

    Raises
    ------
    TaskFailed
    """
    if not isinstance(json, Mapping) or not json.get("type"):
        raise TaskFailed(f"{where} must be an object with a type", where=where)
    try:
        return input_formats[json["type"]].from_json(json)
    except UnknownKind as unknown:
        raise TaskFailed(unknown.message, where=f"{where}.type", hint=unknown.hint) from None
