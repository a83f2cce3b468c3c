"""index_kafka: locks what it allocates, while it runs."""

from __future__ import annotations

from overlord.model.lock import LockRequest
from overlord.model.task import Task
from overlord.tasks.base import task_types


class StreamIngestion:
    """Needs nothing before it starts."""

    priority = 75

    def lock_requests(self, task: Task) -> list[LockRequest]:
        """None."""
        return []


task_types.add("index_kafka")(StreamIngestion())
