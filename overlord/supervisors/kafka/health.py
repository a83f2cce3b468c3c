"""How a supervisor is: from runs that went well or not, and from tasks that ended."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from overlord.model.instant import format_instant, now_ms
from overlord.model.supervisor import SupervisorState
from overlord.supervisors.kafka.broker import StreamFault

UNHEALTHY = 3
HEALTHY = 3
_BASIC = {
    "UNABLE_TO_CONNECT_TO_STREAM": "UNHEALTHY_SUPERVISOR",
    "LOST_CONTACT_WITH_STREAM": "UNHEALTHY_SUPERVISOR",
    "CONNECTING_TO_STREAM": "RUNNING",
    "DISCOVERING_INITIAL_TASKS": "RUNNING",
    "CREATING_TASKS": "RUNNING",
}
_SICK = frozenset(
    {"UNABLE_TO_CONNECT_TO_STREAM", "LOST_CONTACT_WITH_STREAM", "UNHEALTHY_SUPERVISOR", "UNHEALTHY_TASKS"}
)


class Health:
    """The state, and what led to it."""

    def __init__(self, *, suspended: bool) -> None:
        self._suspended = suspended
        self._guard = threading.Lock()
        self._state = "PENDING"
        self._errors: deque[dict[str, Any]] = deque(maxlen=max(UNHEALTHY, HEALTHY))
        self._bad_runs = self._good_runs = 0
        self._stream_faults = 0
        self._ever = False
        self._tasks: deque[bool] = deque(maxlen=UNHEALTHY)

    def begin(self, step: str) -> None:
        """A step of the first run; later runs have none."""
        with self._guard:
            if not self._ever and self._state not in _SICK:
                self._state = step

    def stop(self) -> None:
        """It is being stopped."""
        with self._guard:
            self._state = "STOPPING"

    def good(self, *, idle: bool = False) -> None:
        """A run went well."""
        with self._guard:
            self._bad_runs = self._stream_faults = 0
            self._good_runs += 1
            first, self._ever = not self._ever, True
            if self._state == "STOPPING":
                return
            if self._state in _SICK and self._state != "UNHEALTHY_TASKS" and self._good_runs < HEALTHY and not first:
                return
            if len(self._tasks) == UNHEALTHY and not any(self._tasks):
                self._state = "UNHEALTHY_TASKS"
            elif self._state == "UNHEALTHY_TASKS" and not all(self._tasks):
                return
            else:
                self._state = "SUSPENDED" if self._suspended else "IDLE" if idle else "RUNNING"

    def bad(self, error: Exception) -> None:
        """A run failed."""
        stream = isinstance(error, StreamFault)
        name = error.java if isinstance(error, StreamFault) else f"{type(error).__module__}.{type(error).__qualname__}"
        with self._guard:
            self._errors.append(
                {
                    "timestamp": format_instant(now_ms()),
                    "exceptionClass": name,
                    "message": str(getattr(error, "message", error)),
                    "streamException": stream,
                }
            )
            self._good_runs = 0
            self._bad_runs += 1
            self._stream_faults = self._stream_faults + 1 if stream else 0
            if self._state == "STOPPING" or self._bad_runs < UNHEALTHY:
                return
            if self._stream_faults >= UNHEALTHY:
                self._state = "LOST_CONTACT_WITH_STREAM" if self._ever else "UNABLE_TO_CONNECT_TO_STREAM"
            else:
                self._state = "UNHEALTHY_SUPERVISOR"

    def task_ended(self, *, well: bool) -> None:
        """A task has ended."""
        with self._guard:
            self._tasks.append(well)

    @property
    def state(self) -> SupervisorState:
        """As users see it."""
        name = self._state
        return SupervisorState(state=_BASIC.get(name, name), detailed=name, healthy=name not in _SICK)

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The last ones."""
        with self._guard:
            return list(self._errors)
