"""The autocompact supervisor: compaction of one datasource, as its spec says.

It only stands for the datasource; the work of all is shared out by `overlord.supervisors.compaction`.
"""

from __future__ import annotations

from typing import Any

from overlord.model.supervisor import SupervisorState
from overlord.supervisors.base import Supervisor, supervisor_types


@supervisor_types.add("autocompact")
class CompactionSupervisor(Supervisor):
    """Has its datasource compacted while it is not suspended and compaction supervisors are on."""

    def start(self) -> None:
        pass

    def stop(self, *, graceful: bool) -> None:
        pass

    def state(self) -> SupervisorState:
        # Druid says so of a suspended one too while compaction supervisors are off cluster-wide.
        if not self.services.supervisors.compaction.enabled():
            return SupervisorState.of("SCHEDULER_STOPPED")
        if self.spec.suspended:
            return SupervisorState.of("SUSPENDED")
        if self.spec.payload["spec"].get("engine") == "msq":
            return SupervisorState(state="INVALID_SPEC", detailed="INVALID_SPEC", healthy=False)
        return SupervisorState.of("RUNNING")

    def status(self) -> dict[str, Any]:
        compaction = self.services.supervisors.compaction
        return compaction.status(self.spec.datasources[0], enabled=not self.spec.suspended and compaction.enabled())
