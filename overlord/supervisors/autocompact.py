"""The autocompact supervisor: compaction of one datasource, as its spec says."""

from __future__ import annotations

from typing import Any

from overlord.model.supervisor import SupervisorState
from overlord.supervisors.base import Supervisor, supervisor_types


@supervisor_types.add("autocompact")
class CompactionSupervisor(Supervisor):
    """Says how far the compaction of its datasource is; the work is done for all datasources together."""

    def start(self) -> None:
        pass

    def stop(self, *, graceful: bool) -> None:
        pass

    def state(self) -> SupervisorState:
        # Druid says so of a suspended one too while compaction supervisors are off cluster-wide.
        return SupervisorState(state="SCHEDULER_STOPPED", detailed="SCHEDULER_STOPPED")

    def status(self) -> dict[str, Any]:
        counts = {
            f"{what}{how}": 0
            for what in ("bytes", "segmentCount", "intervalCount")
            for how in ("AwaitingCompaction", "Compacted", "Skipped")
        }
        return {"dataSource": self.spec.datasources[0], "scheduleStatus": "NOT_ENABLED", "message": None, **counts}
