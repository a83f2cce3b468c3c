"""Segments marked used and unused, and pending ids deleted, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.model.timeline import overshadowed

if TYPE_CHECKING:
    from overlord.store.db import Transaction

FIRST = parse_instant("0000-01-01")
LAST = parse_instant("9999-12-31T23:59:59.999Z")


def _bounds(interval: Interval | None) -> dict[str, str | None]:
    """Ends as stored texts; None beyond the years that compare as texts, where no end binds."""
    if interval is None:
        return {"start": None, "end": None}
    return {
        "start": format_instant(interval.start) if interval.start >= FIRST else None,
        "end": format_instant(interval.end) if interval.end <= LAST else None,
    }


def delete_pending_segments(tx: Transaction, datasource: str, interval: Interval) -> int:
    """Delete what was created within an interval of wall-clock time."""
    start, end = format_instant(max(interval.start, FIRST)), format_instant(min(interval.end, LAST))
    return tx.run("datasources.delete_pending", datasource=datasource, start=start, end=end)


def mark_unused(
    tx: Transaction, datasource: str, now: str, interval: Interval | None = None, versions: Sequence[str] | None = None
) -> int:
    """Mark all segments unused, or those that lie inside an interval, and of these versions."""
    given = None if versions is None else list(versions)
    return tx.run("datasources.mark_unused", datasource=datasource, now=now, versions=given, **_bounds(interval))


def mark_unused_ids(tx: Transaction, datasource: str, now: str, ids: Sequence[str]) -> int:
    """Mark segments unused; unknown ids are passed over."""
    return tx.run("datasources.mark_unused_ids", datasource=datasource, now=now, ids=list(ids))


def mark_used(
    tx: Transaction, datasource: str, now: str, interval: Interval | None = None, versions: Sequence[str] | None = None
) -> int:
    """Mark used what is unused, inside the interval, and not overshadowed by used or by equally marked segments.

    With `versions` only these count, on both sides.
    """
    given = None if versions is None else list(versions)
    rows = tx.all("datasources.unused_inside", datasource=datasource, versions=given, **_bounds(interval))
    return _mark_visible(tx, datasource, now, _segments(rows), given)


def mark_used_ids(tx: Transaction, datasource: str, now: str, ids: Sequence[str]) -> tuple[int, list[str]]:
    """Mark segments used unless overshadowed. Returns the count and the ids that are unknown; then nothing is done."""
    rows = tx.all("datasources.by_ids", datasource=datasource, ids=list(ids))
    unknown = sorted(set(ids) - {row["id"] for row in rows})
    if unknown:
        return 0, unknown
    return _mark_visible(tx, datasource, now, _segments([row for row in rows if not row["used"]]), None), []


def touch(tx: Transaction, datasource: str, segment_id: str, now: str, *, used: bool) -> int:
    """Mark one segment; 1 if it exists, whether or not it was so already."""
    return tx.run("datasources.touch", datasource=datasource, id=segment_id, now=now, used=used)


def _mark_visible(
    tx: Transaction, datasource: str, now: str, wanted: list[DataSegment], versions: list[str] | None
) -> int:
    if not wanted:
        return 0
    used = _segments(tx.all("datasources.used", datasource=datasource, versions=versions))
    hidden = {str(name) for name in overshadowed(used + wanted)}
    ids = [name for segment in wanted if (name := str(segment.id)) not in hidden]
    return tx.run("datasources.mark_used_ids", datasource=datasource, now=now, ids=ids)


def used(tx: Transaction, datasource: str) -> list[DataSegment]:
    """All used segments."""
    return _segments(tx.all("datasources.used", datasource=datasource, versions=None))


def _segments(rows: Sequence[dict[str, Any]]) -> list[DataSegment]:
    return [DataSegment.from_json(orjson.loads(row["payload"])) for row in rows]
