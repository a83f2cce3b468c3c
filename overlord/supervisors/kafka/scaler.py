"""The lag-based autoscaler: how many tasks there should be, from the lags of the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any


class LagScaler:
    """Collects lags, and decides.

    Parameters
    ----------
    config : mapping
        autoScalerConfig with all defaults.
    """

    def __init__(self, config: Mapping[str, Any], now_s: float) -> None:
        self._config = config
        length = max(1, config["lagCollectionRangeMillis"] // max(1, config["lagCollectionIntervalMillis"]))
        self._lags: deque[float] = deque(maxlen=length)
        self._next_look = now_s
        self._next_action = now_s + config["scaleActionStartDelayMillis"] / 1000
        self._last_change = float("-inf")

    def collect(self, lags: Sequence[int], now_s: float) -> None:
        """Note the lags of all partitions, if it is time to."""
        if now_s < self._next_look:
            return
        self._next_look = now_s + self._config["lagCollectionIntervalMillis"] / 1000
        how = self._config["lagAggregate"]
        total: float = sum(lags)
        if how == "MAX":
            total = max(lags, default=0)
        elif how == "AVERAGE":
            total = total / len(lags) if lags else 0
        self._lags.append(total)

    def decide(self, tasks: int, partitions: int, now_s: float) -> int:
        """How many tasks there should be now."""
        config = self._config
        if now_s < self._next_action or len(self._lags) < (self._lags.maxlen or 1):
            return tasks
        self._next_action = now_s + config["scaleActionPeriodMillis"] / 1000
        if (now_s - self._last_change) * 1000 < config["minTriggerScaleActionFrequencyMillis"]:
            return tasks
        beyond = sum(lag >= config["scaleOutThreshold"] for lag in self._lags) / len(self._lags)
        within = sum(lag <= config["scaleInThreshold"] for lag in self._lags) / len(self._lags)
        wanted = tasks
        if beyond >= config["triggerScaleOutFractionThreshold"]:
            wanted = max(tasks, min(tasks + config["scaleOutStep"], config["taskCountMax"], partitions))
        elif within >= config["triggerScaleInFractionThreshold"]:
            wanted = min(tasks, max(tasks - config["scaleInStep"], min(config["taskCountMin"], partitions), 1))
        if wanted != tasks:
            self._last_change = now_s
            self._lags.clear()
        return wanted
