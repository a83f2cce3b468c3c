"""Joda-Time patterns (`dd/MMM/yyyy:HH:mm:ss Z`) as parsers."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from overlord.model.instant import DAY, HOUR, MINUTE, SECOND, days_from_civil, days_in_month, is_leap, week_start
from workers.ingest.transform.layout import Layout

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

_TOKEN = re.compile(r"'(?:[^']|'')*'?|([A-Za-z])\1*|[^A-Za-z']+")
_NUMERIC = "CYyxweDdKhHkmsS"
_FIXED = {"y": 4, "M": 2, "d": 2, "H": 2, "m": 2, "s": 2}
_OFFSET = re.compile(r"Z|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,3}))?)?)?", re.ASCII | re.IGNORECASE)


class BadPattern(ValueError):
    """The pattern itself cannot be understood."""


@dataclass
class _Fields:
    """What has been read of one text."""

    values: dict[str, int] = field(default_factory=dict)
    zone: zoneinfo.ZoneInfo | None = None
    offset_ms: int | None = None


Reader = Callable[[str, int, _Fields], int]  # position after what was read, or -1


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A compiled pattern.

    Attributes
    ----------
    readers : tuple of callables
        One a token.
    layout : Layout or None
        For patterns of year, month, day, time and literals, all of the usual width.
    """

    readers: tuple[Reader, ...]
    layout: Layout | None

    def parse(self, text: str) -> int | None:
        """Millis, or None for a text that does not fit."""
        fields, at = _Fields(), 0
        for reader in self.readers:
            at = reader(text, at, fields)
            if at < 0:
                return None
        return _instant(fields) if at == len(text) else None


def compile_pattern(pattern: str) -> Pattern:
    """Understand a pattern.

    Raises
    ------
    BadPattern
        If a letter has no meaning.
    """
    tokens = [match[0] for match in _TOKEN.finditer(pattern)]
    if not pattern or "".join(tokens) != pattern:
        raise BadPattern(pattern)
    readers = [_reader(token, i + 1 < len(tokens) and _is_numeric(tokens[i + 1])) for i, token in enumerate(tokens)]
    return Pattern(readers=tuple(readers), layout=_layout(tokens))


def _is_numeric(token: str) -> bool:
    return token[0] in _NUMERIC or (token[0] == "M" and len(token) <= 2)


def _layout(tokens: list[str]) -> Layout | None:
    template, fields = "", []
    for token in tokens:
        letter = token[0]
        if letter == "S" or _FIXED.get(letter) == len(token):
            fields.append((letter, len(template), len(template) + len(token)))
            template += "0" * len(token)
        elif letter.isalpha():
            return None
        else:
            template += _literal_text(token)
    letters = [letter for letter, _, _ in fields]
    usual = letters == [letter for letter in letters if letters.count(letter) == 1] and "y" in letters
    plain = template.isascii() and template.count("0") == sum(end - start for _, start, end in fields)
    return Layout(template=template.encode(), fields=tuple(fields)) if usual and plain else None


def _literal_text(token: str) -> str:
    if not token.startswith("'"):
        return token
    if token == "''":
        return "'"
    if len(token) < 2 or not token.endswith("'"):
        raise BadPattern(token)
    return token[1:-1].replace("''", "'")


def _reader(token: str, before_number: bool) -> Reader:
    letter, count = token[0], len(token)
    if not letter.isascii() or not letter.isalpha():
        return _literal(_literal_text(token))
    if letter in "Yyx":
        if count == 2:
            return _two_digit_year("y" if letter != "x" else "x")
        return _number("x" if letter == "x" else "y", count if before_number else 9, signed=True)
    if letter == "M":
        return _number("M", 2) if count <= 2 else _names("M", MONTHS)
    if letter == "E":
        return _names("e", WEEKDAYS)
    if letter == "S":
        return _fraction(count)
    if letter in _NUMERIC:
        most = {"D": 3, "e": 1, "C": 9}.get(letter, 2)
        return _number(letter, max(most, count) if not before_number else max(count, most if count < 2 else count))
    if letter == "a":
        return _names("a", ["AM", "PM"], first=0)
    if letter == "G":
        return _names("G", ["BC", "AD"], first=0)
    if letter == "Z":
        return _zone_id if count >= 3 else _offset
    if letter == "z":
        return _zone_name
    raise BadPattern(token)


def _literal(expected: str) -> Reader:
    folded = expected.casefold()

    def read(text: str, at: int, fields: _Fields) -> int:
        end = at + len(expected)
        return end if text[at:end].casefold() == folded else -1

    return read


def _number(letter: str, most: int, *, signed: bool = False) -> Reader:
    digits = re.compile(("[-+]?" if signed else "") + rf"\d{{1,{most}}}", re.ASCII)

    def read(text: str, at: int, fields: _Fields) -> int:
        match = digits.match(text, at)
        if match is None:
            return -1
        fields.values[letter] = int(match[0])
        return match.end()

    return read


def _two_digit_year(letter: str) -> Reader:
    """Two digits lie between 80 years ago and 19 years ahead; any other number of digits is the year itself."""
    plain = _number(letter, 9, signed=True)

    def read(text: str, at: int, fields: _Fields) -> int:
        end = plain(text, at, fields)
        if end == at + 2 and text[at:end].isdigit():
            first = datetime.now(UTC).year - 80
            year = fields.values[letter]
            fields.values[letter] = first + (year - first) % 100
        return end

    return read


