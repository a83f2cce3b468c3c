"""Reads events in the order of their ids without leaving one out.

An id is drawn before its transaction commits, so a higher one may be seen first. Behind a missing id nothing is handed
on until every transaction that could bring it has ended: then it was rolled back, and will never come.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from overlord.store import events as store

if TYPE_CHECKING:
    from overlord.store.db import Transaction

Row = dict[str, Any]

_LONGEST_GAP_S = 60.0
"""A transaction that others keep open for long does not hold up events for longer."""


class Tail:
    """Where one reader is.

    Parameters
    ----------
    after : int
        The event it has seen last.
    """

    def __init__(self, after: int) -> None:
        self.at = after
        self._gap: tuple[int, int, float] | None = None  # first missing id, first transaction that cannot bring it

    def read(self, tx: Transaction, most: int) -> list[Row]:
        """The next events, each once, in order; `at` moves on over them."""
        oldest, _ = store.horizon(tx)
        rows = store.after(tx, self.at, most)
        out = []
        for row in rows:
            if row["id"] != self.at + 1 and not self._settled(tx, oldest):
                break
            self._gap = None
            self.at = row["id"]
            out.append(row)
        return out

    def _settled(self, tx: Transaction, oldest: int) -> bool:
        """Whether the ids that are missing next will never come."""
        missing = self.at + 1
        if self._gap is None or self._gap[0] != missing:
            _, following = store.horizon(tx)
            self._gap = (missing, following, time.monotonic() + _LONGEST_GAP_S)
        _, following, deadline = self._gap
        return oldest >= following or time.monotonic() > deadline
