"""What the rows say about why a task is where it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overlord.store.db import Transaction

Row = dict[str, Any]


def facts(tx: Transaction, task_id: str) -> Row | None:
    """The stock row with ours beside it; `ours` is False where that is gone or never was."""
    return tx.one("explain.facts", id=task_id)


def events(tx: Transaction, task_id: str) -> list[Row]:
    """Every move, the oldest first."""
    return tx.all("explain.events", id=task_id)


def holders(tx: Transaction, datasource: str, ids: Iterable[str]) -> list[Row]:
    """Standing locks of some tasks, with where these are."""
    return tx.all("explain.holders", datasource=datasource, ids=list(ids))


def waiting_before(tx: Transaction, datasource: str, seq: int) -> int:
    """How many of the datasource's waiting tasks were submitted earlier."""
    row = tx.one("explain.waiting_before", datasource=datasource, seq=seq)
    return 0 if row is None else int(row["n"])


def place(tx: Transaction, inserted: str, seq: int) -> tuple[int, int]:
    """Place among those that wait for a slot, and how many these are."""
    row = tx.one("explain.place", inserted=inserted, seq=seq)
    return (0, 0) if row is None else (int(row["place"]), int(row["of"]))


def published(tx: Transaction, task_id: str) -> Row:
    """`segments`, `publishes` and `at_ms` of the last one, from the ledger."""
    row = tx.one("explain.published", id=task_id)
    assert row is not None
    return row
