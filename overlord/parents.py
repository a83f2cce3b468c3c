"""Tasks that wait for sub-tasks must leave slots for them, or all would wait for ever.

At most all slots but one go to parents, and to index_parallel tasks at all no more than
`druid.indexer.runner.parallelIndexTaskSlotRatio` of the slots, as Druid has it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from overlord.model.subtasks import is_parent
from overlord.store import tasks as store

if TYPE_CHECKING:
    from overlord.model.task import Task
    from overlord.store.db import Database

RATIO = "druid.indexer.runner.parallelIndexTaskSlotRatio"
PARALLEL = "index_parallel"
_OTHER = (False, False)


@dataclass(frozen=True)
class Bounds:
    """Whether an index_parallel task may start at all, and whether one that waits for sub-tasks may."""

    parallel: bool
    parents: bool


class Parents:
    """Counts those that run. Of a task it knows what its stored payload says, which never changes."""

    def __init__(self, settings: Mapping[str, Any], db: Database) -> None:
        self._ratio = float(settings[RATIO])
        self._db = db
        self._kinds: dict[str, tuple[bool, bool]] = {}  # of index_parallel, a parent
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def submitted(self, task: Task) -> None:
        """A new task; so its payload need not be read again."""
        if task.type == PARALLEL:
            self._kinds[task.id] = (True, is_parent(task.payload))
        else:
            self._kinds[task.id] = _OTHER

    def bounds(self, capacity: int) -> Bounds:
        """What may be started now, if one of `capacity` slots is free."""
        with self._lock:
            kinds = [self._kinds[other] for other in self._running if other in self._kinds]
        most = max(1, min(capacity, int(self._ratio * capacity)))
        return Bounds(
            parallel=len(kinds) < most, parents=sum(is_parent for _, is_parent in kinds) < max(1, capacity - 1)
        )

    def may_start(self, task_id: str, bounds: Bounds) -> bool:
        """Whether a slot may be given to the task."""
        parallel, parent = self._kind(task_id)
        return not parallel or (bounds.parallel and (bounds.parents or not parent))

    def running(self, task_id: str) -> None:
        """A task has got its slot, or was found in it."""
        if self._kind(task_id)[0]:
            with self._lock:
                self._running.add(task_id)

    def waits(self, task_id: str) -> None:
        """It has no slot after all."""
        with self._lock:
            self._running.discard(task_id)

    def forget(self, task_id: str) -> None:
        """Its slot is free."""
        with self._lock:
            self._running.discard(task_id)
            self._kinds.pop(task_id, None)

    def clear(self) -> None:
        """Nothing runs that we know of."""
        with self._lock:
            self._running.clear()

    def _kind(self, task_id: str) -> tuple[bool, bool]:
        known = self._kinds.get(task_id)
        if known is None:
            with self._db.transaction() as tx:
                payload = store.payload(tx, task_id)
            task = orjson.loads(payload) if payload else {}
            known = self._kinds[task_id] = (task.get("type") == PARALLEL, is_parent(task))
        return known
