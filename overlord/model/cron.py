"""Schedules: unix cron of five fields and its macros, and Quartz of six or seven, on the clocks of a time zone.

Fields are read here, into the values they name, and handed to APScheduler's triggers as such lists: APScheduler
numbers weekdays otherwise than cron (0 is Monday) and has no Quartz, so weekdays go over as names. Its triggers count
on a clock without summer time; `Schedule.after` then puts each reading of the clock on the line of time. A reading that
the clock leaves out runs at the moment after the gap, unless it runs every hour anyway; one that it shows twice runs
twice. That is as croniter has it, which the tests compare with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from overlord.errors import BadRequest
from overlord.model.instant import HOUR
from overlord.model.period import offset_ms

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ORDINALS = ("1st", "2nd", "3rd", "4th", "5th")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NEAR_MS = 4 * HOUR  # no clock is put forward or back by more
_STEP = timedelta(microseconds=1)
_ANY = ("*", "?")


@dataclass(frozen=True, kw_only=True)
class _Field:
    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()
    counted_from: int = 0
    """Number of the first word."""


_SECOND = _Field(name="second", first=0, last=59)
_MINUTE = _Field(name="minute", first=0, last=59)
_HOUR = _Field(name="hour", first=0, last=23)
_DAY = _Field(name="day of month", first=1, last=31)
_MONTH = _Field(name="month", first=1, last=12, words=MONTHS, counted_from=1)
_UNIX_WEEKDAY = _Field(name="day of week", first=0, last=7, words=WEEKDAYS)
_QUARTZ_WEEKDAY = _Field(name="day of week", first=1, last=7, words=WEEKDAYS, counted_from=1)
_YEAR = _Field(name="year", first=1970, last=2099)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When something is due.

    Attributes
    ----------
    second, minute, hour, month, year : str
        Comma lists, or `*`.
    days : tuple of str
        Expressions of APScheduler's field `day`; any of them may hold.
    weekdays : str or None
        Names of weekdays; with `days` given too, either may hold, as in cron.
    zone : str
    """

    second: str = "0"
    minute: str
    hour: str
    month: str
    year: str = "*"
    days: tuple[str, ...] = ()
    weekdays: str | None = None
    zone: str = "UTC"

    @classmethod
    def unix(cls, text: str, zone: str = "UTC") -> Schedule:
        """Read `minute hour day month weekday`, or a macro such as `@daily`.

        Raises
        ------
        BadRequest
            It is no such schedule.
        """
        text = text.strip()
        if text.startswith("@") and text.lower() not in MACROS:
            raise BadRequest(f"Nickname [{text}] is not one of [{', '.join(MACROS)}]")
        minute, hour, day, month, weekday = _parts(MACROS.get(text.lower(), text), (5,))
        days = _listed(_DAY, day)
        weekdays = sorted({WEEKDAYS[number % 7] for number in _numbers(_UNIX_WEEKDAY, weekday)})
        # Of two restricted fields either may hold. One that names every value is a restriction, though it restricts
        # nothing, unless the other is a kind of `*`.
        every_day = day == "*" or (len(days) == 31 and "*" in weekday)
        every_weekday = weekday == "*" or (len(weekdays) == 7 and "*" in day)
        made = cls(
            minute=_text(_MINUTE, minute),
            hour=_text(_HOUR, hour),
            month=_text(_MONTH, month),
            days=() if every_day else tuple(days),
            weekdays=None if every_weekday else ",".join(weekdays),
            zone=_known_zone(zone),
        )
        made._check_days()
        return made

    @classmethod
    def quartz(cls, text: str, zone: str = "UTC") -> Schedule:
        """Read `second minute hour day month weekday [year]`; `?`, `L`, `6L` and `6#3` are known, `W` is not.

        Raises
        ------
        BadRequest
            It is no such schedule.
        """
        second, minute, hour, day, month, weekday, *year = _parts(text.strip(), (6, 7))
        if day not in _ANY and weekday not in _ANY:
            raise BadRequest("Both, a day-of-week AND a day-of-month parameter, are not supported.")
        days: tuple[str, ...] = () if day in _ANY else tuple(_quartz_days(day))
        weekdays = None
        if weekday not in _ANY:
            weekdays, days = _quartz_weekdays(weekday)
        made = cls(
            second=_text(_SECOND, second),
            minute=_text(_MINUTE, minute),
            hour=_text(_HOUR, hour),
            month=_text(_MONTH, month),
            year=_text(_YEAR, year[0]) if year else "*",
            days=days,
            weekdays=weekdays,
            zone=_known_zone(zone),
        )
        made._check_days()
        return made

    def _check_days(self) -> None:
        """Refuse the 31st of June: APScheduler would look for it to the end of time."""
        if self.weekdays is not None or not self.days or not all(day.isdigit() for day in self.days):
            return
        months = range(12) if self.month == "*" else [int(each) - 1 for each in self.month.split(",")]
        if min(map(int, self.days)) > max(_LONGEST[month] for month in months):
            raise BadRequest(f"No month of [{self.month}] has a day [{','.join(self.days)}]; this is never due")

    @cached_property
    def _trigger(self) -> BaseTrigger:
        """On a clock of UTC, which never jumps."""
        same = {
            "second": self.second,
            "minute": self.minute,
            "hour": self.hour,
            "month": self.month,
            "year": self.year,
            "timezone": UTC,
        }
        triggers = []
        if self.days:
            triggers.append(CronTrigger(day=",".join(self.days), **same))
        if self.weekdays is not None:
            triggers.append(CronTrigger(day_of_week=self.weekdays, **same))
        if not triggers:
            triggers.append(CronTrigger(**same))
        return triggers[0] if len(triggers) == 1 else OrTrigger(triggers)

    @property
    def tz(self) -> tzinfo:
        """Its zone."""
        return UTC if self.zone == "UTC" else ZoneInfo(self.zone)

    def after(self, ms: int) -> int | None:
        """The first instant after `ms` at which it is due; None when there is no more."""
        zone = self.tz
        jumps = offset_ms(ms - _NEAR_MS, zone) != offset_ms(ms + _NEAR_MS, zone)
        best: int | None = None
        for reading in self._readings(ms + offset_ms(ms, zone) - (_NEAR_MS if jumps else 0)):
            instants = _instants(reading, zone, into_gap=self.hour != "*")
            for instant in instants:
                if instant > ms and (best is None or instant < best):
                    best = instant
            if best is not None and instants and instants[0] >= best:
                break
        return best

    def between(self, after: int, until: int, most: int) -> list[int]:
        """Instants after one and up to another, the first `most` of them."""
        found: list[int] = []
        due = self.after(after)
        while due is not None and due <= until and len(found) < most:
            found.append(due)
            due = self.after(due)
        return found

    def _readings(self, local: int) -> Iterator[int]:
        """Readings of the clock after one, as millis of a UTC clock."""
        now = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=local) + _STEP
        while (found := self._trigger.get_next_fire_time(None, now)) is not None:
            yield round((found - datetime.fromtimestamp(0, UTC)) / timedelta(milliseconds=1))
            now = found + _STEP


