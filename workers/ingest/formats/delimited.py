"""csv and tsv."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.formats.base import column, input_formats
from workers.ingest.formats.quotes import CellSplitter, SoundRows, plain_rows, sound_rows
from workers.ingest.formats.text import LineFormat, LineReader, Parsed
from workers.ingest.java import tsv_number

Cells = list[bytes | None]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a spec says of delimited text.

    Attributes
    ----------
    columns : tuple of str
        Names; empty if only the header has them.
    header : bool
        Whether a line names the columns, which then goes before `columns`.
    skip : int
        Lines to skip, before the header.
    delimiter : bytes
        Between cells.
    quotes : bool
        Whether `"` may surround a cell.
    list_delimiter : str
        Between the values of one cell.
    numbers : bool
        Whether cells that look like numbers are.
    """

    columns: tuple[str, ...]
    header: bool
    skip: int
    delimiter: bytes
    quotes: bool
    list_delimiter: str
    numbers: bool

    def value(self, cell: bytes | None) -> Any:
        """A cell as a row has it."""
        if cell is None:
            return None
        text = cell.decode("utf-8", "replace")
        one: Callable[[str], Any] = tsv_number if self.numbers else str
        if self.list_delimiter in text:
            return [one(part) for part in text.split(self.list_delimiter)]
        return one(text)


class DelimitedFormat(LineFormat):
    """Rows are lines (csv: quoted newlines apart), cells are split by a delimiter, the first lines may be a header."""

    quotes: ClassVar[bool]

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> DelimitedFormat:
        columns = json.get("columns") or []
        header = bool(json.get("findColumnsFromHeader", json.get("hasHeaderRow", False)))
        if not columns and not header:
            raise TaskFailed("Either [columns] or [findColumnsFromHeader] must be set (inputFormat)")
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise TaskFailed("inputFormat.columns must be a list of strings")
        skip = json.get("skipHeaderRows") or 0
        if not isinstance(skip, int) or skip < 0:
            raise TaskFailed("inputFormat.skipHeaderRows must be a whole number, 0 or more")
        dialect = Dialect(
            columns=unique_columns(columns),
            header=header,
            skip=skip,
            delimiter=cls.delimiter(json),
            quotes=cls.quotes,
            list_delimiter=json.get("listDelimiter") or "\x01",
            numbers=bool(json.get("tryParseNumbers", False)),
        )
        if dialect.list_delimiter.encode() == dialect.delimiter:
            raise TaskFailed(
                f"Cannot have same delimiter and list delimiter of [{dialect.list_delimiter}] (inputFormat)"
            )
        return cls(dialect)

    @classmethod
    def delimiter(cls, json: Mapping[str, Any]) -> bytes:
        """Between two cells."""
        return b","

    def reader(self, wanted: Collection[str] | None) -> LineReader:
        return DelimitedReader(self.dialect, wanted)


@input_formats.add("csv")
class CsvFormat(DelimitedFormat):
    """Comma-separated values; cells may be quoted."""

    quotes = True


@input_formats.add("tsv")
class TsvFormat(DelimitedFormat):
    """Values separated by a tab or another delimiter; quotes are ordinary characters."""

    quotes = False

    @classmethod
    def delimiter(cls, json: Mapping[str, Any]) -> bytes:
        value = json.get("delimiter") or "\t"
        if not isinstance(value, str):
            raise TaskFailed("inputFormat.delimiter must be a string")
        return value.encode()


