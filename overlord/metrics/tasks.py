"""What moves, actions and publishes of tasks say in numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from overlord import metrics
from overlord.model.instant import now_ms, parse_instant

T = TypeVar("T")


def moved(event: str, row: Mapping[str, Any]) -> None:
    """A task has made a move; `row` is its row after it."""
    who = {"dataSource": row["datasource"], "taskType": row["type"]}
    if event == "locked":
        metrics.observe("task/waiting/time", _since(row["created_date"]), **who)
    elif event == "started":
        metrics.observe("task/pending/time", _since(row["queue_insertion_time"]), **who)
    elif row["state"] in ("SUCCESS", "FAILED"):
        metrics.count("task/success/count" if row["state"] == "SUCCESS" else "task/failed/count", **who)
        if row["from_state"] == "RUNNING":
            metrics.observe("task/run/time", _since(row["started_date"]), taskStatus=row["state"], **who)


@contextmanager
def acting(kind: str) -> Iterator[None]:
    """An action of a task is being performed."""
    try:
        with metrics.timed("task/action/run/time", taskActionType=kind):
            yield
    except Exception:
        metrics.count("task/action/failed/count", taskActionType=kind)
        raise


def lock_waited(wait: Callable[[], T]) -> T:
    """Wait for a lock."""
    begun = time.perf_counter()
    lock = wait()
    outcome = "gaveUp" if lock is None else "granted"
    metrics.observe("lock/wait/time", time.perf_counter() - begun, outcome=outcome)
    return lock


def published(datasource: str, sizes: Iterable[int]) -> None:
    """Segments of these sizes are in."""
    sizes = list(sizes)
    metrics.count("segment/added/count", len(sizes), dataSource=datasource)
    metrics.count("segment/added/bytes", sum(sizes), dataSource=datasource)


def _since(instant: str | None) -> float:
    return max(0.0, (now_ms() - parse_instant(instant)) / 1000) if instant else 0.0
