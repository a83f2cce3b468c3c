"""Instants as text by a Joda pattern: the other way of `joda`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from overlord.errors import BadRequest
from overlord.model.granularity import zone_of as _zone_of
from overlord.model.instant import DAY, civil_from_days, days_from_civil, week_start
from overlord.model.period import offset_ms
from workers.ingest.transform.joda import MONTHS, WEEKDAYS, BadPattern

TimeText = Callable[[int], str]

_TOKEN = re.compile(r"'(?:[^']|'')*'?|([A-Za-z])\1*|[^A-Za-z']+")


class _Local:
    """An instant by the clocks of a zone."""

    def __init__(self, ms: int, zone: tzinfo | None) -> None:
        self.ms = ms
        self.zone = zone
        self.offset = offset_ms(ms, zone)
        self.days, self.of_day = divmod(ms + self.offset, DAY)
        self.year, self.month, self.day = civil_from_days(self.days)

    @property
    def week(self) -> tuple[int, int]:
        """Year and number of the ISO week."""
        thursday = week_start(self.days) + 3
        year = civil_from_days(thursday)[0]
        return year, (thursday - days_from_civil(year, 1, 1)) // 7 + 1

    @property
    def hour(self) -> int:
        return self.of_day // 3_600_000


def zone_of(name: str | None) -> tzinfo | None:
    """A zone by its name or offset; UTC for none.

    Raises
    ------
    BadPattern
        There is no such zone.
    """
    try:
        return None if name is None else _zone_of(name)
    except BadRequest as error:
        raise BadPattern(error.message) from None


def time_text(pattern: str, zone: tzinfo | None) -> TimeText:
    """How to write instants.

    Raises
    ------
    BadPattern
        If a letter has no meaning.
    """
    tokens = [match[0] for match in _TOKEN.finditer(pattern)]
    if not pattern or "".join(tokens) != pattern:
        raise BadPattern(pattern)
    writers = [_writer(token) for token in tokens]

    def write(ms: int) -> str:
        local = _Local(ms, zone)
        return "".join(writer(local) for writer in writers)

    return write


def _writer(token: str) -> Callable[[_Local], str]:
    if token[0] == "'":
        literal = "'" if token == "''" else token[1:].removesuffix("'").replace("''", "'")
        return lambda local: literal
    if not token[0].isalpha():
        return lambda local: token
    letter, count = token[0], len(token)
    if letter in _NUMBERS:
        return _number(_NUMBERS[letter], letter, count)
    if letter == "M":
        if count >= 3:
            return lambda local: MONTHS[local.month - 1][: None if count > 3 else 3]
        return lambda local: str(local.month).zfill(count)
    if letter == "E":
        return lambda local: WEEKDAYS[(local.days + 3) % 7][: None if count > 3 else 3]
    if letter == "a":
        return lambda local: "AM" if local.hour < 12 else "PM"
    if letter == "G":
        return lambda local: "AD" if local.year > 0 else "BC"
    if letter == "S":
        return lambda local: f"{local.of_day % 1000:03}"[:count].ljust(count, "0")
    if letter == "Z":
        return lambda local: _zone_name(local) if count > 2 else _offset(local.offset, ":" if count == 2 else "")
    if letter == "z":
        return lambda local: _short_zone(local) if count < 4 else _zone_name(local)
    raise BadPattern(f"Illegal pattern component: {token}")


_NUMBERS: dict[str, Callable[[_Local], int]] = {
    "C": lambda local: abs(local.year) // 100,
    "Y": lambda local: abs(local.year),
    "x": lambda local: local.week[0],
    "y": lambda local: local.year,
    "w": lambda local: local.week[1],
    "e": lambda local: (local.days + 3) % 7 + 1,
    "D": lambda local: local.days - days_from_civil(local.year, 1, 1) + 1,
    "d": lambda local: local.day,
    "K": lambda local: local.hour % 12,
    "h": lambda local: (local.hour - 1) % 12 + 1,
    "H": lambda local: local.hour,
    "k": lambda local: (local.hour - 1) % 24 + 1,
    "m": lambda local: local.of_day // 60_000 % 60,
    "s": lambda local: local.of_day // 1000 % 60,
}


def _number(value: Callable[[_Local], int], letter: str, count: int) -> Callable[[_Local], str]:
    if letter in "Yyx" and count == 2:
        return lambda local: f"{abs(value(local)) % 100:02}"

    def write(local: _Local) -> str:
        number = value(local)
        return ("-" if number < 0 else "") + str(abs(number)).zfill(count)

    return write


def _offset(ms: int, colon: str) -> str:
    minutes = abs(ms) // 60_000
    return f"{'-' if ms < 0 else '+'}{minutes // 60:02}{colon}{minutes % 60:02}"


def _zone_name(local: _Local) -> str:
    key = getattr(local.zone, "key", None)
    if key is not None:
        return str(key)
    return "UTC" if not local.offset and local.zone is None else _offset(local.offset, ":")


def _short_zone(local: _Local) -> str:
    if local.zone is None:
        return "UTC"
    if isinstance(local.zone, timezone):
        return _offset(local.offset, ":")
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=local.ms)
    return moment.astimezone(local.zone).tzname() or _zone_name(local)
