"""Numbers of this process for Prometheus: `observe`, `count`, and the page.

A metric is spoken of by its name in `catalog`, its labels by theirs::

    metrics.observe("task/action/run/time", seconds, taskActionType="lockAcquire")

A label whose values come from outside keeps the first `MOST_VALUES` of them; what comes later is counted as `other`,
so the page cannot grow without end.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from overlord.metrics.catalog import COUNT, METRICS, TIME

__all__ = ["CONTENT_TYPE_LATEST", "METRICS", "OTHER", "Gauge", "Meters", "count", "observe", "page", "timed"]

MOST_VALUES = 200
OTHER = "other"

Gauge = tuple[str, Mapping[str, str], float]  # name, labels, value


class Meters:
    """Histograms and counters of the catalog, in a registry of their own."""

    def __init__(self, most_values: int = MOST_VALUES) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._most_values = most_values
        self._known: defaultdict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()
        self._times = {
            name: Histogram(metric.exposed, metric.help, metric.labels, buckets=metric.buckets, registry=self._registry)
            for name, metric in METRICS.items()
            if metric.kind == TIME
        }
        self._counts = {
            name: Counter(metric.exposed, metric.help, metric.labels, registry=self._registry)
            for name, metric in METRICS.items()
            if metric.kind == COUNT
        }

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        """Note a time."""
        self._times[name].labels(**self._bounded(labels)).observe(seconds)

    def count(self, name: str, more: float = 1, /, **labels: str) -> None:
        """Count on."""
        self._counts[name].labels(**self._bounded(labels)).inc(more)

    def page(self, gauges: Iterable[Gauge]) -> bytes:
        """The page in Prometheus's text format, with values that were read just now."""
        now = CollectorRegistry(auto_describe=False)
        now.register(_Now(self._within_bounds(gauges)))
        return generate_latest(self._registry) + generate_latest(now)

    def _within_bounds(self, gauges: Iterable[Gauge]) -> list[Gauge]:
        """The same with bounded labels; what falls together as `other` is added up."""
        sums: defaultdict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
        for name, labels, value in gauges:
            sums[name, tuple(sorted(self._bounded(labels).items()))] += value
        return [(name, dict(labels), value) for (name, labels), value in sums.items()]

    def _bounded(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {label: value if self._is_known(label, value) else OTHER for label, value in labels.items()}

    def _is_known(self, label: str, value: str) -> bool:
        known = self._known[label]
        if value in known:
            return True
        with self._lock:
            if len(known) < self._most_values:
                known.add(value)
            return value in known


class _Now(Collector):
    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for name, labels, value in self._gauges:
            metric = METRICS[name]
            family = families.setdefault(name, GaugeMetricFamily(metric.exposed, metric.help, labels=metric.labels))
            family.add_metric([labels[label] for label in metric.labels], value)
        yield from families.values()


_meters = Meters()
observe, count, page = _meters.observe, _meters.count, _meters.page


@contextmanager
def timed(name: str, **labels: Any) -> Iterator[None]:
    """Observe how long the block takes, whether or not it raises."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        observe(name, time.perf_counter() - begun, **labels)