def _instants(reading: int, zone: tzinfo, *, into_gap: bool) -> list[int]:
    """When the clocks of a zone show a reading: once, twice, or never; then, with `into_gap`, the end of that gap."""
    near = sorted({offset_ms(reading - _NEAR_MS * 6, zone), offset_ms(reading + _NEAR_MS * 6, zone)}, reverse=True)
    exact = [reading - ahead for ahead in near if offset_ms(reading - ahead, zone) == ahead]
    if exact:
        return sorted(exact)
    if not into_gap:
        return []
    low, high = reading - near[0], reading - near[-1]  # the clock jumps between these two
    before = offset_ms(low, zone)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset_ms(middle, zone) == before else (low, middle)
    return [high]


# ---------------------------------------------------------------- reading fields


def _parts(text: str, wanted: tuple[int, ...]) -> list[str]:
    parts = text.split()
    if not parts:
        raise BadRequest("Empty expression!")
    if len(parts) not in wanted:
        numbers = ", ".join(map(str, wanted))
        raise BadRequest(f"Cron expression contains {len(parts)} parts but we expect one of [{numbers}]")
    return [part.lower() for part in parts]


def _text(field: _Field, text: str) -> str:
    listed = _listed(field, text)
    return "*" if text in _ANY or len(listed) == field.last - field.first + 1 else ",".join(listed)


