"""The supervisor that does nothing."""

from __future__ import annotations

from overlord.model.supervisor import NOOP, SupervisorState
from overlord.supervisors.base import Supervisor, supervisor_types


@supervisor_types.add(NOOP)
class NoopSupervisor(Supervisor):
    """Runs without doing anything, and is never suspended."""

    def start(self) -> None:
        pass

    def stop(self, *, graceful: bool) -> None:
        pass

    def state(self) -> SupervisorState:
        return SupervisorState.of("RUNNING")
