"""From raw rows to typed ones: time, dimensions, metric inputs, and an account of every row that is at fault.

The order is Druid's: the time is read first, and a row without one is lost; then come transforms and the filter
(between `_times` and `_typed`, on raw columns); then values are typed, and one that cannot be read leaves a null
and marks the row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.model.instant import format_instant
from workers.ingest.batch import BadRow, Batch, Chunk
from workers.ingest.formats.base import NotAnObject, RawBatch, RawChunk
from workers.ingest.java import text_of
from workers.ingest.transform.autos import auto_column
from workers.ingest.transform.numbers import Typed
from workers.ingest.transform.schema import TIME, Dimension, Schema
from workers.ingest.transform.strings import string_column

Phase = Literal["determinePartitions", "buildSegments"]
Positions = npt.NDArray[np.intp]

_LONE = re.compile("[\ud800-\udfff]")

__all__ = ["Examined", "Phase", "Schema", "Transform"]


@dataclass(frozen=True, kw_only=True)
class Untimely:
    """A row that a transform left without a time.

    Attributes
    ----------
    millis : int
        Its time before.
    value : str or None
        The text that is no time.
    """

    millis: int
    value: str | None

    @property
    def message(self) -> str:
        """What Druid says of it."""
        if self.value is None:
            return f"Could not transform value for {TIME}."
        return f"Unable to parse value[{self.value}] for field[{TIME}]"


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What became of the rows of a raw batch.

    Attributes
    ----------
    raw : RawBatch
        The rows as they went into typing.
    kept : ndarray of intp
        Those that are typed.
    lost : ndarray of intp
        Those without a readable time. What is in neither was dropped by a filter.
    columns : mapping of str to Series
        The typed columns of the kept rows.
    faults : mapping of int to list of str
        Messages on values that could not be read, by place among the kept rows.
    untimely : mapping of int to Untimely
        Those of `lost` that a transform left without a time.
    """

    raw: RawBatch
    kept: Positions
    lost: Positions
    columns: Mapping[str, pl.Series]
    faults: Mapping[int, list[str]]
    untimely: Mapping[int, Untimely]

    @property
    def thrown(self) -> int:
        """How many a filter has dropped."""
        return len(self.raw) - len(self.kept) - len(self.lost)