def _fraction(count: int) -> Reader:
    digits = re.compile(rf"\d{{1,{count}}}", re.ASCII)

    def read(text: str, at: int, fields: _Fields) -> int:
        match = digits.match(text, at)
        if match is None:
            return -1
        fields.values["S"] = int(match[0][:3].ljust(3, "0"))
        return match.end()

    return read


def _names(letter: str, names: list[str], *, first: int = 1) -> Reader:
    """Full names or their first three letters, in any case."""
    known = {name.lower(): number for number, name in enumerate(names, first)}
    known.update({name[:3].lower(): number for number, name in enumerate(names, first)})
    word = re.compile("|".join(sorted(known, key=len, reverse=True)), re.IGNORECASE)

    def read(text: str, at: int, fields: _Fields) -> int:
        match = word.match(text, at)
        if match is None:
            return -1
        fields.values[letter] = known[match[0].lower()]
        return match.end()

    return read


def _offset(text: str, at: int, fields: _Fields) -> int:
    match = _OFFSET.match(text, at)
    if match is None:
        return -1
    hours, minutes, seconds = (int(part or 0) for part in match.group(2, 3, 4))
    if hours > 23 or minutes > 59 or seconds > 59:
        return -1
    millis = hours * HOUR + minutes * MINUTE + seconds * SECOND + int((match[5] or "0").ljust(3, "0"))
    fields.offset_ms = -millis if match[1] == "-" else millis
    return match.end()


def _zone_id(text: str, at: int, fields: _Fields) -> int:
    match = re.compile(r"[A-Za-z][A-Za-z0-9_+\-/]*").match(text, at)
    if match is None:
        return _offset(text, at, fields)
    name = match[0]
    while name:
        try:
            fields.zone = zoneinfo.ZoneInfo(name)
            return at + len(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            name = name[:-1]
    return -1


def _zone_name(text: str, at: int, fields: _Fields) -> int:
    """The abbreviations Joda reads by default."""
    match = re.compile("UTC|UT|GMT|EST|EDT|CST|CDT|MST|MDT|PST|PDT").match(text, at)
    if match is None:
        return -1
    zones = {"E": "America/New_York", "C": "America/Chicago", "M": "America/Denver", "P": "America/Los_Angeles"}
    fields.zone = zoneinfo.ZoneInfo("UTC" if match[0][-1] != "T" or match[0] in ("UT", "GMT") else zones[match[0][0]])
    return match.end()


def _instant(fields: _Fields) -> int | None:
    days = _days(fields.values)
    of_day = _of_day(fields.values)
    if days is None or of_day is None:
        return None
    local = days * DAY + of_day
    if fields.offset_ms is not None:
        return local - fields.offset_ms
    if fields.zone is not None:
        return local - _offset_of(fields.zone, local)
    return local


def _offset_of(zone: zoneinfo.ZoneInfo, local_ms: int) -> int:
    try:
        offset = (datetime(1970, 1, 1) + timedelta(milliseconds=local_ms)).replace(tzinfo=zone).utcoffset()
    except OverflowError:
        offset = None
    return 0 if offset is None else int(offset.total_seconds() * 1000)


def _days(values: dict[str, int]) -> int | None:
    """Days since 1970-01-01; a field that is not there is that of 1970-01-01 (2000 if only month or day are given)."""
    if "x" in values or "w" in values:
        return _week_days(values)
    default = 2000 if "y" not in values and ("M" in values or "d" in values) else 1970
    year = values.get("y", default)
    if values.get("G") == 0:
        year = 1 - year
    if "D" in values:
        return days_from_civil(year, 1, 1) + values["D"] - 1 if 1 <= values["D"] <= 365 + is_leap(year) else None
    month, day = values.get("M", 1), values.get("d", 1)
    if not 1 <= month <= 12 or not 1 <= day <= days_in_month(year, month):
        return None
    return days_from_civil(year, month, day)


def _week_days(values: dict[str, int]) -> int | None:
    year, week, day = values.get("x", values.get("y", 1970)), values.get("w", 1), values.get("e", 1)
    first = week_start(days_from_civil(year, 1, 4))
    weeks = (week_start(days_from_civil(year + 1, 1, 4)) - first) // 7
    return first + (week - 1) * 7 + day - 1 if 1 <= week <= weeks and 1 <= day <= 7 else None


def _of_day(values: dict[str, int]) -> int | None:
    """Millis since midnight."""
    limits = {"H": (0, 23), "k": (1, 24), "K": (0, 11), "h": (1, 12), "m": (0, 59), "s": (0, 59)}
    for letter, (low, high) in limits.items():
        if letter in values and not low <= values[letter] <= high:
            return None
    if "H" in values or "k" in values:
        hour = values.get("H", values.get("k", 0) % 24)
    else:
        hour = values.get("K", values.get("h", 0) % 12) + 12 * values.get("a", 0)
    return hour * HOUR + values.get("m", 0) * MINUTE + values.get("s", 0) * SECOND + values.get("S", 0)
