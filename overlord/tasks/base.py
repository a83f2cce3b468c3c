"""The interface of a type of task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from overlord.model.interval import Interval
from overlord.model.lock import LockRequest
from overlord.model.segment import DataSegment
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


@runtime_checkable
class ByItsSegments(Protocol):
    """A type of task whose locks follow from the segments that are there."""

    def lock_requests_among(
        self, task: Task, used: Callable[[Interval], Sequence[DataSegment]]
    ) -> Iterable[LockRequest]:
        """Like `lock_requests`; `used` gives the visible segments of the task's datasource in an interval.

        Raises
        ------
        OverlordError
            The task cannot be done with these segments: it fails, in these words.
        """


task_types: Registry[TaskType] = Registry("task type")
