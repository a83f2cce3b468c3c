"""The interface of a type of task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from overlord.model.lock import LockRequest
from overlord.model.task import Task
from overlord.registry import Registry


class TaskType(Protocol):
    """One type of task, as the queue sees it.

    Attributes
    ----------
    priority : int
        Of its locks, where the context does not say.
    """

    priority: int

    def lock_requests(self, task: Task) -> Iterable[LockRequest]:
        """Locks that it must have before it starts, in order of time; all or none are taken."""


task_types: Registry[TaskType] = Registry("task type")