def unique_columns(names: list[str]) -> tuple[str, ...]:
    """The names, unless one comes twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TaskFailed(f"Duplicate column entries found : [{', '.join(twice)}]")
    return tuple(names)


class DelimitedRows:
    """Rows behind the columns of delimited text.

    Parameters
    ----------
    cells : callable
        The cells of a row.
    """

    declared: tuple[str, ...] = ()

    def __init__(self, names: tuple[str, ...], dialect: Dialect, cells: Callable[[int], Cells]) -> None:
        self._names = names
        self._dialect = dialect
        self._cells = cells

    def event(self, row: int) -> dict[str, Any]:
        values = map(self._dialect.value, self._cells(row))
        return dict(zip(self._names, values, strict=False))

    def text(self, row: int) -> str:
        """The row as a line that is read as the same cells."""
        delimiter = self._dialect.delimiter.decode()
        return delimiter.join(map(self._quoted, self._cells(row)))

    def _quoted(self, cell: bytes | None) -> str:
        text = "" if cell is None else cell.decode("utf-8", "replace")
        special = (*self._dialect.delimiter.decode(), '"', "\n", "\r")
        if self._dialect.quotes and any(char in text for char in special):
            return '"' + text.replace('"', '""') + '"'
        return text

    def raw(self, row: int) -> dict[str, Any]:
        return self.event(row)

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        """Columns a row is long enough for; nearly always all of them at the first row."""
        new: list[str] = []
        missing = {name for name in self._names if name not in known}
        for row in rows:
            if not missing:
                break
            found = [name for name in self._names[: len(self._cells(int(row)))] if name in missing]
            new += found
            missing.difference_update(found)
        return new


class DelimitedReader(LineReader):
    """Reads one file of delimited text."""

    def __init__(self, dialect: Dialect, wanted: Collection[str] | None) -> None:
        self._dialect = dialect
        self._wanted = wanted
        self._skip = dialect.skip
        self._header = dialect.header
        self._names = dialect.columns

    def parse(self, data: bytes, last: bool) -> Parsed | None:
        data, used = self._read_header(data)
        if not data:
            return self._table([], [], used, b"")
        if not self._dialect.quotes or b'"' not in data:
            return self._by_polars(data, plain_rows(data), used) or self._by_rows(data, last, used)
        sound = sound_rows(data)
        if sound is None or (sound.end < len(data) and last):
            return self._by_rows(data, last, used)
        return self._by_polars(data, sound, used) or self._by_rows(data, last, used)

    def _read_header(self, data: bytes) -> tuple[bytes, int]:
        """Take the lines before the rows off `data`."""
        used = 0
        while data and (self._skip or self._header):
            line, _, data = data.partition(b"\n")
            used += 1
            if self._skip:
                self._skip -= 1
                continue
            self._header = False
            cells = self._split_line(line)
            names = [
                cell.decode("utf-8", "replace") if cell else f"column_{number}"
                for number, cell in enumerate(cells, start=1)
            ]
            self._names = unique_columns(names)
        return data, used

    def _split_line(self, line: bytes) -> Cells:
        if self._dialect.quotes:
            row = CellSplitter(line.split(b"\n"), last=True).row(0)
            assert row is not None
            return row[0]
        return [cell or None for cell in line.split(self._dialect.delimiter)]

    def _by_polars(self, data: bytes, rows: SoundRows, used: int) -> Parsed | None:
        """Well-formed text, read at once; None if polars sees other rows in it."""
        if len(self._dialect.delimiter) != 1 or self._dialect.delimiter == b'"' or not self._names:
            return None
        if b"\r" in data and (b"\r\n" in data or b"\r" + self._dialect.delimiter in data):
            return None  # polars takes away a carriage return that ends a cell
        whole = data if rows.end == len(data) else data[: rows.end]
        frame = self._frame(whole)
        if frame is None or frame.height != len(rows.ends):
            return None
        columns = {
            self._names[int(index)]: self._values(series.alias(self._names[int(index)]), whole)
            for index, series in zip(frame.columns, frame.get_columns(), strict=True)
        }
        starts, ends = rows.starts, rows.ends
        return Parsed(
            columns=columns,
            lines=rows.lines + used,
            rows=DelimitedRows(
                self._names, self._dialect, lambda row: self._split_line(whole[int(starts[row]) : int(ends[row])])
            ),
            used=used + rows.newlines,
            rest=data[rows.end :],
        )

    def _frame(self, data: bytes) -> pl.DataFrame | None:
        """Text columns named by position. A header of ours sets their number, whatever the first row has."""
        everything = [str(index) for index in range(len(self._names))]
        taken = [str(i) for i, name in enumerate(self._names) if self._wanted is None or name in self._wanted]
        delimiter = self._dialect.delimiter
        try:
            return pl.read_csv(
                io.BytesIO(delimiter.join(map(str.encode, everything)) + b"\n" + data),
                columns=taken or everything[:1],
                schema=dict.fromkeys(everything, pl.String),
                separator=delimiter.decode(),
                quote_char='"' if self._dialect.quotes else None,
                truncate_ragged_lines=True,
                encoding="utf8-lossy",
            )
        except pl.exceptions.PolarsError:
            return None

    def _values(self, series: pl.Series, data: bytes) -> pl.Series:
        """Lists and numbers, if the spec asks for them."""
        delimiter = self._dialect.list_delimiter
        lists = delimiter.encode() in data and bool(series.str.contains(delimiter, literal=True).any())
        if self._dialect.numbers:
            return self._numbers(series, lists)
        return series.str.split(delimiter) if lists else series

    def _numbers(self, series: pl.Series, lists: bool) -> pl.Series:
        if not lists:
            whole = series.str.contains(r"^-?[0-9]{1,18}$")
            if whole.all():
                return series.cast(pl.Int64)
        value = self._dialect.value
        return column(series.name, [None if v is None else value(v.encode()) for v in series.to_list()])

    def _by_rows(self, data: bytes, last: bool, used: int) -> Parsed | None:
        """Any text, one row after the other."""
        lines = data.split(b"\n")[:-1]
        cells: list[Cells] = []
        starts: list[int] = []
        at = 0
        splitter = CellSplitter(lines, last)
        while at < len(lines):
            if self._dialect.quotes:
                row = splitter.row(at)
                if row is None:
                    break
                cells.append(row[0])
            else:
                row = ([cell or None for cell in lines[at].split(self._dialect.delimiter)], at + 1)
                cells.append(row[0])
            starts.append(at + used)
            at = row[1]
        rest = b"".join(line + b"\n" for line in lines[at:])
        return self._table(cells, starts, used + at, rest)

    def _table(self, cells: list[Cells], starts: list[int], used: int, rest: bytes) -> Parsed:
        columns: dict[str, pl.Series] = {}
        for index, name in enumerate(self._names):
            if self._wanted is None or name in self._wanted:
                texts = [
                    row[index].decode("utf-8", "replace")  # type: ignore[union-attr]  # None is looked for first
                    if index < len(row) and row[index] is not None
                    else None
                    for row in cells
                ]
                series = pl.Series(name, texts, dtype=pl.String)
                columns[name] = self._values(series, self._dialect.list_delimiter.encode())
        return Parsed(
            columns=columns,
            lines=np.array(starts, np.int64),
            rows=DelimitedRows(self._names, self._dialect, cells.__getitem__),
            used=used,
            rest=rest,
        )
