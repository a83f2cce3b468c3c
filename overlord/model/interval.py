"""Intervals of time, half open: the start belongs to them, the end does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from overlord.errors import BadRequest
from overlord.model.instant import format_instant, parse_instant
from overlord.model.period import Period


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """Millis `start` (inclusive) to `end` (exclusive); ordered by start, then end."""

    start: int
    end: int

    @staticmethod
    def parse(text: str, *, underscore: bool = False) -> Interval:
        """Read `start/end`, `start/period` or `period/end`.

        Parameters
        ----------
        underscore : bool
            Whether `_` may stand for `/`, as in some query parameters.

        Raises
        ------
        BadRequest
            With Druid's text, such as `Invalid interval[X]: [Format requires a '/' separator: X]`.
        """
        if underscore:
            text = text.replace("_", "/")
        try:
            start, end = _ends(text)
            if end < start:
                raise BadRequest("The end instant must be greater than the start instant")
        except BadRequest as e:
            raise BadRequest(
                f"Invalid interval[{text}]: [{e.message}]",
                hint="an interval is two instants, or an instant and a period, with a slash between: "
                "2024-01-01/2024-02-01, 2024-01-01/P1M",
            ) from None
        return Interval(start, end)

    def __str__(self) -> str:
        return f"{format_instant(self.start)}/{format_instant(self.end)}"

    @property
    def empty(self) -> bool:
        """Whether it holds no instant at all."""
        return self.start == self.end

    def overlaps(self, other: Interval) -> bool:
        """Whether the two share time."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: Interval) -> bool:
        """Whether all of `other` lies inside; an empty one must start inside."""
        return self.start <= other.start < self.end and other.end <= self.end

    def contains_instant(self, ms: int) -> bool:
        """Whether the instant lies inside."""
        return self.start <= ms < self.end

    def intersect(self, other: Interval) -> Interval | None:
        """What the two share, or None."""
        if not self.overlaps(other):
            return None
        return Interval(max(self.start, other.start), min(self.end, other.end))


def _ends(text: str) -> tuple[int, int]:
    left, slash, right = text.partition("/")
    if not slash:
        raise BadRequest(f"Format requires a '/' separator: {text}")
    if not left or not right:
        raise BadRequest(f"Format invalid: {text}")
    if left[0] in "Pp":
        if right[0] in "Pp":
            raise BadRequest(f"Interval composed of two durations: {text}")
        end = parse_instant(right)
        return Period.parse(left).add_to(end, -1), end
    start = parse_instant(left)
    return start, Period.parse(right).add_to(start) if right[0] in "Pp" else parse_instant(right)


ETERNITY = Interval(-(2**62), 2**62 - 1)
"""All time, -146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z."""


def condense(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time in as few intervals as can be, in order; those that touch or overlap become one."""
    out: list[Interval] = []
    for interval in sorted(intervals):
        if out and interval.start <= out[-1].end:
            out[-1] = Interval(out[-1].start, max(out[-1].end, interval.end))
        else:
            out.append(interval)
    return out
