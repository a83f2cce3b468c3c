"""Instants at which something has to be looked at again."""

from __future__ import annotations

import heapq
import time


class Alarms:
    """One alarm a key, on the clock of this process. Not for several threads at once."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __contains__(self, key: str) -> bool:
        return key in self._due

    def set(self, key: str, in_s: float) -> None:
        """Ring for `key` after so many seconds; an earlier alarm of the key is void."""
        due = time.monotonic() + in_s
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))

    def drop(self, key: str) -> None:
        """Do not ring."""
        self._due.pop(key, None)

    def take_due(self) -> list[str]:
        """Keys whose time has come; they are set no more."""
        now, keys = time.monotonic(), []
        while self._heap and (self._heap[0][0] <= now or self._due.get(self._heap[0][1]) != self._heap[0][0]):
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                keys.append(key)
        return keys

    def left_s(self, most: float) -> float:
        """Seconds until the next one may ring, at most `most`."""
        if not self._heap:
            return most
        return max(0.0, min(most, self._heap[0][0] - time.monotonic()))
