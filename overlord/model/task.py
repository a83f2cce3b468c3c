"""A task as the Overlord holds it, its states and its status."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class TaskState(StrEnum):
    """Where a task stands. Druid's statusCode is RUNNING for the first three."""

    WAITING = "WAITING"  # accepted, lacks locks
    PENDING = "PENDING"  # has its locks, lacks a slot
    RUNNING = "RUNNING"  # on a worker
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether the task will never move again."""
        return self in (TaskState.SUCCESS, TaskState.FAILED)

    @property
    def status_code(self) -> str:
        """Druid's three-valued statusCode."""
        return self.value if self.ended else "RUNNING"


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where a task runs, as clients see it."""

    host: str | None = None
    port: int = -1
    tls_port: int = -1

    def to_json(self) -> dict[str, Any]:
        """Druid's `location` object."""
        return {"host": self.host, "port": self.port, "tlsPort": self.tls_port}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A validated task.

    Attributes
    ----------
    payload : dict
        The whole task as Druid re-serialises it, every default filled in: what `GET task/{id}` shows.
    priority : int
        Of its locks: context `priority`, else the type's default.
    """

    id: str
    type: str
    group_id: str
    datasource: str
    payload: dict[str, Any]
    priority: int
    availability_group: str
    required_capacity: int = 1
    context: dict[str, Any] = field(default_factory=dict)
