"""Functions of instants, which are longs: milliseconds since 1970 in UTC."""

from __future__ import annotations

import functools
from datetime import tzinfo
from typing import Any

from overlord.errors import BadRequest
from overlord.model.granularity import Granularity
from overlord.model.instant import DAY, civil_from_days, days_from_civil, parse_instant, week_start
from overlord.model.period import Period, offset_ms
from workers.ingest.expressions.functions.base import function
from workers.ingest.expressions.values import ExpressionError, long, text, wrap
from workers.ingest.transform.joda import BadPattern, compile_pattern
from workers.ingest.transform.joda_text import TimeText, time_text, zone_of


@functools.lru_cache(512)
def granularity(period: str, origin: Any, zone: str | None) -> Granularity:
    """Buckets of a period.

    Raises
    ------
    ExpressionError
        There is no such period, origin or zone.
    """
    try:
        spec = {"type": "period", "period": period, "timeZone": zone or "UTC"}
        if origin is not None:
            spec["origin"] = origin if isinstance(origin, str) else _iso(origin)
        return Granularity.parse(spec)
    except BadRequest as error:
        raise ExpressionError(error.message) from None


def _iso(ms: int) -> str:
    from overlord.model.instant import format_instant

    return format_instant(ms)


@functools.lru_cache(512)
def _zone(name: str | None) -> tzinfo | None:
    return zone_of(name)


@functools.lru_cache(512)
def period_of(given: str) -> Period:
    """A period.

    Raises
    ------
    ExpressionError
        It is none.
    """
    try:
        return Period.parse(given)
    except BadRequest as error:
        raise ExpressionError(error.message) from None


@function("timestamp_floor", 2, 4)
def _floor(value: Any, period: Any, origin: Any = None, zone: Any = None) -> int | None:
    at = long(value)
    return None if at is None else wrap(granularity(str(period), origin, text(zone)).bucket_start(at))


@function("timestamp_ceil", 2, 4)
def _ceil(value: Any, period: Any, origin: Any = None, zone: Any = None) -> int | None:
    at = long(value)
    if at is None:
        return None
    buckets = granularity(str(period), origin, text(zone))
    start = buckets.bucket_start(at)
    return at if start == at else wrap(buckets.bucket_end(start))


@function("timestamp_shift", 3, 4)
def _shift(value: Any, period: Any, step: Any, zone: Any = None) -> int | None:
    at, times = long(value), long(step)
    if at is None:
        return None
    return wrap(period_of(str(period)).add_to(at, times or 0, _zone(text(zone))))


_UNITS = (
    "EPOCH", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "DOW", "ISODOW", "DOY", "WEEK", "MONTH",
    "QUARTER", "YEAR", "ISOYEAR", "DECADE", "CENTURY", "MILLENNIUM",
)  # fmt: skip


@function("timestamp_extract", 2, 3)
def _extract(value: Any, unit: Any, zone: Any = None) -> int | float | None:
    at = long(value)
    if at is None:
        return None
    return extract(at, str(unit).upper(), _zone(text(zone)))


def extract(ms: int, unit: str, zone: tzinfo | None) -> int | float:
    """One part of an instant."""
    if unit not in _UNITS:
        raise ExpressionError(f"TIMESTAMP_EXTRACT unit[{unit}] is not one of {', '.join(_UNITS)}")
    if unit == "EPOCH":
        return int(ms / 1000)
    local = ms + offset_ms(ms, zone)
    days, in_day = divmod(local, DAY)
    if unit in ("MILLISECOND", "SECOND", "MINUTE", "HOUR"):
        return _of_day(in_day, unit)
    return _of_date(days, unit)


def _of_day(in_day: int, unit: str) -> int:
    if unit == "HOUR":
        return in_day // 3_600_000
    if unit == "MINUTE":
        return in_day // 60_000 % 60
    if unit == "SECOND":
        return in_day // 1000 % 60
    return in_day % 1000


