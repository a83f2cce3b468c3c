"""How cells of each type of Postgres are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

import msgspec
import polars as pl

from workers.ingest.formats.base import column

_DAY_MS = 86_400_000
_GREGORIAN_MS = -12_219_292_800_000
"""1582-10-15: what is before, Java counts by the calendar of Caesar."""
_INFINITIES = {"infinity": 9223372036825200000, "-infinity": -9223372036832400000}
"""What the JDBC driver makes of them."""
_INSTANT = re.compile(r"(\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(?:\+00)?( BC)?")
Read = Callable[[str, pl.Series], pl.Series]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to read cells.

    Attributes
    ----------
    read : callable
        From a name and cells (text or null, not all null) to a raw column.
    cast : str or None
        What to ask for instead of the column, which stands at `{}`.
    escaped : bool
        Whether cells may hold escapes.
    """

    read: Read
    cast: LiteralString | None = None
    escaped: bool = False


def kind_of(oid: int, modifier: int, category: str) -> Kind:
    """The way to read a type, by its number, its modifier, and its category in `pg_type`."""
    if oid in _KINDS:
        return _KINDS[oid]
    if oid == _BIT and modifier == 1:
        return Kind(read=lambda name, cells: cells == "1")
    if category == "A":
        return Kind(read=_json, cast="pg_catalog.array_to_json({})", escaped=True)
    return _TEXT


def _text(name: str, cells: pl.Series) -> pl.Series:
    return cells


def _whole(name: str, cells: pl.Series) -> pl.Series:
    return cells.cast(pl.Int64)


def _double(name: str, cells: pl.Series) -> pl.Series:
    numbers = cells.cast(pl.Float64)
    if numbers.is_finite().fill_null(True).all():
        return numbers
    return column(name, [_number(text, float) for text in cells])


def _decimal(name: str, cells: pl.Series) -> pl.Series:
    """Whole numbers where there is no point, as JSON has them."""
    points = cells.str.contains(".", literal=True)
    if points.fill_null(True).all():
        return _double(name, cells)
    whole = cells.cast(pl.Int64, strict=False)
    if whole.null_count() == cells.null_count():
        return whole
    return column(name, [_number(text, int) for text in cells])


def _number(text: str | None, whole: type[int] | type[float]) -> Any:
    """A number; what is none to JSON is a text."""
    if text is None or text.lstrip("-") in ("NaN", "Infinity"):
        return text
    return float(text) if "." in text else whole(text)


def _bool(name: str, cells: pl.Series) -> pl.Series:
    return cells == "t"


def _bytes(name: str, cells: pl.Series) -> pl.Series:
    return cells.str.strip_prefix("\\x").str.decode("hex").bin.encode("base64")


def _instant(name: str, cells: pl.Series) -> pl.Series:
    return _millis(
        cells, cells.str.strip_suffix("+00").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    )


def _date(name: str, cells: pl.Series) -> pl.Series:
    return _millis(cells, cells.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")))


def _millis(cells: pl.Series, read: pl.Series) -> pl.Series:
    """Millis of what was read; cells of other days are read one by one."""
    millis = read.to_physical() // 1000
    sound = (millis >= _GREGORIAN_MS) | cells.is_null()
    if sound.fill_null(False).all():
        return millis
    return pl.Series([None if text is None else millis_of(text) for text in cells], dtype=pl.Int64)


def millis_of(text: str) -> int:
    """Millis of an instant or date, such as Java's calendar has them: in its first days that of Caesar."""
    if text in _INFINITIES:
        return _INFINITIES[text]
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no instant of Postgres")
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if match[8]:
        year = 1 - year
    hours, minutes, seconds = (int(part or 0) for part in match.group(4, 5, 6))
    fraction = int((match[7] or "").ljust(6, "0")) // 1000
    return day_of(year, month, day) * _DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction


def day_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; before 1582-10-15 by the calendar of Caesar."""
    shifted = year - (month <= 2)
    in_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = 365 * shifted + shifted // 4 + in_year
    if (year, month, day) < (1582, 10, 15):
        return days - 719_470
    return days - shifted // 100 + shifted // 400 - 719_468


def _clock(name: str, cells: pl.Series) -> pl.Series:
    """Hours, minutes and seconds, as Java prints a time of day."""
    return cells.str.slice(0, 8).str.replace("^24", "00")


def _json(name: str, cells: pl.Series) -> pl.Series:
    decode = msgspec.json.decode
    return column(name, [None if text is None else decode(text) for text in cells])


_BIT = 1560
_TEXT = Kind(read=_text, escaped=True)
_KINDS = {
    16: Kind(read=_bool),
    17: Kind(read=_bytes, escaped=True),
    **dict.fromkeys((20, 21, 23, 26), Kind(read=_whole)),
    **dict.fromkeys((700, 701), Kind(read=_double)),
    790: Kind(read=_double, cast="{}::pg_catalog.numeric"),
    1700: Kind(read=_decimal),
    1082: Kind(read=_date),
    **dict.fromkeys((1114, 1184), Kind(read=_instant)),
    1083: Kind(read=_clock),
    1266: Kind(read=_clock, cast="pg_catalog.timezone('UTC', {})"),
    **dict.fromkeys((114, 3802), Kind(read=_json, escaped=True)),
}
