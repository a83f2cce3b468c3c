"""What a run puts in place of `${interval:P1D}` and its like in a task's texts.

| text | becomes |
|---|---|
| `${interval:P1D}` | the last whole day before the due time, as an interval |
| `${start:P1D}`, `${end:P1D}` | its bounds |
| `${due}` | the due time |

Each may end in a format of strftime, as in `${start:PT1H:%Y/%m/%d/%H}`. Chunks begin where Druid's granularity of that
period begins, on the clocks of the schedule's zone. Other `${...}` stays as it is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from overlord.errors import BadRequest
from overlord.model.granularity import Granularity
from overlord.model.instant import format_instant
from overlord.model.interval import Interval

_PLACE = re.compile(r"\$\{(?:(?P<part>interval|start|end):(?P<period>[^:}]+)|(?P<due>due))(?::(?P<format>[^}]+))?\}")


def fill(value: Any, due_ms: int, zone: str) -> Any:
    """A JSON value with every place filled.

    Raises
    ------
    BadRequest
        A period cannot be read.
    """
    if isinstance(value, str):
        return _PLACE.sub(lambda found: _filled(found, due_ms, zone), value)
    if isinstance(value, list):
        return [fill(each, due_ms, zone) for each in value]
    if isinstance(value, dict):
        return {name: fill(each, due_ms, zone) for name, each in value.items()}
    return value


def chunk(period: str, due_ms: int, zone: str) -> Interval:
    """The last whole time chunk that has ended at `due_ms`."""
    granularity = Granularity.parse({"type": "period", "period": period, "timeZone": zone})
    end = granularity.bucket_start(due_ms)
    return Interval(granularity.bucket_start(end - 1), end)


def _filled(found: re.Match[str], due_ms: int, zone: str) -> str:
    if found["due"]:
        return _instant(due_ms, found["format"], zone)
    try:
        interval = chunk(found["period"], due_ms, zone)
    except BadRequest as error:
        raise BadRequest(f"Cannot read the period of [{found[0]}]: {error.message}", where="spec") from None
    if found["part"] == "start":
        return _instant(interval.start, found["format"], zone)
    if found["part"] == "end":
        return _instant(interval.end, found["format"], zone)
    if found["format"]:
        return "/".join(_instant(ms, found["format"], zone) for ms in (interval.start, interval.end))
    return str(interval)


def _instant(ms: int, pattern: str | None, zone: str) -> str:
    if pattern is None:
        return format_instant(ms)
    from zoneinfo import ZoneInfo

    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)
    return moment.astimezone(ZoneInfo(zone)).strftime(pattern)
