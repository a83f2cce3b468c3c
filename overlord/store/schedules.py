"""Runs of scheduled supervisors: each due time once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from overlord.model.instant import parse_instant

if TYPE_CHECKING:
    from overlord.store.db import Transaction

Row = dict[str, Any]


def claim(tx: Transaction, supervisor_id: str, due_ms: int, task_id: str, missed: int, epoch: int) -> bool:
    """Take a due time; False when it is taken, or when `epoch` leads no more."""
    row = tx.one("schedules.claim", id=supervisor_id, due_ms=due_ms, task_id=task_id, missed=missed, epoch=epoch)
    return row is not None


def submitted(tx: Transaction, supervisor_id: str, due_ms: int, at: str, refused: str | None) -> None:
    """Write down that a run's task was submitted, or why there is none."""
    tx.run("schedules.submitted", id=supervisor_id, due_ms=due_ms, at=at, refused=refused)


def claimed(tx: Transaction, supervisor_id: str) -> list[tuple[int, str]]:
    """Due time and task of runs that were claimed and perhaps not submitted."""
    return [(row["due_ms"], row["task_id"]) for row in tx.all("schedules.claimed", id=supervisor_id)]


def since(tx: Transaction, supervisor_id: str) -> int:
    """From when on due times count: after the last that was claimed, and not before the spec was written."""
    row = tx.one("schedules.since", id=supervisor_id)
    assert row is not None
    written = parse_instant(row["written"]) if row["written"] else 0
    return max(row["last_due"] or 0, written)


def unfinished(tx: Transaction, supervisor_id: str) -> str | None:
    """A task of an earlier run that has not ended."""
    row = tx.one("schedules.unfinished", id=supervisor_id)
    return None if row is None else str(row["id"])


def totals(tx: Transaction, supervisor_id: str) -> Row:
    """`submitted`, `successful`, `failed` and `last_submitted`."""
    row = tx.one("schedules.totals", id=supervisor_id)
    assert row is not None
    return row


def recent(tx: Transaction, supervisor_id: str, most: int) -> list[Row]:
    """The last runs, newest first."""
    return tx.all("schedules.recent", id=supervisor_id, most=most)
