"""Instants: int milliseconds since 1970 UTC, read and written as Joda does.

Text is ISO-8601: `yyyy[-MM[-dd]]`, `yyyy-DDD` or `xxxx-Www[-e]`, then `T[HH[:mm[:ss[.SSS]]]][offset]`, or a time alone
(of 1970-01-01). `datetime` ends at year 9999, Druid's eternity reaches year 146140482, so the proleptic Gregorian
calendar is computed here.
"""

from __future__ import annotations

import re
import time

from overlord.errors import BadRequest

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_DAYS_BEFORE_EPOCH = 719_468  # from 0000-03-01, where the 400-year cycle below starts
_CYCLE = 146_097  # days in 400 years

_USUAL = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?Z?)?")


def now_ms() -> int:
    """This moment."""
    return time.time_ns() // 1_000_000


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date of the proleptic Gregorian calendar, any year."""
    if month <= 2:
        year -= 1
    cycle, of_cycle = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return cycle * _CYCLE + of_cycle * 365 + of_cycle // 4 - of_cycle // 100 + of_year - _DAYS_BEFORE_EPOCH


def civil_from_days(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a number of days since 1970-01-01."""
    cycle, of_cycle = divmod(days + _DAYS_BEFORE_EPOCH, _CYCLE)
    year = (of_cycle - of_cycle // 1460 + of_cycle // 36_524 - of_cycle // 146_096) // 365
    of_year = of_cycle - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = (shifted + 2) % 12 + 1
    return year + cycle * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def days_in_month(year: int, month: int) -> int:
    """28 to 31."""
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def is_leap(year: int) -> bool:
    """Whether February has 29 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def week_start(days: int) -> int:
    """The Monday on or before a day, both in days since 1970-01-01 (a Thursday)."""
    return days - (days + 3) % 7


def format_instant(ms: int) -> str:
    """`2024-01-01T00:00:00.000Z`; other years have a sign or more digits, as Joda prints them."""
    days, of_day = divmod(ms, DAY)
    year, month, day = civil_from_days(days)
    seconds, milli = divmod(of_day, SECOND)
    sign = "-" if year < 0 else ""
    return (
        f"{sign}{abs(year):04d}-{month:02d}-{day:02d}"
        f"T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milli:03d}Z"
    )


def parse_instant(text: str) -> int:
    """Millis of an ISO-8601 text; without an offset it is UTC.

    Raises
    ------
    BadRequest
        With Joda's text, such as `Invalid format: "2024-01-01x" is malformed at "x"`.
    """
    usual = _USUAL.fullmatch(text)
    if usual and text.isascii():
        year, month, day, hour, minute, second, milli = (int(part or 0) for part in usual.groups())
        if 1 <= month <= 12 and 1 <= day <= 28 and hour < 24 and minute < 60 and second < 60:
            return days_from_civil(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second * SECOND + milli
    return _Scanner(text).instant()


class _Scanner:
    """Reads one instant from left to right; `at` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def instant(self) -> int:
        ms = 0
        if self._peek() not in "Tt":
            ms = self._date() * DAY
        if self._take("T"):
            if self._peek().isdigit():
                ms += self._time()
            ms -= self._offset()
        if self.at < len(self.text):
            raise self._malformed()
        return ms

    def _peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else "\0"

    def _take(self, wanted: str) -> bool:
        if self._peek().upper() != wanted:
            return False
        self.at += 1
        return True

    def _number(self, most: int) -> int:
        start = self.at
        while self.at - start < most and "0" <= self._peek() <= "9":
            self.at += 1
        if start == self.at:
            raise self._malformed()
        return int(self.text[start : self.at])

    def _ranged(self, most_digits: int, field: str, low: int, high: int) -> int:
        return self._checked(self._number(most_digits), field, low, high)

    def _checked(self, value: int, field: str, low: int, high: int) -> int:
        if low <= value <= high:
            return value
        raise BadRequest(f'Cannot parse "{self.text}": Value {value} for {field} must be in the range [{low},{high}]')

    def _date(self) -> int:
        """Days since 1970-01-01."""
        sign = -1 if self._peek() == "-" else 1
        if self._peek() in "+-":
            self.at += 1
        year = sign * self._number(9)
        if not self._take("-"):
            return days_from_civil(year, 1, 1)
        if self._take("W"):
            return self._week_date(year)
        start = self.at
        number = self._number(3)
        if self.at - start == 3:
            self._checked(number, "dayOfYear", 1, 366 if is_leap(year) else 365)
            return days_from_civil(year, 1, 1) + number - 1
        month, day = self._checked(number, "monthOfYear", 1, 12), 1
        if self._take("-"):
            day = self._ranged(2, "dayOfMonth", 1, days_in_month(year, month))
        return days_from_civil(year, month, day)

    def _week_date(self, year: int) -> int:
        first = week_start(days_from_civil(year, 1, 4))  # week 1 is the one with 4 January
        weeks = (week_start(days_from_civil(year + 1, 1, 4)) - first) // 7
        week = self._ranged(2, "weekOfWeekyear", 1, weeks)
        day = self._ranged(1, "dayOfWeek", 1, 7) if self._take("-") else 1
        return first + (week - 1) * 7 + day - 1

    def _time(self) -> int:
        """Millis of the day."""
        ms = self._ranged(2, "hourOfDay", 0, 23) * HOUR
        if not self._take(":"):
            return ms + self._fraction(HOUR)
        ms += self._ranged(2, "minuteOfHour", 0, 59) * MINUTE
        if not self._take(":"):
            return ms + self._fraction(MINUTE)
        ms += self._ranged(2, "secondOfMinute", 0, 59) * SECOND
        return ms + self._fraction(SECOND)

    def _fraction(self, unit: int) -> int:
        """Millis of a decimal fraction of `unit`, cut off, not rounded."""
        if self._peek() not in ".,":
            return 0
        self.at += 1
        start = self.at
        number = self._number(9)
        return int(number * unit // 10 ** (self.at - start))

    def _offset(self) -> int:
        """Millis that local time is ahead of UTC; 0 without an offset."""
        if self._take("Z") or self._peek() not in "+-":
            return 0
        sign = -1 if self._peek() == "-" else 1
        self.at += 1
        ms = self._ranged(2, "hours", 0, 23) * HOUR
        for unit in (MINUTE, SECOND):
            if not self._take(":") and not self._peek().isdigit():
                return sign * ms
            ms += self._ranged(2, "minutes", 0, 59) * unit
        return sign * (ms + self._fraction(SECOND))

    def _malformed(self) -> BadRequest:
        shown = self.text if len(self.text) <= self.at + 35 else self.text[: self.at + 32] + "..."
        if self.at <= 0:
            return BadRequest(f'Invalid format: "{shown}"')
        if self.at >= len(self.text):
            return BadRequest(f'Invalid format: "{shown}" is too short')
        return BadRequest(f'Invalid format: "{shown}" is malformed at "{shown[self.at :]}"')
