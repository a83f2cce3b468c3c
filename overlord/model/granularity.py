"""Granularities: how time is cut into buckets, as Druid cuts it.

A name (`DAY`), a duration (`{"type": "duration", "duration": ms, "origin"}`), a period (`{"type": "period", "period",
"timeZone", "origin"}`), `NONE` (each millisecond) or `ALL` (one bucket, all time).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from overlord.errors import BadRequest
from overlord.model.instant import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    civil_from_days,
    days_from_civil,
    format_instant,
    parse_instant,
    week_start,
)
from overlord.model.interval import ETERNITY, Interval
from overlord.model.period import Period, from_local, offset_ms

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Instants = npt.NDArray[np.int64]

STANDARD = {
    "SECOND": "PT1S",
    "MINUTE": "PT1M",
    "FIVE_MINUTE": "PT5M",
    "TEN_MINUTE": "PT10M",
    "FIFTEEN_MINUTE": "PT15M",
    "THIRTY_MINUTE": "PT30M",
    "HOUR": "PT1H",
    "SIX_HOUR": "PT6H",
    "EIGHT_HOUR": "PT8H",
    "DAY": "P1D",
    "WEEK": "P1W",
    "MONTH": "P1M",
    "QUARTER": "P3M",
    "YEAR": "P1Y",
}
"""Druid's names of periods in UTC, finest first."""

_FIRST_MONDAY = 4 * DAY  # 1970-01-05
_UNIT_MS = {
    "years": 31_556_952 * SECOND,
    "months": 2_629_746 * SECOND,
    "weeks": 7 * DAY,
    "days": DAY,
    "hours": HOUR,
    "minutes": MINUTE,
    "millis": 1,
}


class Granularity:
    """A way of cutting time; see `parse`."""

    @staticmethod
    def parse(value: Any) -> Granularity:
        """Read a granularity from JSON.

        Raises
        ------
        BadRequest
            If there is no such granularity.
        """
        if isinstance(value, Granularity):
            return value
        if isinstance(value, str):
            return _named(value.upper(), value)
        if not isinstance(value, Mapping):
            raise BadRequest(f"Cannot construct instance of a granularity from {value!r}")
        kind = value.get("type")
        if kind in ("all", "none"):
            return ALL if kind == "all" else NONE
        if kind == "duration":
            return DurationGranularity.from_json(value)
        if kind == "period":
            return PeriodGranularity.from_json(value)
        if kind is None:
            raise BadRequest(
                "Could not resolve subtype of [simple type, class "
                "org.apache.druid.java.util.common.granularity.Granularity]: missing type id property 'type'"
            )
        raise BadRequest(
            f"Could not resolve type id '{kind}' as a subtype of "
            "`org.apache.druid.java.util.common.granularity.Granularity`: "
            "known type ids = [all, duration, none, period]"
        )

    def to_json(self) -> Any:
        """As Druid writes it again: a period that has a name is that name."""
        raise NotImplementedError

    def bucket_start(self, ms: int) -> int:
        """Start of the bucket of an instant."""
        raise NotImplementedError

    def bucket_end(self, start: int) -> int:
        """End of the bucket that starts at `start`."""
        raise NotImplementedError

    def bucket(self, ms: int) -> Interval:
        """The bucket of an instant."""
        start = self.bucket_start(ms)
        return Interval(start, self.bucket_end(start))

    def bucket_starts(self, ms: Instants) -> Instants:
        """Starts of the buckets of many instants, int64 millis in and out."""
        return _by_buckets(self, ms)

    def intervals(self, interval: Interval) -> Iterator[Interval]:
        """All buckets that overlap `interval`, in order; they may reach beyond its ends."""
        start = self.bucket_start(interval.start)
        while start < interval.end:
            end = self.bucket_end(start)
            yield Interval(start, end)
            start = end

    def around(self, interval: Interval) -> Interval:
        """The time of all buckets that overlap `interval`; of none if that is empty."""
        if interval.empty:
            return interval
        return Interval(self.bucket_start(interval.start), self.bucket(interval.end - 1).end)

    def is_aligned(self, interval: Interval) -> bool:
        """Whether `interval` is one bucket."""
        return self.bucket(interval.start) == interval

    def finer(self) -> list[Granularity]:
        """What an allocation tries in turn: this one, then each standard one that is finer, coarsest first.

        A WEEK fits into no MONTH, so it is tried only if it is what was asked.
        """
        return list(_finer(self))


@lru_cache(maxsize=256)
def _finer(given: Granularity) -> tuple[Granularity, ...]:
    zone, origin = (given.zone_name, given.origin) if isinstance(given, PeriodGranularity) else ("UTC", None)
    out: list[Granularity] = [given]
    length = _length(given)
    for name in reversed(STANDARD):
        candidate = PeriodGranularity(Period.parse(STANDARD[name]), zone, origin)
        if name != "WEEK" and candidate != given and _length(candidate) <= length:
            out.append(candidate)
    return tuple(out)


