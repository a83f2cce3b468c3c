"""What allocations leave behind goes with the last task that could use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overlord.store.db import Transaction


def task_ended(tx: Transaction, task_id: str, group_id: str) -> None:
    """Delete pending segments that no active task can use any more, and notes of upgrades; in the end's transaction."""
    tx.run("cleanup.pending", task_id=task_id, group_id=group_id)
    tx.run("cleanup.upgrades", task_id=task_id)
