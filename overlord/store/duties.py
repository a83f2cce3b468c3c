"""What clean-up duties look at and delete; every deletion is bounded and says how much went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from psycopg.types.json import Jsonb

from overlord.model.instant import format_instant
from overlord.model.interval import Interval
from overlord.store.datasources import FIRST, LAST

if TYPE_CHECKING:
    from overlord.store.db import Transaction

BATCH = 1000


def last_runs(tx: Transaction) -> dict[str, dict[str, Any]]:
    """The last run of each duty."""
    return {row["name"]: row for row in tx.all("duties.last_runs")}


def ran(tx: Transaction, name: str, at_ms: int, duration_ms: int, counts: dict[str, Any], error: str | None) -> None:
    """Note a run."""
    tx.run("duties.ran", name=name, at=_timestamp(at_ms), duration_ms=duration_ms, counts=Jsonb(counts), error=error)


def oldest_active(tx: Transaction) -> str | None:
    """When the oldest unfinished task of any datasource was created."""
    row = tx.one("duties.oldest_active")
    return None if row is None else row["created"]


def newest_ended(tx: Transaction, since_ms: int) -> str | None:
    """When the newest ended task since then was created."""
    row = tx.one("duties.newest_ended", since=format_instant(since_ms))
    return None if row is None else row["created"]


def datasources(tx: Transaction, what: str) -> list[str]:
    """Those with "used_segments", "segments" or "pending"."""
    return sorted(row["datasource"] for row in tx.all(f"duties.datasources_with_{what}"))


def count(tx: Transaction, what: str, **where: Any) -> int:
    """How many rows a deletion would find."""
    row = tx.one(f"duties.count_{what}", **where)
    return int(row["n"]) if row is not None else 0


def delete(tx: Transaction, what: str, **where: Any) -> int:
    """Delete a batch of rows."""
    return tx.run(f"duties.delete_{what}", most=BATCH, **where)


def created_within(interval: Interval) -> dict[str, str]:
    """Bounds of a time of creation, as they compare with stored texts."""
    start, end = max(interval.start, FIRST), min(max(interval.end, FIRST), LAST)
    return {"start": format_instant(start), "end": format_instant(end)}


def latest_supervisors(tx: Transaction) -> list[tuple[str, int, Any]]:
    """Spec id, number of the last version, and that version."""
    return [
        (row["spec_id"], row["id"], orjson.loads(bytes(row["payload"]))) for row in tx.all("duties.latest_supervisors")
    ]


def old_datasource_metadata(tx: Transaction, before: str, kept: Sequence[str]) -> list[str]:
    """Datasources whose commit metadata nothing needs."""
    rows = tx.all("duties.old_datasource_metadata", before=before, kept=list(kept))
    return [row["datasource"] for row in rows]


def delete_datasource_metadata(tx: Transaction, datasource: str, before: str) -> int:
    """Delete it, unless a task has begun meanwhile."""
    return tx.run("duties.delete_datasource_metadata", datasource=datasource, before=before)


def active_with_prefix(tx: Transaction, prefix: str) -> list[tuple[str, str]]:
    """Id and datasource of unfinished tasks whose ids begin so, a stock Overlord's too."""
    return [(row["id"], row["datasource"]) for row in tx.all("duties.active_coordinator_tasks", prefix=prefix)]


def unused_intervals(
    tx: Transaction, datasource: str, *, start_ms: int | None, end_ms: int | None, updated_ms: int, most: int
) -> list[Interval]:
    """Intervals of unused segments in order of time, one for each segment."""
    rows = tx.all(
        "duties.unused_intervals",
        datasource=datasource,
        start=None if start_ms is None else format_instant(start_ms),
        end=None if end_ms is None else format_instant(end_ms),
        updated=format_instant(updated_ms),
        most=most,
    )
    return [Interval.parse(f"{row['start']}/{row['end']}") for row in rows]


def delete_tasks(tx: Transaction, before: str) -> list[str]:
    """Delete a batch of ended tasks with all that we know of them; gives their ids."""
    return [row["id"] for row in tx.all("duties.delete_tasks", before=before, most=BATCH)]


def delete_orphans(tx: Transaction, before_ms: int) -> int:
    """Delete a batch of our rows about tasks that are gone; the fullest of its batches."""
    where = {"before_at": _timestamp(before_ms)}
    return max(
        delete(tx, "orphans", before=format_instant(before_ms)),
        delete(tx, "orphan_publishes", **where),
        delete(tx, "orphan_events", **where),
    )


def count_supervisor_history(tx: Transaction, before_ms: int) -> int:
    """How many rows `delete_supervisor_history` would find."""
    return count(tx, "supervisor_history", before_at=_timestamp(before_ms))


def delete_supervisor_history(tx: Transaction, before_ms: int) -> int:
    """Delete a batch of old events of supervisors, of their undelivered copies, and of runs of schedules."""
    where = {"before_at": _timestamp(before_ms)}
    return sum(delete(tx, what, **where) for what in ("supervisor_events", "deliveries", "runs"))


def _timestamp(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
