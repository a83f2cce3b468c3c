"""noop."""

from __future__ import annotations

from overlord.model.lock import LockRequest
from overlord.model.task import Task
from overlord.tasks.base import task_types


class Noop:
    """Needs nothing."""

    priority = 50

    def lock_requests(self, task: Task) -> list[LockRequest]:
        """None."""
        return []


task_types.add("noop")(Noop())
