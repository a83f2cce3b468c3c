"""kill, move, archive and restore: they work on the unused segments of one interval."""

from __future__ import annotations

from overlord.model.interval import Interval
from overlord.model.lock import LockRequest, LockType, batch_lock_type
from overlord.model.task import Task
from overlord.tasks.base import task_types


class Relocation:
    """Alone with its interval."""

    priority = 0

    def lock_requests(self, task: Task) -> list[LockRequest]:
        """The interval, whatever the context asks for."""
        return [_request(task, LockType.EXCLUSIVE)]


class Kill:
    """Alone with its interval, or with those who append there."""

    priority = 0

    def lock_requests(self, task: Task) -> list[LockRequest]:
        """The interval; REPLACE with `useConcurrentLocks`."""
        return [_request(task, batch_lock_type(task.context, append=False))]


def _request(task: Task, kind: LockType) -> LockRequest:
    # Segments of a later version are not theirs to touch, as in Druid: so the version is not raised above them.
    return LockRequest(interval=Interval.parse(task.payload["interval"]), type=kind, version_is_now=True)


task_types.add("kill")(Kill())
task_types.add("move", "archive", "restore")(Relocation())