def _of_date(days: int, unit: str) -> int | float:
    year, month, day = civil_from_days(days)
    if unit in ("DOW", "ISODOW"):
        return (days + 3) % 7 + 1
    if unit == "DOY":
        return days - days_from_civil(year, 1, 1) + 1
    if unit in ("WEEK", "ISOYEAR"):
        thursday = week_start(days) + 3
        of_week = civil_from_days(thursday)[0]
        return of_week if unit == "ISOYEAR" else (thursday - days_from_civil(of_week, 1, 1)) // 7 + 1
    return {
        "DAY": day,
        "MONTH": month,
        "QUARTER": (month - 1) // 3 + 1,
        "YEAR": year,
        "DECADE": year // 10,
        "CENTURY": float(-(-year // 100)),  # Druid gives doubles here
        "MILLENNIUM": float(-(-year // 1000)),
    }[unit]


@function("timestamp_format", 1, 3)
def _format(value: Any, pattern: Any = None, zone: Any = None) -> str | None:
    at = long(value)
    return None if at is None else _formatter(text(pattern), text(zone))(at)


@functools.lru_cache(512)
def _formatter(pattern: str | None, zone: str | None) -> TimeText:
    try:
        if pattern is not None:
            return time_text(pattern, zone_of(zone))
        offset, clock = time_text("ZZ", zone_of(zone)), time_text("yyyy-MM-dd'T'HH:mm:ss.SSS", zone_of(zone))
        return lambda ms: clock(ms) + offset(ms).replace("+00:00", "Z")
    except BadPattern as error:
        raise ExpressionError(f"Illegal pattern: {error}") from None


@function("timestamp_parse", 1, 3)
def _parse(value: Any, pattern: Any = None, zone: Any = None) -> int | None:
    found = text(value)
    return None if found is None else parse_time(found, text(pattern), text(zone))


def parse_time(found: str, pattern: str | None, zone: str | None) -> int | None:
    """Millis of a text, or None if it cannot be read."""
    if pattern is not None:
        try:
            ms = compile_pattern(pattern).parse(found)
        except BadPattern as error:
            raise ExpressionError(f"Illegal pattern: {error}") from None
        named = any(letter in pattern for letter in "Zz")
    else:
        try:
            ms = parse_instant(found.strip().replace(" ", "T", 1))
        except BadRequest:
            return None
        named = found[-1:] in "Zz" or any(sign in found[10:] for sign in "+-")
    if ms is None or named or zone is None:
        return ms
    from overlord.model.period import from_local

    return from_local(ms, _zone(zone))


@function("timestamp", 1, 2)
def _timestamp(value: Any, pattern: Any = None) -> int | None:
    """Text as ISO or by a pattern."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ExpressionError("Function[timestamp] first argument should be a STRING")
    found = value
    parsed = parse_time(found, text(pattern), None)
    if parsed is None:
        raise ExpressionError(f'Invalid format: "{found}" is malformed')
    return parsed


@function("unix_timestamp", 1, 2)
def _unix_timestamp(value: Any, pattern: Any = None) -> int | None:
    ms = _timestamp(value, pattern)
    return None if ms is None else int(ms / 1000)


@function("subtract_months", 3)
def _subtract_months(left: Any, right: Any, zone: Any) -> int | None:
    a, b = long(left), long(right)
    if a is None or b is None:
        return None
    where = _zone(text(zone))
    return _months(b + offset_ms(b, where), a + offset_ms(a, where))


def _months(start: int, end: int) -> int:
    """Whole months from one local instant to another, towards zero."""
    if end < start:
        return -_months(end, start)
    year, month, _ = civil_from_days(start // DAY)
    to_year, to_month, _ = civil_from_days(end // DAY)
    count = (to_year - year) * 12 + to_month - month
    return count if Period.parse(f"P{count}M").add_to(start) <= end else count - 1
