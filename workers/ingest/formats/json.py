"""json: one object a line; or, where a file's first object spans lines, objects one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from operator import attrgetter, methodcaller
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.formats.base import NotAnObject, column, input_formats
from workers.ingest.formats.flatten import FlattenSpec
from workers.ingest.formats.json_alike import read_alike
from workers.ingest.formats.text import LineFormat, LineReader, Lines, Parsed
from workers.ingest.java import LONG_MAX, LONG_MIN

MAX_SPANNING_BYTES = 16 << 20
ALIKE_TRIES = 3

Row = dict[str, Any]

_BLANK = re.compile(r"[ \t\n\r]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_fast_row = msgspec.json.Decoder(dict[str, Any]).decode


@input_formats.add("json")
class JsonFormat(LineFormat):
    """`{"type": "json", "flattenSpec", "keepNullColumns"}`.

    A line that holds several objects gives several rows. What stock Druid reads otherwise: it takes the first
    object of a line and drops the rest unsaid, and each line of an object that spans lines is an error to it.
    """

    def __init__(self, flatten: FlattenSpec, keep_nulls: bool) -> None:
        self.flatten = flatten
        self.keep_nulls = keep_nulls
        self.by_lines = False  # whether no object may span lines, for the spec says so
        self.nested = False  # whether objects and lists of objects are fields that discovery sees

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> JsonFormat:
        flatten = FlattenSpec.from_json(json.get("flattenSpec"))
        keep = json.get("keepNullColumns")
        if keep is None:  # Druid keeps nulls wherever a flattenSpec is given that sees the row's own fields
            keep = json.get("flattenSpec") is not None and flatten.discovery
        made = cls(flatten, bool(keep))
        made.by_lines = json.get("assumeNewlineDelimited") is True
        return made

    def reader(self, wanted: Collection[str] | None) -> LineReader:
        return JsonReader(self, wanted)


class JsonRows:
    """Rows behind JSON columns, decoded again when asked for.

    Parameters
    ----------
    texts : sequence of bytes
        The text of each row.
    """

    def __init__(self, form: JsonFormat, texts: Sequence[bytes], columns: Mapping[str, pl.Series]) -> None:
        self._form = form
        self._texts = texts
        self._columns = columns
        self.declared = tuple(form.flatten.fields)

    def event(self, row: int) -> Row:
        values, _ = first_object(self._texts[row].decode("utf-8"))
        event = {name: get(values) for name, get in self._form.flatten.fields.items()}
        if self._form.flatten.discovery:
            for name, value in values.items():
                if name not in event and self._discoverable(value):
                    event[name] = value
        return event

    def text(self, row: int) -> str:
        """The row as it stands in the file."""
        return self._texts[row].decode("utf-8", "replace")

    def raw(self, row: int) -> Row | None:
        text = self._texts[row].decode("utf-8")
        value, _ = _decoder.raw_decode(text, _after_blanks(text, 0))
        if value is not None and not isinstance(value, dict):
            raise NotAnObject(text)
        return _tidy(value) if value is not None else None

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        """Each unknown column is looked through for its first plain value; few are, after the first batch."""
        firsts: dict[int, set[str]] = {}
        if not len(rows):
            return []
        seen = self._columns if self._form.flatten.discovery else {name: self._columns[name] for name in self.declared}
        for name, values in seen.items():
            if name not in known and (first := self._first(name, values, rows)) is not None:
                firsts.setdefault(first, set()).add(name)
        return [name for row in sorted(firsts) for name in self.event(row) if name in firsts[row]]

    def _first(self, name: str, values: pl.Series, rows: npt.NDArray[np.intp]) -> int | None:
        if name in self.declared:
            return int(rows[0])
        if self._form.keep_nulls:
            return next((int(row) for row in rows if name in self.event(int(row))), None)
        if values.dtype == pl.Object:
            objects = values.to_list()
            return next((int(row) for row in rows if self._discoverable(objects[row])), None)
        present = rows[values.is_not_null().to_numpy()[rows]]
        return int(present[0]) if len(present) else None

    def _discoverable(self, value: Any) -> bool:
        if self._form.nested:
            return value is not None or self._form.keep_nulls
        if isinstance(value, list):
            return not any(isinstance(item, (list, dict)) for item in value)
        return not isinstance(value, dict) and (value is not None or self._form.keep_nulls)


class JsonReader(LineReader):
    """Reads one file of JSON."""

    def __init__(self, form: JsonFormat, wanted: Collection[str] | None) -> None:
        self._form = form
        self._names = None if wanted is None else list(wanted)
        self._spanning: bool | None = False if form.by_lines else None
        self._struct = self._struct_decoder()
        self._tries = ALIKE_TRIES

    def parse(self, data: bytes, last: bool) -> Parsed | None:
        if self._spanning is None:
            self._spanning = _spans_lines(data, last)
            if self._spanning is None:
                return None
        return self._objects(data, last) if self._spanning else self._lines(data)

    def _lines(self, data: bytes) -> Parsed:
        return self._alike(data) or self._one_by_one(data)

    def _alike(self, data: bytes) -> Parsed | None:
        """Lines all read at once; given up for a file of which the first ones have again and again been odd."""
        if not self._tries or self._form.flatten.fields or not self._form.flatten.discovery:
            return None
        columns = read_alike(data, self._names)
        self._tries = self._tries - 1 if columns is None else ALIKE_TRIES
        if columns is None:
            return None
        texts = Lines(data)
        numbers = np.arange(len(texts), dtype=np.int64)
        return Parsed(columns=columns, lines=numbers, rows=JsonRows(self._form, texts, columns), used=len(texts))

    def _one_by_one(self, data: bytes) -> Parsed:
        texts = data.split(b"\n")[:-1]
        count = len(texts)
        numbers = np.arange(count, dtype=np.int64)
        try:
            if self._struct is not None:
                columns = self._columns_of_structs(list(map(self._struct, texts)))
            else:
                columns = self._columns_of_rows(list(map(_fast_row, texts)))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._careful(texts)
        return Parsed(columns=columns, lines=numbers, rows=JsonRows(self._form, texts, columns), used=count)

    def _careful(self, texts: list[bytes]) -> Parsed:
        """Lines of which some are not one plain object."""
        rows: list[Row] = []
        sources: list[bytes] = []
        lines: list[int] = []
        bad: list[tuple[int, str, str]] = []
        for number, text in enumerate(texts):
            try:
                found = [(_fast_row(text), text)]
            except (msgspec.MsgspecError, UnicodeDecodeError):
                try:
                    found = objects_of_line(text)
                except (ValueError, RecursionError):
                    shown = text.decode("utf-8", "replace")
                    bad.append((number, shown, f"Unable to parse row [{shown}]"))
                    continue
            for row, source in found:
                rows.append(row)
                sources.append(source)
                lines.append(number)
        return self._parsed(rows, sources, lines, bad, len(texts), b"")

    def _objects(self, data: bytes, last: bool) -> Parsed:
        """Objects that may span lines. After one that cannot be read, the next line that starts one goes on."""
        text = data.decode("utf-8", "replace")
        rows: list[Row] = []
        sources: list[bytes] = []
        lines: list[int] = []
        bad: list[tuple[int, str, str]] = []
        line, at = 0, _after_blanks(text, 0)
        line += text.count("\n", 0, at)
        while at < len(text):
            wait = not last and len(text) - at < MAX_SPANNING_BYTES
            try:
                row, end = first_object(text, at)
            except (ValueError, RecursionError) as error:
                end = text.find("\n{", at) + 1 or len(text)
                if wait and (_cut_short(error, text) or end == len(text)):
                    break
                shown = text[at:end].strip()
                bad.append((line, shown, f"Unable to parse row [{shown}]"))
            else:
                rows.append(row)
                sources.append(text[at:end].encode("utf-8", "replace"))
                lines.append(line)
            end = _after_blanks(text, end)
            line += text.count("\n", at, end)
            at = end
        return self._parsed(rows, sources, lines, bad, line, text[at:].encode())

    def _parsed(
        self,
        rows: list[Row],
        sources: list[bytes],
        lines: list[int],
        bad: list[tuple[int, str, str]],
        used: int,
        rest: bytes,
    ) -> Parsed:
        columns = self._columns_of_rows(rows)
        return Parsed(
            columns=columns,
            lines=np.array(lines, np.int64),
            rows=JsonRows(self._form, sources, columns),
            bad=bad,
            used=used,
            rest=rest,
        )

    def _struct_decoder(self) -> Callable[[bytes], Any] | None:
        """A decoder of just the wanted fields, if they are all at the root."""
        if self._names is None or self._form.flatten.fields or not self._form.flatten.discovery or not self._names:
            return None
        fields = [f"f{number}" for number in range(len(self._names))]
        row = msgspec.defstruct(
            "Row",
            [(name, Any, None) for name in fields],
            rename=dict(zip(fields, self._names, strict=True)),
            gc=False,
        )
        return msgspec.json.Decoder(row).decode

    def _columns_of_structs(self, rows: list[Any]) -> dict[str, pl.Series]:
        assert self._names is not None
        return {
            name: column(name, list(map(attrgetter(f"f{number}"), rows))) for number, name in enumerate(self._names)
        }

    def _columns_of_rows(self, rows: list[Row]) -> dict[str, pl.Series]:
        flatten = self._form.flatten
        names: list[str] = list(flatten.fields)
        # Without discovery too, whoever knows a field's name finds it at the root; it is only not discovered.
        names += chain.from_iterable(rows) if self._names is None else self._names
        columns: dict[str, pl.Series] = {}
        for name in dict.fromkeys(names):
            if self._names is not None and name not in self._names:
                continue
            get = flatten.fields.get(name) or methodcaller("get", name)
            columns[name] = column(name, list(map(get, rows)))
        return columns


def _spans_lines(data: bytes, last: bool) -> bool | None:
    """Whether a file starts with an object that spans lines; None if only more bytes can tell."""
    text = data.decode("utf-8", "replace")
    start = _after_blanks(text, 0)
    if not text.startswith("{", start):
        return None if start == len(text) and not last else False
    try:
        first_object(text[start : text.index("\n", start)])
        return False
    except (ValueError, RecursionError):
        pass
    try:
        first_object(text, start)
        return True
    except (ValueError, RecursionError) as error:
        return None if _cut_short(error, text) and not last and len(text) < MAX_SPANNING_BYTES else False


def _cut_short(error: Exception, text: str) -> bool:
    """Whether what follows `text` may mend the error: lines are whole, so it lies at the very end."""
    return isinstance(error, json.JSONDecodeError) and error.pos >= len(text.rstrip())


def _after_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None  # it matches nothing too
    return match.end()


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def first_object(text: str, start: int = 0) -> tuple[Row, int]:
    """The JSON value at `start` as a row, and where it ends. A value that is no object has no fields.

    Raises
    ------
    ValueError
        If there is none.
    """
    start = _after_blanks(text, start)
    value, end = _decoder.raw_decode(text, start)
    return (_tidy(value) if isinstance(value, dict) else {}), end


def objects_of_line(text: bytes) -> list[tuple[Row, bytes]]:
    """The rows of a line, each with its own text. Like Druid, take no notice of what follows an object.

    Raises
    ------
    ValueError
        If the line does not start with a JSON value, or is not UTF-8.
    """
    line = text.decode("utf-8")
    row, end = first_object(line)
    found = [(row, line[:end].encode())]
    while line.startswith("{", start := _after_blanks(line, end)):
        try:
            row, end = first_object(line, start)
        except ValueError:
            break
        found.append((row, line[start:end].encode()))
    return found


def _tidy(value: Any) -> Any:
    """Lone surrogates become `?`, as Java's encoder makes them; numbers beyond 64 bits become doubles."""
    if isinstance(value, str):
        return _SURROGATE.sub("?", value) if not value.isascii() else value
    if isinstance(value, dict):
        return {_tidy(key): _tidy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if type(value) is int and not LONG_MIN <= value <= LONG_MAX:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value
