"""timestampSpec: which column holds a row's time, and how it is written."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import BadRequest, TaskFailed
from overlord.model.instant import parse_instant
from overlord.model.interval import ETERNITY
from workers.ingest.java import LONG_MAX, LONG_MIN, double_to_long, text_of
from workers.ingest.transform.joda import BadPattern, compile_pattern
from workers.ingest.transform.layout import Layout, iso_layout, read_column

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Druid takes the zones that Java lists: these beside those of the tz database, and not all of those.
_JAVAS_ZONES = re.compile("A[CEGRS]T|BET|BST|CAT|CNT|CST|CTT|EAT|ECT|IET|IST|JST|MIT|NET|NST|PLT|PNT|PRT|PST|SST|VST")
_BLANKS = "".join(map(chr, range(0x21)))
_WHOLE = re.compile(r"[-+]?\d+")
_SCALES = {"posix": (1000, 1), "millis": (1, 1), "micro": (1, 1000), "nano": (1, 1_000_000)}


@dataclass(frozen=True, kw_only=True)
class Format:
    """How to read one column.

    Attributes
    ----------
    of_text : callable
        Millis of a text, or None if it cannot be read.
    of_number : callable or None
        Millis of numbers, rounded towards zero first; None if a number is read as its text.
    layout : callable
        The layout of rows like the given text.
    digits : (int, int) or None
        Factor and divisor for texts that are all digits.
    """

    of_text: Callable[[str], int | None]
    of_number: Callable[[Ints], Ints] | None
    layout: Callable[[str], Layout | None]
    digits: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class TimestampSpec:
    """Where the time is.

    Attributes
    ----------
    column : str
        Input field.
    format : Format
        How it is written.
    missing_ms : int or None
        For rows without the field.
    """

    column: str
    format: Format
    missing_ms: int | None

    @classmethod
    def from_json(cls, json: Any) -> TimestampSpec:
        """From `dataSchema.timestampSpec`.

        Raises
        ------
        TaskFailed
            If the format or the missing value cannot be understood.
        """
        json = json if isinstance(json, Mapping) else {}
        name = json.get("format") or "auto"
        missing = json.get("missingValue")
        missing_ms = None
        if missing is not None:
            missing_ms = int(missing) if isinstance(missing, int | float) else format_of("auto").of_text(str(missing))
            if missing_ms is None:
                raise TaskFailed(f"timestampSpec.missingValue {missing!r} is no time")
        return cls(column=json.get("column") or "timestamp", format=format_of(str(name)), missing_ms=missing_ms)

    def read(self, values: pl.Series | None, rows: int) -> tuple[Ints, Bools]:
        """Millis of each row, and whether it has a readable time.

        Parameters
        ----------
        values : Series or None
            The raw column; None if no row has it.
        """
        if values is None or values.dtype == pl.Null:
            millis = np.zeros(rows, np.int64)
            good = np.zeros(rows, np.bool_)
        else:
            millis, good = self._by_kind(values)
            good = good & (millis >= ETERNITY.start) & (millis < ETERNITY.end)
        if self.missing_ms is not None:
            absent = np.ones(rows, np.bool_) if values is None else values.is_null().to_numpy()
            millis[absent] = self.missing_ms
            good |= absent
        return millis, good

    def beyond(self, value: Any) -> int | None:
        """Millis of a value that can be read, and is out of Druid's eternity; None for any other."""
        millis = None if value is None else self._one(value)
        return millis if millis is not None and not ETERNITY.start <= millis < ETERNITY.end else None

    def _by_kind(self, values: pl.Series) -> tuple[Ints, Bools]:
        if values.dtype == pl.String:
            return self._texts(values)
        if values.dtype in (pl.Int64, pl.Float64) and self.format.of_number is not None:
            return self._numbers(values)
        return self._any(values.to_list())

    def _numbers(self, values: pl.Series) -> tuple[Ints, Bools]:
        assert self.format.of_number is not None
        good = values.is_not_null().to_numpy()
        if values.dtype == pl.Int64:
            whole = values.fill_null(0).to_numpy()
        else:
            whole = np.array([double_to_long(value) for value in values.fill_null(0.0)], np.int64)
        return self.format.of_number(whole), good

    def _texts(self, texts: pl.Series) -> tuple[Ints, Bools]:
        if self.format.digits is not None:
            millis, good = self._digits(texts, *self.format.digits)
        else:
            millis, good = read_column(texts, self.format.layout)
        if good.all():
            return millis, good
        unread = np.flatnonzero(~good & texts.is_not_null().to_numpy())
        if len(unread) and self.format.digits is not None:
            some = texts.gather(unread)
            millis[unread], good[unread] = read_column(some, self.format.layout)
            unread = unread[~good[unread]]
        known: dict[str, int | None] = {}
        for row, text in zip(unread, texts.gather(unread).to_list(), strict=True):
            if text not in known:
                known[text] = within_64_bits(self.format.of_text(text)) if text else None
            if (value := known[text]) is not None:
                millis[row] = value
                good[row] = True
        return millis, good

    def _digits(self, texts: pl.Series, factor: int, divisor: int) -> tuple[Ints, Bools]:
        """Texts of at most 15 digits, and up to 18 where nothing is multiplied."""
        most = 18 if factor == 1 else 15
        matches = texts.str.contains(rf"^[0-9]{{1,{most}}}$").fill_null(False)
        good = matches.to_numpy().copy()
        if not good.any():
            return np.zeros(len(texts), np.int64), good
        numbers = texts.cast(pl.Int64, strict=False).fill_null(0).to_numpy()
        return np.where(good, numbers * factor // divisor, 0), good

    def _any(self, values: list[Any]) -> tuple[Ints, Bools]:
        millis = np.zeros(len(values), np.int64)
        good = np.zeros(len(values), np.bool_)
        for row, value in enumerate(values):
            if value is not None and (found := self._one(value)) is not None:
                millis[row], good[row] = found, True
        return millis, good

    def _one(self, value: Any) -> int | None:
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
            value = value[0]  # a plain cell of a column in which others have several values
        if isinstance(value, int | float) and not isinstance(value, bool) and self.format.of_number is not None:
            whole = value if isinstance(value, int) else double_to_long(value)
            return int(self.format.of_number(np.array([whole]))[0])
        text = text_of(value)
        return within_64_bits(self.format.of_text(text)) if text else None


def within_64_bits(millis: int | None) -> int | None:
    """The nearest long."""
    return None if millis is None else min(max(millis, LONG_MIN), LONG_MAX)


def format_of(name: str) -> Format:
    """The format of that name, or the Joda pattern.

    Raises
    ------
    TaskFailed
        If it is neither.
    """
    kind = name.lower()
    if kind in _SCALES:
        factor, divisor = _SCALES[kind]
        scale = partial(_scaled, factor=factor, divisor=divisor)
        return Format(
            of_text=partial(_digits_text, factor=factor, divisor=divisor),
            of_number=scale,
            layout=_no_layout,
            digits=(factor, divisor),
        )
    if kind == "iso":
        return Format(of_text=_iso_or_millis, of_number=None, layout=partial(iso_layout, blank=False))
    if kind == "auto":
        scale = partial(_scaled, factor=1, divisor=1)
        return Format(of_text=_auto, of_number=scale, layout=partial(iso_layout, blank=True), digits=(1, 1))
    if kind == "ruby":
        return Format(of_text=_ruby, of_number=None, layout=_no_layout)
    try:
        pattern = compile_pattern(name)
    except BadPattern:
        raise TaskFailed(f"Unable to parse timestamps with format [{name}]") from None
    return Format(of_text=lambda text: pattern.parse(_bare(text)), of_number=None, layout=lambda text: pattern.layout)


def _no_layout(text: str) -> Layout | None:
    return None


def _scaled(numbers: Ints, factor: int, divisor: int) -> Ints:
    """`numbers * factor / divisor`, towards zero, ending at 64 bits."""
    most = LONG_MAX // factor
    product = np.clip(numbers, -most, most) * factor
    product = np.where(numbers > most, LONG_MAX, np.where(numbers < -most, LONG_MIN, product))
    return product if divisor == 1 else np.sign(product) * (np.abs(product) // divisor)


def _bare(text: str) -> str:
    """Blanks around the text and one pair of quotes dropped."""
    text = text.strip(_BLANKS)
    if text[:1] == '"' and text[-1:] == '"':
        text = text[1:-1].strip(_BLANKS)
    return text


def _digits_text(text: str, factor: int, divisor: int) -> int | None:
    text = _bare(text)
    if _WHOLE.fullmatch(text) is None or len(text) > 40 or not LONG_MIN <= int(text) <= LONG_MAX:
        return None
    return int(_scaled(np.array([int(text)]), factor, divisor)[0])


def _iso_or_millis(text: str) -> int | None:
    """A year of too many digits is a number of millis."""
    millis = _iso(text)
    return millis if millis is not None and LONG_MIN <= millis <= LONG_MAX else _digits_text(text, 1, 1)


def _iso(text: str) -> int | None:
    try:
        return parse_instant(_bare(text))
    except BadRequest:
        return None


def _auto(text: str) -> int | None:
    """ISO with T or blank; a zone's name after a blank is passed over."""
    if text.isascii() and text.isdigit():
        return _digits_text(text, 1, 1)
    text = _bare(text)
    head, blank, tail = text.rpartition(" ")
    if blank and len(head) > 2 and _is_zone(tail):
        text = head
    if not text or text[0] in "Tt ":
        return None
    return _iso(text.replace(" ", "T", 1) if "T" not in text.partition(" ")[0].upper() else text)


def _is_zone(name: str) -> bool:
    if not name[:1].isalpha():
        return False
    return _JAVAS_ZONES.fullmatch(name) is not None or (name != "ROC" and name in zoneinfo.available_timezones())


def _ruby(text: str) -> int | None:
    """Seconds with a fraction."""
    try:
        return double_to_long(float(text) * 1000) if "_" not in text else None
    except ValueError:
        return None