def _length(granularity: Granularity) -> int:
    bucket = granularity.bucket(0)
    return bucket.end - bucket.start


@dataclass(frozen=True)
class AllGranularity(Granularity):
    """One bucket that holds all time."""

    def to_json(self) -> Any:
        return {"type": "all"}

    def bucket_start(self, ms: int) -> int:
        return ETERNITY.start

    def bucket_end(self, start: int) -> int:
        return ETERNITY.end

    def bucket_starts(self, ms: Instants) -> Instants:
        import numpy as np

        return np.full(len(ms), ETERNITY.start, np.int64)

    def intervals(self, interval: Interval) -> Iterator[Interval]:
        """The interval itself: with given intervals, ALL leaves them as they are."""
        yield interval

    def around(self, interval: Interval) -> Interval:
        """The interval itself."""
        return interval

    def is_aligned(self, interval: Interval) -> bool:
        return False

    def __str__(self) -> str:
        return "AllGranularity"


@dataclass(frozen=True)
class NoneGranularity(Granularity):
    """A bucket for each millisecond."""

    def to_json(self) -> Any:
        return {"type": "none"}

    def bucket_start(self, ms: int) -> int:
        return ms

    def bucket_end(self, start: int) -> int:
        return start + 1

    def bucket_starts(self, ms: Instants) -> Instants:
        return ms.copy()

    def __str__(self) -> str:
        return "NoneGranularity"


@dataclass(frozen=True)
class DurationGranularity(Granularity):
    """Buckets of a fixed number of milliseconds."""

    duration: int
    origin: int = 0

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> DurationGranularity:
        try:
            duration = int(value.get("duration") or 0)
        except (TypeError, ValueError):
            raise BadRequest(f"Cannot deserialize value of type `long` from {value['duration']!r}") from None
        if duration <= 0:
            raise BadRequest(_refused("DurationGranularity", "duration should be greater than 0!"))
        return DurationGranularity(duration, (_origin(value) or 0) % duration)

    def to_json(self) -> Any:
        return {"type": "duration", "duration": self.duration, "origin": format_instant(self.origin)}

    def bucket_start(self, ms: int) -> int:
        return ms - (ms - self.origin) % self.duration

    def bucket_end(self, start: int) -> int:
        return start + self.duration

    def bucket_starts(self, ms: Instants) -> Instants:
        return _floor(ms, self.duration, self.origin)

    def __str__(self) -> str:
        return f"{{type=duration, duration={self.duration}, origin={format_instant(self.origin)}}}"


@dataclass(frozen=True)
class PeriodGranularity(Granularity):
    """Buckets of a calendar period, by the clocks of a zone, counted from an origin if one is given.

    Attributes
    ----------
    zone_name : str
        As the time zone database names it, or `UTC`, or an offset such as `+05:30`.
    origin : int or None
        Millis. None: years, months, weeks and days begin where the calendar has them, multiples of them in 1970.
    """

    period: Period
    zone_name: str = "UTC"
    origin: int | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> PeriodGranularity:
        text = value.get("period")
        if text is None:
            raise BadRequest(_refused("PeriodGranularity", "period can't be null!"))
        period = Period.parse(str(text))
        if period == Period():
            raise BadRequest(_refused("PeriodGranularity", "zero period is not acceptable in PeriodGranularity!"))
        name = str(value.get("timeZone") or "UTC")
        zone_of(name)
        return PeriodGranularity(period, "UTC" if name in ("Z", "Etc/UTC") else name, _origin(value))

    def to_json(self) -> Any:
        name = self.standard_name
        if name:
            return name
        origin = None if self.origin is None else format_instant(self.origin)
        return {"type": "period", "period": str(self.period), "timeZone": self.zone_name, "origin": origin}

    @property
    def standard_name(self) -> str | None:
        """Druid's name for it, if it has one."""
        if self.zone_name != "UTC" or self.origin is not None:
            return None
        return _names_of_periods().get(self.period)

    @property
    def zone(self) -> tzinfo | None:
        """None is UTC."""
        return zone_of(self.zone_name)

    def bucket_start(self, ms: int) -> int:
        single = _single(self.period)
        if single is None:
            return self._compound_start(ms)
        unit, count = single
        if count > 1 or self.origin is not None:
            return self._counted_start(ms, unit)
        if unit in ("hours", "minutes", "millis"):
            return ms - (ms + offset_ms(ms, self.zone)) % (_UNIT_MS[unit] * count)
        return from_local(_calendar_floor(ms + offset_ms(ms, self.zone), unit), self.zone)

    def bucket_end(self, start: int) -> int:
        return self.period.add_to(start, 1, self.zone)

    def bucket_starts(self, ms: Instants) -> Instants:
        if self.zone is not None:
            return _by_buckets(self, ms)
        length = self.period.utc_ms
        if length is not None:
            week = self.origin is None and self.period == Period(weeks=1)
            return _floor(ms, length, _FIRST_MONDAY if week else self.origin or 0)
        return _by_months(self.period, ms) if self.origin is None else _by_buckets(self, ms)

    def __str__(self) -> str:
        origin = "null" if self.origin is None else format_instant(self.origin)
        return f"{{type=period, period={self.period}, timeZone={self.zone_name}, origin={origin}}}"

    @property
    def _counted_from(self) -> int:
        return from_local(0, self.zone) if self.origin is None else self.origin

    def _counted_start(self, ms: int, unit: str) -> int:
        """Start of the bucket when buckets are counted from an origin; each is added to the origin, not to the last."""
        origin = self._counted_from
        n = (ms - origin) // (_UNIT_MS[unit] * getattr(self.period, unit))
        start = self.period.add_to(origin, n, self.zone)
        while start > ms:
            n -= 1
            start = self.period.add_to(origin, n, self.zone)
        while (later := self.period.add_to(origin, n + 1, self.zone)) <= ms:
            n, start = n + 1, later
        return start

    def _compound_start(self, ms: int) -> int:
        """Periods of several units step from the origin, one after the other (in UTC without months: by length)."""
        origin = self._counted_from
        length = self.period.utc_ms
        if self.zone is None and length is not None:
            return ms - (ms - origin) % length
        start = origin
        while start > ms:
            start = self.period.add_to(start, -1, self.zone)
        while (later := self.bucket_end(start)) <= ms:
            start = later
        return start