def _listed(field: _Field, text: str) -> list[str]:
    return [str(number) for number in sorted(_numbers(field, text))]


def _numbers(field: _Field, text: str) -> set[int]:
    """The values of `1,5-7,*/10`, names included."""
    return {number for part in text.split(",") for number in _range(field, part)}


def _range(field: _Field, part: str) -> Iterator[int]:
    span, _, step_text = part.partition("/")
    step = _whole(field, step_text, part) if "/" in part else 1
    if step < 1:
        raise _wrong(field, part, "a step is at least 1")
    if span in _ANY:
        first, last = field.first, 6 if field is _UNIX_WEEKDAY else field.last
    elif "-" in span:
        begin, _, end = span.partition("-")
        first, last = _value(field, begin, part), _value(field, end, part)
    else:
        first = _value(field, span, part)
        last = field.last if "/" in part else first
    size = field.last - field.first + (0 if field is _UNIX_WEEKDAY else 1)
    if last < first:  # goes over the end, as in FRI-MON
        last += size
    for number in range(first, last + 1, step):
        yield number if number <= field.last else number - size


def _value(field: _Field, text: str, part: str) -> int:
    if text in field.words:
        return field.words.index(text) + field.counted_from
    number = _whole(field, text, part)
    if not field.first <= number <= field.last:
        raise _wrong(field, part, f"values are {field.first} to {field.last}")
    return number


def _whole(field: _Field, text: str, part: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text):
        raise _wrong(field, part, f"[{text}] is no number")
    return int(text)


def _quartz_days(text: str) -> Iterator[str]:
    for part in text.split(","):
        if part == "l":
            yield "last"
        elif "w" in part or "l" in part:
            raise _wrong(_DAY, part, "of L and W only L alone is supported")
        else:
            yield from _listed(_DAY, part)


def _quartz_weekdays(text: str) -> tuple[str | None, tuple[str, ...]]:
    """Names of weekdays, and those that are of one week of the month only, as days."""
    plain: set[str] = set()
    days: list[str] = []
    for part in text.split(","):
        nth = re.fullmatch(r"([a-z]{3}|[0-9])#([0-9])", part)
        last = re.fullmatch(r"([a-z]{3}|[0-9])l", part)
        if part == "l":
            plain.add("sat")
        elif nth is not None:
            week = int(nth[2])
            if not 1 <= week <= 5:
                raise _wrong(_QUARTZ_WEEKDAY, part, "weeks are 1 to 5")
            days.append(f"{_ORDINALS[week - 1]} {_weekday(nth[1], part)}")
        elif last is not None:
            days.append(f"last {_weekday(last[1], part)}")
        else:
            plain |= {WEEKDAYS[number - 1] for number in _numbers(_QUARTZ_WEEKDAY, part)}
    return (",".join(sorted(plain)) if plain else None), tuple(days)


def _weekday(text: str, part: str) -> str:
    return WEEKDAYS[_value(_QUARTZ_WEEKDAY, text, part) - 1]


def _wrong(field: _Field, part: str, why: str) -> BadRequest:
    return BadRequest(f"Failed to parse [{part}] as {field.name}: {why}")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRequest(f"The time zone [{name}] is not known", hint="such as Europe/Berlin") from None
    return name
