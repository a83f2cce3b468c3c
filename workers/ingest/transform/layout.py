"""Instants from text whose digits stand at fixed places, a whole column at once.

A *layout* is a text with its digits replaced by `0` (`0000-00-00T00:00:00.000Z`) and the places of its fields.
Rows of one layout are laid side by side as bytes and read by digit arithmetic. Rows that do not fit, or whose
fields are out of range, come back unread; the exact parser has the last word on those.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.model.instant import DAY

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MOST_LAYOUTS = 8
FEWEST_ROWS = 16
_DIGIT = re.compile("[0-9]")
ZERO = ord("0")
_UNITS = {"H": 3_600_000, "m": 60_000, "s": 1_000, "S": 1}
_HIGHEST = {"H": 23, "m": 59, "s": 59, "h": 23, "n": 59}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a text of fixed width has its fields.

    Attributes
    ----------
    template : bytes
        The text with `0` for every digit.
    fields : tuple of (str, int, int)
        Letter, first place, place after: y year, M month, d day, H hour, m minute, s second, S fraction of a
        second, h and n hours and minutes of an offset.
    sign : int
        Whether the offset is ahead of UTC (1) or behind (-1); 0 without one.
    """

    template: bytes
    fields: tuple[tuple[str, int, int], ...]
    sign: int = 0

    def read(self, text: npt.NDArray[np.uint8]) -> tuple[Ints, Bools]:
        """Millis of rows of bytes, and which of them fit."""
        places = np.ascontiguousarray(text.T)
        fits = np.ones(len(text), np.bool_)
        for place, character in enumerate(self.template):
            if character == ZERO:
                places[place] -= np.uint8(ZERO)
                fits &= places[place] <= 9
            else:
                fits &= places[place] == character
        return self._millis(places, fits)

    def _millis(self, digits: npt.NDArray[np.uint8], fits: Bools) -> tuple[Ints, Bools]:
        values: dict[str, npt.NDArray[np.int32]] = {}
        for letter, start, end in self.fields:
            stop = min(end, start + 3) if letter == "S" else end  # what is finer than a millisecond is cut off
            value = _number(digits[start:stop])
            if letter == "S":
                value *= 10 ** (3 - (stop - start))
            values[letter] = value
            if letter in _HIGHEST:
                fits &= value <= _HIGHEST[letter]
        one = np.ones(1, np.int32)
        within_day = np.zeros(len(fits), np.int32)
        for letter, unit in _UNITS.items():
            if letter in values:
                within_day += values[letter] * np.int32(unit)
        millis = _days(values["y"], values.get("M", one), values.get("d", one), fits) * DAY
        millis += within_day
        if self.sign:
            offset = values["h"].astype(np.int64) * _UNITS["H"]
            if "n" in values:
                offset += values["n"].astype(np.int64) * _UNITS["m"]
            millis -= self.sign * offset
        return millis, fits


