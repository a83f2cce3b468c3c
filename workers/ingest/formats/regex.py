"""regex: lines that a pattern takes apart."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from overlord.model.java_pattern import java_pattern
from workers.ingest.formats.base import column, input_formats
from workers.ingest.formats.delimited import unique_columns
from workers.ingest.formats.text import LineFormat, LineReader, Parsed

Row = dict[str, Any]


@input_formats.add("regex")
class RegexFormat(LineFormat):
    """`{"type": "regex", "pattern", "listDelimiter", "columns"}`.

    Python's expressions, which are Java's for all that patterns of log lines use; `\\d`, `\\w` and `\\s` mean ASCII.
    """

    def __init__(self, pattern: re.Pattern[str], columns: tuple[str, ...], list_delimiter: str, shown: str) -> None:
        self.pattern = pattern
        self.columns = columns
        self.list_delimiter = list_delimiter
        self.shown = shown

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> RegexFormat:
        text = json.get("pattern")
        if not isinstance(text, str):
            raise TaskFailed("inputFormat.pattern must be a string", where="spec.ioConfig.inputFormat.pattern")
        try:
            pattern = java_pattern(text)
        except ValueError as error:
            raise TaskFailed(
                f"inputFormat.pattern cannot be read: {error}", where="spec.ioConfig.inputFormat.pattern"
            ) from None
        given = json.get("columns")
        names = given if given is not None else [f"column_{number + 1}" for number in range(pattern.groups)]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TaskFailed("inputFormat.columns must be a list of strings")
        return cls(pattern, unique_columns(names), json.get("listDelimiter") or "\x01", text)

    def reader(self, wanted: Collection[str] | None) -> LineReader:
        return RegexReader(self, wanted)

    def row(self, groups: tuple[str | None, ...]) -> Row:
        """The fields of a line."""
        return dict(zip(self.columns, map(self._value, groups), strict=False))

    def _value(self, text: str | None) -> Any:
        if text is not None and self.list_delimiter in text:
            return text.split(self.list_delimiter)
        return text


class RegexRows:
    """The rows of some lines; see `formats.base.Rows`."""

    declared: tuple[str, ...] = ()

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def event(self, row: int) -> Row:
        return self._rows[row]

    def raw(self, row: int) -> Row:
        return self._rows[row]

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        return [name for name in self._rows[int(rows[0])] if name not in known] if len(rows) else []


class RegexReader(LineReader):
    """Reads one file."""

    def __init__(self, form: RegexFormat, wanted: Collection[str] | None) -> None:
        self._form = form
        self._wanted = wanted

    def parse(self, data: bytes, last: bool) -> Parsed:
        form, match = self._form, self._form.pattern.fullmatch
        texts = data.decode("utf-8", "replace").split("\n")[:-1]
        rows: list[Row] = []
        lines: list[int] = []
        bad: list[tuple[int, str, str]] = []
        for number, text in enumerate(texts):
            found = match(text)
            if found is None:
                bad.append((number, text, f"Unable to parse row [{text}]"))
                continue
            rows.append(form.row(found.groups()))
            lines.append(number)
        columns: dict[str, pl.Series] = {
            name: column(name, [row.get(name) for row in rows])
            for name in form.columns[: form.pattern.groups]
            if self._wanted is None or name in self._wanted
        }
        return Parsed(columns=columns, lines=np.array(lines, np.int64), rows=RegexRows(rows), bad=bad, used=len(texts))