class Transform:
    """Types the chunks of one task's input, in order.

    Parameters
    ----------
    data_schema : mapping
        The task's dataSchema.
    phase : str
        "determinePartitions" looks at times (and dimensions, where asked) only: no metrics are read, and an
        unreadable value is no error of the row, as in Druid.
    dimensions : bool
        Whether dimensions are wanted at all.
    """

    def __init__(
        self, data_schema: Mapping[str, Any], *, phase: Phase = "buildSegments", dimensions: bool = True
    ) -> None:
        self.schema = Schema.from_json(data_schema)
        self.phase = phase
        self._with_dimensions = dimensions
        self._dimensions = {dimension.name: dimension for dimension in self.schema.dimensions}
        self._absent: frozenset[str] = frozenset()
        self._empty: frozenset[str] = frozenset()
        self.keep_raw = False  # whether bad rows shall have their raw text
        self._records = (0, 0)  # files read, good rows of the last one

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions known so far: those listed, then those found, in order of first appearance."""
        return tuple(self._dimensions)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics, `count` among them."""
        return tuple(name for name, _ in self.schema.metrics)

    @property
    def inputs(self) -> frozenset[str] | None:
        """The input fields to read; None for all."""
        if not self._with_dimensions:
            return frozenset({self.schema.time.column}) | self.schema.transforms.decides
        return self.schema.inputs

    def clone(self) -> Transform:
        """One that has seen the same rows: it goes on from here without a trace on this one."""
        other = copy(self)
        other._dimensions = dict(self._dimensions)
        return other

    def examine(self, raw: RawBatch) -> Examined:
        """The rows of a batch, typed or found lost."""
        millis, good = self._times(raw)
        fields: Mapping[str, pl.Series] = raw.columns
        computed: dict[int, list[str]] = {}
        untimely: dict[int, Untimely] = {}
        kept = np.flatnonzero(good)
        if self.schema.transforms:
            millis, good, kept, fields, computed, untimely = self._transformed(raw, millis, good, kept)
        elif len(kept) < len(good):
            millis = millis[kept]
            fields = _Gathered(raw.columns, kept)
        if self.schema.discover and self._with_dimensions:
            self._discover(raw, kept)
        columns = {TIME: pl.Series(TIME, millis, dtype=pl.Int64)}
        faults = self._typed(fields, len(kept), columns, computed)
        lost = np.flatnonzero(~good)
        return Examined(raw=raw, kept=kept, lost=lost, columns=columns, faults=faults, untimely=untimely)

    def _transformed(
        self, raw: RawBatch, millis: npt.NDArray[np.int64], good: npt.NDArray[np.bool_], kept: Positions
    ) -> tuple[
        npt.NDArray[np.int64],
        npt.NDArray[np.bool_],
        Positions,
        Mapping[str, pl.Series],
        dict[int, list[str]],
        dict[int, Untimely],
    ]:
        """Transforms and filter: times, rows that have one, those kept, their fields, faults by place, the untimely."""
        everything = len(kept) == len(good)
        given = raw.columns if everything else {name: column.gather(kept) for name, column in raw.columns.items()}
        before = millis if everything else millis[kept]
        done = self.schema.transforms.apply(given, before)
        untimely = {
            int(kept[place]): Untimely(millis=int(before[place]), value=value) for place, value in done.untimely.items()
        }
        if done.timeless.any():
            good = good.copy()
            good[kept[done.timeless]] = False
        stays = ~done.timeless if done.keeps is None else done.keeps & ~done.timeless
        if stays.all():
            return done.times, good, kept, done.columns, done.faults, untimely
        places = np.flatnonzero(stays)
        fields = {name: column.gather(places) for name, column in done.columns.items()}
        moved = {int(place): number for number, place in enumerate(places)}
        faults = {moved[row]: texts for row, texts in done.faults.items() if row in moved}
        return done.times[places], good, kept[places], fields, faults, untimely

    def apply(self, chunk: RawChunk) -> Chunk:
        """The chunk typed. Its bad rows stand in the order of the input."""
        done = self.examine(chunk.batch)
        raw, kept = done.raw, done.kept
        everything = len(kept) == len(raw)
        unread = np.array([row for row in done.lost.tolist() if row not in done.untimely], np.intp)
        bad = [*self._bad_times(raw, unread), *self._bad_values(raw, kept, done.faults), *chunk.bad]
        bad = self._placed(raw, unread, bad)
        if done.untimely:
            bad = sorted([*bad, *self._untimely(raw, done.untimely)], key=lambda row: row.line)
        return Chunk(
            batch=Batch(
                columns=done.columns,
                file=raw.file if everything else raw.file[kept],
                line=raw.line if everything else raw.line[kept],
                files=raw.files,
                sparse=self._sparse(raw, kept, done.columns),
            ),
            bad=bad,
            bytes=chunk.bytes,
            records_with_errors=len(done.faults),
            thrown_away=chunk.thrown_away + done.thrown,
            unparseable=chunk.unparseable + len(done.lost),
        )

    def _sparse(self, raw: RawBatch, kept: Positions, columns: Mapping[str, pl.Series]) -> frozenset[str]:
        """The found dimensions that some rows lack; of those without a value one a batch is looked at."""
        for each in self._dimensions.values():
            if not each.discovered or each.name in self._absent or not (values := columns[each.name]).null_count():
                continue
            if _has_empty(values):
                self._empty |= {each.name}  # [] is enough to name a dimension of its segment
            if each.name in self._empty:
                continue
            row = int(kept[values.is_null().arg_max() or 0])
            if each.name not in raw.rows.event(row):
                self._absent |= {each.name}
        return self._absent

    def _times(self, raw: RawBatch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        time = self.schema.time
        return time.read(raw.columns.get(time.column), len(raw))

    def _discover(self, raw: RawBatch, kept: Positions) -> None:
        known = self.schema.excluded | self._dimensions.keys()
        for name in raw.rows.discover(known, kept):
            auto = self.schema.finds_types
            self._dimensions[name] = Dimension(name=name, discovered=name not in raw.rows.declared, auto=auto)

    def _typed(
        self,
        fields: Mapping[str, pl.Series],
        rows: int,
        columns: dict[str, pl.Series],
        faults: dict[int, list[str]],
    ) -> dict[int, list[str]]:
        """Add the typed columns of some rows; gives the faults of each, with those there are."""

        def take(typed: Typed) -> None:
            columns[typed.values.name] = typed.values
            if self.phase == "buildSegments":
                for row, message in typed.faults:
                    faults.setdefault(row, []).append(message)

        if self._with_dimensions:
            for dimension in self._dimensions.values():
                if dimension.name != TIME:  # listed to say where it sorts; its values are the row's time
                    take(_dimension(dimension, fields.get(dimension.name), rows))
        if self.phase == "buildSegments":
            for _, metric in self.schema.metrics:
                if metric is not None:
                    take(metric.read(fields, columns[TIME]))
        return faults

    def _bad_times(self, raw: RawBatch, rows: Positions) -> list[BadRow]:
        bad = [
            _bad(raw, row, "unparseable", shortened(text_of(raw.rows.event(row))), (self.without_time(raw, row),))
            for row in rows.tolist()
        ]
        return self._with_raw(raw, bad, rows.tolist())

    def _untimely(self, raw: RawBatch, untimely: Mapping[int, Untimely]) -> list[BadRow]:
        bad = []
        for row, found in untimely.items():
            shown = self._row_text(raw.rows.event(row), found.millis) if found.value is None else found.value
            bad.append(_bad(raw, row, "unparseable", shown, (found.message,)))
        return self._with_raw(raw, bad, list(untimely))

    def _row_text(self, event: dict[str, Any], millis: int) -> str:
        """A row that was read, as Druid prints it."""
        names = [dimension.name for dimension in self.schema.dimensions]
        if self.schema.discover:
            names += [name for name in event if name not in names and name not in self.schema.excluded]
        return f"{{timestamp={format_instant(millis)}, event={text_of(event)}, dimensions={text_of(names)}}}"

    def _with_raw(self, raw: RawBatch, bad: list[BadRow], rows: list[int]) -> list[BadRow]:
        if not self.keep_raw:
            return bad
        return [replace(each, raw=raw_text(raw, row)) for each, row in zip(bad, rows, strict=True)]

    def without_time(self, raw: RawBatch, row: int) -> str:
        """What is said of a row that has no readable time, or one that Druid cannot keep."""
        event, column = raw.rows.event(row), self.schema.time.column
        values = raw.columns.get(column)
        value = event.get(column) if values is None else event.get(column, values[row])
        shown = shortened(text_of(event))
        if (beyond := self.schema.time.beyond(value)) is not None:
            time = format_instant(beyond)
            return f"Encountered row with timestamp[{time}] that cannot be represented as a long: [{shown}]"
        return f"Timestamp[{text_of(value)}] is unparseable! Event: {shown}"

    def _bad_values(self, raw: RawBatch, kept: Positions, faults: Mapping[int, list[str]]) -> list[BadRow]:
        found = []
        for place, messages in faults.items():
            row = int(kept[place])
            found.append(_bad(raw, row, "processedWithError", text_of(raw.rows.event(row)), tuple(messages)))
        return found

    def _placed(self, raw: RawBatch, lost: Positions, bad: list[BadRow]) -> list[BadRow]:
        """Bad rows by line; messages of lost ones say where. A record has the number after the good ones before it."""
        file = len(raw.files)
        before = self._records[1] if self._records[0] == file else 0
        self._records = (file, before + len(raw) - len(lost))
        if not bad:
            return bad
        bad.sort(key=lambda row: row.line)
        lines = np.array([row.line for row in bad], np.int64)
        records = before + 1 + np.searchsorted(np.delete(raw.line, lost), lines)
        path = f"Path: {raw.uri}, " if raw.uri else ""
        line = ", Line: {}" if raw.lined else ""
        return [
            replace(
                row, details=tuple(f"{text} ({path}Record: {record}{line.format(row.line)})" for text in row.details)
            )
            if row.kind == "unparseable"
            else row
            for row, record in zip(bad, records.tolist(), strict=True)
        ]


class _Gathered(Mapping[str, pl.Series]):
    """Some rows of raw columns, taken when they are asked for."""

    def __init__(self, columns: Mapping[str, pl.Series], rows: Positions) -> None:
        self._columns = columns
        self._rows = rows

    def __getitem__(self, name: str) -> pl.Series:
        return self._columns[name].gather(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _dimension(dimension: Dimension, raw: pl.Series | None, rows: int) -> Typed:
    if dimension.reader is not None:
        return dimension.reader.read(raw, rows)
    if dimension.auto:
        return auto_column(dimension.name, raw, rows, dimension.cast)
    return Typed(values=string_column(dimension.name, raw, rows, dimension.handling, discovered=dimension.discovered))


def raw_text(raw: RawBatch, row: int) -> str:
    """A row as it was read: its own text, or JSON where the format has none."""
    try:
        if (text := getattr(raw.rows, "text", None)) is not None:
            return str(text(row))
        return json.dumps(raw.rows.raw(row), ensure_ascii=False, default=str)
    except NotAnObject as error:
        return str(error)


def shortened(text: str) -> str:
    """As Druid shows a row: not more than 100 of UTF-16's units, the last half of a pair as `?`."""
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) < 200:
        return text
    return _LONE.sub("?", units[:200].decode("utf-16-le", "surrogatepass")) + "..."


def _bad(raw: RawBatch, row: int, kind: str, shown: str, details: tuple[str, ...]) -> BadRow:
    return BadRow(kind=kind, input=shown, details=details, file=raw.files[raw.file[row]], line=int(raw.line[row]))


def _has_empty(values: pl.Series) -> bool:
    """Whether a list is there that has nothing in it."""
    return isinstance(values.dtype, pl.List) and bool((values.list.len() == 0).any())