def _number(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Digits, those of a place side by side, as numbers; two of them fit into a byte, in which that is quickest."""
    pairs = [digits[i] * np.uint8(10) + digits[i + 1] for i in range(len(digits) % 2, len(digits), 2)]
    number = digits[0].astype(np.int32) if len(digits) % 2 else np.zeros(digits.shape[1], np.int32)
    for pair in pairs:
        number = number * np.int32(100) + pair
    return number


def _days(year: npt.NDArray[np.int32], month: npt.NDArray[np.int32], day: npt.NDArray[np.int32], valid: Bools) -> Ints:
    """`days`, which looks once at dates that follow each other often, as in most files they do."""
    dates = (year * np.int32(100) + month) * np.int32(100) + day
    begins = np.flatnonzero(dates[1:] != dates[:-1]) + 1
    if len(begins) > len(dates) // 4:
        return days(year, np.broadcast_to(month, year.shape), np.broadcast_to(day, year.shape), valid)
    begins = np.concatenate((np.zeros(1, np.intp), begins))
    dates = dates[begins]
    sound = np.ones(len(dates), np.bool_)
    numbers = days(dates // 10_000, dates // 100 % 100, dates % 100, sound)
    sizes = np.diff(begins, append=len(valid))
    valid &= np.repeat(sound, sizes)
    return np.repeat(numbers, sizes)


def days(year: npt.NDArray[np.int32], month: npt.NDArray[np.int32], day: npt.NDArray[np.int32], valid: Bools) -> Ints:
    """Days since 1970-01-01 of dates from year 0 on; clears `valid` where there is no such date."""
    valid &= (month >= 1) & (month <= 12) & (day >= 1)
    month = np.where(valid, month, 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    length = _LENGTHS[month] + (leap & (month == 2))
    valid &= day <= length
    before = year - 1
    leaps = before // 4 - before // 100 + before // 400
    start = year.astype(np.int64) * 365 + leaps
    number: Ints = start + _BEFORE[month] + (leap & (month > 2)) + day - _EPOCH
    return number


_LENGTHS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int32)
_BEFORE = np.concatenate([[0, 0], np.cumsum(_LENGTHS[1:-1])]).astype(np.int64)
_EPOCH = 1970 * 365 + (1969 // 4 - 1969 // 100 + 1969 // 400) + 1


_ISO = re.compile(
    r"(?P<y>0000)-(?P<M>00)-(?P<d>00)"
    r"(?:(?P<sep>[T ])(?P<H>00)(?::(?P<m>00)(?::(?P<s>00)(?:[.,](?P<S>0{1,9}))?)?)?"
    r"(?:Z|(?P<sign>[+-])(?P<h>00)(?::?(?P<n>00))?)?)?"
)


def iso_layout(text: str, *, blank: bool) -> Layout | None:
    """The layout of an ISO text like this one, if it is among the fixed ones.

    Parameters
    ----------
    blank : bool
        Whether a blank may stand for the T.
    """
    template = _DIGIT.sub("0", text)
    match = _ISO.fullmatch(template)
    if match is None or not template.isascii() or (match["sep"] == " " and not blank):
        return None
    fields = tuple((name, match.start(name), match.end(name)) for name in "yMdHmsShn" if match[name])
    return Layout(template=template.encode(), fields=fields, sign={"+": 1, "-": -1}.get(match["sign"], 0))


def read_column(texts: pl.Series, layout_of: Callable[[str], Layout | None]) -> tuple[Ints, Bools]:
    """Millis of a column of text, and which rows were read.

    The first row not read yet gives the next layout, until there is none for it or few rows are left.
    """
    sizes = texts.str.len_bytes()
    widths = (sizes.fill_null(0) if sizes.null_count() else sizes).to_numpy()
    millis, done = _read_alike(texts, widths, layout_of)
    left = np.flatnonzero((widths > 0) & ~done)
    for _ in range(MOST_LAYOUTS):
        if len(left) < FEWEST_ROWS:
            break
        layout = layout_of(texts[int(left[0])])
        if layout is None:
            break
        at = left[widths[left] == len(layout.template)]
        read, fits = layout.read(_side_by_side(texts, at, len(layout.template)))
        millis[at] = read
        done[at] = fits
        if not fits[0]:
            break
        left = left[~done[left]]
    return millis, done


def _read_alike(
    texts: pl.Series, widths: npt.NDArray[np.uint32], layout_of: Callable[[str], Layout | None]
) -> tuple[Ints, Bools]:
    """The rows of the first one's layout, if all are of one width: nearly always that is the whole column."""
    rows = len(texts)
    if rows >= FEWEST_ROWS and widths[0] and (widths == widths[0]).all() and (layout := layout_of(texts[0])):
        return layout.read(_side_by_side(texts, np.arange(rows), len(layout.template)))
    return np.zeros(rows, np.int64), np.zeros(rows, np.bool_)


def _side_by_side(texts: pl.Series, at: npt.NDArray[np.intp], width: int) -> npt.NDArray[np.uint8]:
    """Texts of equal width as the rows of a matrix of bytes."""
    chosen = texts if len(at) == len(texts) else texts.gather(at)
    joined: str = chosen.str.join("").item()
    return np.frombuffer(joined.encode(), np.uint8).reshape(len(at), width)
