"""Rates of the last minutes, as the moving averages of `rowStats`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

COUNTERS = ("processed", "processedBytes", "unparseable", "thrownAway", "processedWithError")
_MINUTES = {"1m": 1, "5m": 5, "15m": 15}
_TICK_S = 5.0


class Averages:
    """Exponentially weighted rates a second, as Unix load averages are: one step each five seconds."""

    def __init__(self) -> None:
        self._rates: dict[str, dict[str, float]] | None = None
        self._seen = dict.fromkeys(COUNTERS, 0)
        self._at = time.monotonic()

    def look(self, totals: Mapping[str, int]) -> None:
        """Take a step for each five seconds since the last one."""
        steps = int((time.monotonic() - self._at) / _TICK_S)
        if steps < 1:
            return
        self._at += steps * _TICK_S
        now = {name: (totals[name] - self._seen[name]) / (steps * _TICK_S) for name in COUNTERS}
        self._seen = {name: totals[name] for name in COUNTERS}
        if self._rates is None:
            self._rates = {span: dict(now) for span in _MINUTES}
            return
        for span, minutes in _MINUTES.items():
            weight = 1 - math.exp(-_TICK_S * steps / 60 / minutes)
            for name, rate in self._rates[span].items():
                self._rates[span][name] = rate + weight * (now[name] - rate)

    def shown(self) -> dict[str, dict[str, float]]:
        """Rates by span; zero before the first step."""
        return self._rates or {span: dict.fromkeys(COUNTERS, 0.0) for span in _MINUTES}
