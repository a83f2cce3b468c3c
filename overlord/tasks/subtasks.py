"""Sub-tasks: the locks are their parent's."""

from __future__ import annotations

from overlord.model.lock import LockRequest
from overlord.model.subtasks import SUB_TASK_TYPES
from overlord.model.task import Task
from overlord.tasks.base import task_types


class SubTasks:
    """Need nothing of their own."""

    priority = 50

    def lock_requests(self, task: Task) -> list[LockRequest]:
        """None."""
        return []


task_types.add(*SUB_TASK_TYPES)(SubTasks())
