"""Periods: calendar lengths such as `P1M` or `PT1H`, read by isodate, added and printed as Joda does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from isodate.isoduration import ISO8601_PERIOD_REGEX

from overlord.errors import BadRequest
from overlord.model.instant import DAY, HOUR, MINUTE, SECOND, civil_from_days, days_from_civil, days_in_month

_UNITS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
_FIRST_MS, _LAST_MS = -62_135_510_400_000, 253_402_214_400_000  # where datetime can still shift by a day


@dataclass(frozen=True, kw_only=True)
class Period:
    """A calendar length. Its parts are added from the greatest to the smallest."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    millis: int = 0

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> Period:
        """Read `P1Y2M3W4DT5H6M7.008S`.

        Raises
        ------
        BadRequest
            With Joda's text.
        """
        match = ISO8601_PERIOD_REGEX.fullmatch(text.upper())
        # isodate takes a sign and fractions of any unit, Joda a fraction of the seconds only
        parts = {unit: (match[unit] or "0_")[:-1] for unit in _UNITS} if match and not match["sign"] else {}
        if not parts or not text[-1].isalpha() or not all(parts[unit].isdigit() for unit in _UNITS[:-1]):
            raise BadRequest(f'Invalid format: "{text}"')
        *whole, seconds = parts.values()
        second, _, fraction = seconds.replace(",", ".").partition(".")
        millis = int(second) * SECOND + int(fraction[:3].ljust(3, "0"))
        return Period(**dict(zip(_UNITS[:-1], map(int, whole), strict=True)), millis=millis)

    def __str__(self) -> str:
        date = "".join(
            f"{n}{unit}" for n, unit in zip((self.years, self.months, self.weeks, self.days), "YMWD", strict=True) if n
        )
        seconds, milli = divmod(self.millis, SECOND)
        time = "".join(f"{n}{unit}" for n, unit in zip((self.hours, self.minutes), "HM", strict=True) if n)
        if milli:
            time += f"{seconds}.{milli:03d}S"
        elif seconds:
            time += f"{seconds}S"
        return f"P{date}{'T' + time if time else ''}" if date or time else "PT0S"

    def __mul__(self, times: int) -> Period:
        return Period(
            years=self.years * times,
            months=self.months * times,
            weeks=self.weeks * times,
            days=self.days * times,
            hours=self.hours * times,
            minutes=self.minutes * times,
            millis=self.millis * times,
        )

    @property
    def fixed_ms(self) -> int:
        """The part whose length does not depend on the calendar."""
        return self.hours * HOUR + self.minutes * MINUTE + self.millis

    @property
    def utc_ms(self) -> int | None:
        """The length in UTC, or None if it has months or years."""
        if self.years or self.months:
            return None
        return (self.weeks * 7 + self.days) * DAY + self.fixed_ms

    def add_to(self, ms: int, times: int = 1, zone: tzinfo | None = None) -> int:
        """The instant this period (`times` over) after `ms`; the calendar part goes by the clocks of `zone`."""
        period = self * times if times != 1 else self
        if not (period.years or period.months or period.weeks or period.days):
            return ms + period.fixed_ms
        local = ms + offset_ms(ms, zone)
        days, of_day = divmod(local, DAY)
        days = _add_months(_add_months(days, period.years * 12), period.months) + period.weeks * 7 + period.days
        return from_local(days * DAY + of_day, zone) + period.fixed_ms


def _add_months(days: int, months: int) -> int:
    if not months:
        return days
    year, month, day = civil_from_days(days)
    year, month0 = divmod(year * 12 + month - 1 + months, 12)
    return days_from_civil(year, month0 + 1, min(day, days_in_month(year, month0 + 1)))


def offset_ms(ms: int, zone: tzinfo | None) -> int:
    """Millis by which the clocks of `zone` are ahead of UTC at an instant."""
    if zone is None or zone is UTC:
        return 0
    inside = min(max(ms, _FIRST_MS), _LAST_MS)
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=inside)
    ahead = moment.astimezone(zone).utcoffset()
    return 0 if ahead is None else round(ahead.total_seconds() * 1000)


def from_local(local: int, zone: tzinfo | None) -> int:
    """The instant at which the clocks of `zone` show `local`; in a gap the moment after it, else the earlier one."""
    if zone is None or zone is UTC:
        return local
    early = offset_ms(local - offset_ms(local - DAY, zone), zone)
    late = offset_ms(local - offset_ms(local + DAY, zone), zone)
    candidates = [local - ahead for ahead in {early, late, offset_ms(local - DAY, zone), offset_ms(local + DAY, zone)}]
    exact = [ms for ms in candidates if ms + offset_ms(ms, zone) == local]
    if exact:
        return min(exact)
    return local - offset_ms(local - DAY, zone)
