"""The row of automatic compaction, changed by compare and swap as a stock Coordinator beside us does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from overlord.errors import Unavailable
from overlord.model.audit import AuditInfo
from overlord.model.compaction import NAME, CompactionConfig
from overlord.model.instant import format_instant, now_ms
from overlord.store import config

if TYPE_CHECKING:
    from overlord.store.db import Database, Transaction

_TRIES = 10


def get(tx: Transaction) -> CompactionConfig:
    """What is configured now."""
    return CompactionConfig.of(config.get(tx, NAME))


def change(db: Database, to: Callable[[CompactionConfig], CompactionConfig], audit: AuditInfo) -> bool:
    """Change the row and write down who did; what changes nothing leaves no trace.

    Parameters
    ----------
    db : Database
    to : callable
        The new configuration for the one of now; called again when another was faster. May raise to refuse.
    audit : AuditInfo

    Returns
    -------
    bool
        Whether anything changed.
    """

    def body() -> bool | None:
        with db.transaction() as tx:
            old = config.stored(tx, NAME)
            now = CompactionConfig.of(config.read(old))
            new = to(now)
            if new == now:
                return False
            return config.swap(tx, NAME, old, new.to_json(), audit, format_instant(now_ms())) or None

    for _ in range(_TRIES):
        changed = db.retry(body)
        if changed is not None:
            return changed
    raise Unavailable("The compaction configuration is being changed by others all the time. Ask again.")