ALL = AllGranularity()
NONE = NoneGranularity()


@lru_cache(maxsize=64)
def _named(name: str, given: str) -> Granularity:
    if name == "ALL":
        return ALL
    if name == "NONE":
        return NONE
    if name not in STANDARD:
        raise BadRequest(
            _refused("Granularity", f"No enum constant {_PACKAGE}.GranularityType.{name}"),
            hint=f"known: {', '.join([*STANDARD, 'NONE', 'ALL'])}",
        )
    return PeriodGranularity(Period.parse(STANDARD[name]))


_PACKAGE = "org.apache.druid.java.util.common.granularity"


def _refused(simple_class: str, problem: str) -> str:
    return f"Cannot construct instance of `{_PACKAGE}.{simple_class}`, problem: {problem}"


@lru_cache(maxsize=1)
def _names_of_periods() -> dict[Period, str]:
    return {Period.parse(text): name for name, text in STANDARD.items()}


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo | None:
    """A time zone by its name or offset; None for UTC.

    Raises
    ------
    BadRequest
        There is none of that name.
    """
    if name in ("UTC", "Z", "Etc/UTC"):
        return None
    if name[:1] in "+-":
        ahead = -(parse_instant("T00:00" + name))
        return timezone(timedelta(milliseconds=ahead))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRequest(f"The datetime zone id '{name}' is not recognised") from None


def _origin(value: Mapping[str, Any]) -> int | None:
    given = value.get("origin")
    if given is None:
        return None
    return given if isinstance(given, int) else parse_instant(str(given))


def _single(period: Period) -> tuple[str, int] | None:
    """The only unit of a period and its number, or None if it has several."""
    parts = [(unit, number) for unit in _UNIT_MS if (number := getattr(period, unit))]
    if parts == [("millis", period.millis)] and period.millis % SECOND and period.millis > SECOND:
        return None  # seconds and milliseconds are two units to Joda
    return parts[0] if len(parts) == 1 else None


def _calendar_floor(local: int, unit: str) -> int:
    days = local // DAY
    if unit == "weeks":
        days = week_start(days)
    elif unit != "days":
        year, month, _ = civil_from_days(days)
        days = days_from_civil(year, 1 if unit == "years" else month, 1)
    return days * DAY


def _floor(ms: Instants, length: int, origin: int) -> Instants:
    import numpy as np

    starts: Instants = ms - np.mod(ms - np.int64(origin % length), np.int64(length))
    return starts


def _by_months(period: Period, ms: Instants) -> Instants:
    """Whole months and years in UTC, counted from 1970, without a look at each row."""
    import numpy as np

    months = period.years * 12 + period.months
    if replace(period, years=0, months=0) != Period() or (period.years and period.months):
        return _by_buckets(PeriodGranularity(period), ms)
    month = (ms // DAY).view("M8[D]").astype("M8[M]").view(np.int64)
    starts = (month - month % months).view("M8[M]").astype("M8[D]").view(np.int64) * DAY
    return np.asarray(starts, np.int64)


def _by_buckets(granularity: Granularity, ms: Instants) -> Instants:
    """One look at the calendar for each bucket that occurs, not for each row."""
    import numpy as np

    values = np.unique(ms)
    starts: list[int] = []
    at = 0
    while at < len(values):
        bucket = granularity.bucket(int(values[at]))
        starts.append(bucket.start)
        at = max(at + 1, int(np.searchsorted(values, bucket.end)))
    if not starts:
        return ms.copy()
    known: Instants = np.array(starts, np.int64)
    result: Instants = known[np.searchsorted(known, ms, side="right") - 1]
    return result
