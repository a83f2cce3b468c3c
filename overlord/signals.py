"""Wake-ups inside one process: who waits for a datasource's locks, or for a task's end, waits here.

Nothing is decided by a signal: a woken waiter asks Postgres again. A lost wake-up costs at most the
waiter's own time-out.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Signals:
    """Counters by key, and one condition that all waiters share."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, int] = defaultdict(int)
        self._listeners: list[tuple[str, Callable[[str], None]]] = []

    def listen(self, prefix: str, tell: Callable[[str], None]) -> None:
        """Call `tell(key)`, which must be quick, at each notify of a key that begins with `prefix`."""
        self._listeners.append((prefix, tell))

    def notify(self, key: str) -> None:
        """Wake everybody who waits for `key`."""
        for prefix, tell in self._listeners:
            if key.startswith(prefix):
                tell(key)
        with self._changed:
            if self._waiting.get(key):
                self._counts[key] += 1
                self._changed.notify_all()

    def poll(self, key: str, ask: Callable[[], T | None], timeout_s: float, every_s: float = 5.0) -> T | None:
        """Ask until there is an answer: at once, whenever `key` is notified, and every `every_s` seconds.

        Returns
        -------
        T or None
            The first answer that is not None, or None after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._waiting[key] += 1
        try:
            while True:
                with self._changed:
                    seen = self._counts[key]
                answer = ask()
                left = deadline - time.monotonic()
                if answer is not None or left <= 0:
                    return answer
                with self._changed:
                    self._changed.wait_for(lambda: self._counts[key] != seen, min(left, every_s))  # noqa: B023
        finally:
            with self._changed:
                self._waiting[key] -= 1
                if not self._waiting[key]:
                    del self._waiting[key]
                    self._counts.pop(key, None)
