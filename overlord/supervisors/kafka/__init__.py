"""The kafka supervisor.

Its spec is read by `overlord.schemas.kafka`; `self.spec.payload["spec"]` has `dataSchema`, `ioConfig` and
`tuningConfig` with every default. The engine that reads the broker and starts tasks takes the place of the class here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from overlord.errors import BadRequest
from overlord.model.supervisor import SupervisorSpec, SupervisorState
from overlord.supervisors.base import Supervisor, supervisor_types

if TYPE_CHECKING:
    from overlord.services import Services


@supervisor_types.add("kafka")
class KafkaSupervisor(Supervisor):
    """Keeps a kafka spec; one that is not suspended is refused, as nothing here reads a broker yet."""

    def __init__(self, spec: SupervisorSpec, services: Services, epoch: int) -> None:
        super().__init__(spec, services, epoch)
        if not spec.suspended:
            raise BadRequest(
                "A kafka supervisor cannot run on this Overlord yet; it can be kept suspended", where="suspended"
            )

    def start(self) -> None:
        pass

    def stop(self, *, graceful: bool) -> None:
        pass

    def state(self) -> SupervisorState:
        return SupervisorState.of("SUSPENDED")

    def healthy(self) -> bool:
        return True

    def status(self) -> dict[str, Any]:
        parts, state = self.spec.payload["spec"], self.state()
        return {
            "dataSource": self.spec.datasources[0],
            "stream": self.spec.source,
            "partitions": 0,
            "replicas": parts["ioConfig"]["replicas"],
            "activeTasks": [],
            "publishingTasks": [],
            "minimumLag": {},
            "aggregateLag": 0,
            "suspended": True,
            "healthy": True,
            "state": state.state,
            "detailedState": state.detailed,
            "recentErrors": [],
        }
