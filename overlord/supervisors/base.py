"""What a kind of supervisor implements, and what all have in common.

The life of one: the manager makes an object for a spec, `start`s it, and `stop`s it when the spec changes, when it is
terminated, or when this server leads no more. An object is started once and never again after a stop; a changed spec
gets a new object. What must outlive an object is kept in Postgres.

Threads. `start`, `stop`, `reset` and the like come from HTTP threads, one at a time for one supervisor; everything that
reads (`status`, `state`, `stats`, `parse_errors`) may come at any time, also while a stop is under way, and must answer
from what is in memory or from calls with a deadline of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from overlord.errors import BadRequest
from overlord.model.supervisor import SupervisorSpec, SupervisorState
from overlord.registry import Registry

if TYPE_CHECKING:
    from overlord.services import Services


class Supervisor(ABC):
    """One supervisor on the server that leads.

    Parameters
    ----------
    spec : SupervisorSpec
        Validated, with every default.
    services : Services
        `services.queue.submit(task)` starts a task, `services.db` is Postgres.
    epoch : int
        Of this leadership; what is written for others to see carries it (`store.tasks.fence`).

    Notes
    -----
    `__init__` may refuse (raise a `BadRequest`); the supervisor that runs is then left alone.
    """

    def __init__(self, spec: SupervisorSpec, services: Services, epoch: int) -> None:
        self.spec = spec
        self.services = services
        self.epoch = epoch

    @property
    def id(self) -> str:
        """Its id."""
        assert self.spec.id is not None
        return self.spec.id

    def check(self) -> None:  # noqa: B027 - most kinds have nothing to add
        """Refuse (`BadRequest`) a spec that was posted or resumed; not called when a leader starts what is stored."""

    @abstractmethod
    def start(self) -> None:
        """Begin, and return soon: work goes on in threads of its own. A suspended spec is started too."""

    @abstractmethod
    def stop(self, *, graceful: bool) -> None:
        """End its threads.

        Parameters
        ----------
        graceful : bool
            The spec has changed or is gone: running tasks are told to finish and publish. False: this server leads no
            more, tasks go on, and the next leader takes them up. The latter has to be quick.
        """

    def state(self) -> SupervisorState:
        """How it is."""
        return SupervisorState.of("SUSPENDED" if self.spec.suspended else "RUNNING")

    def status(self) -> dict[str, Any] | None:
        """Payload of `GET status`; None if this kind has none (404)."""
        return None

    def healthy(self) -> bool | None:
        """For `GET health`; None if this kind does not say (404)."""
        return None

    def stats(self) -> dict[str, Any]:
        """Counters of its tasks."""
        return {}

    def parse_errors(self) -> list[Any]:
        """The last rows that could not be read."""
        return []

    # ---- what only streaming supervisors do ----

    def reset(self, metadata: Mapping[str, Any] | None = None) -> None:
        """Forget what was read, of the partitions of `metadata` or of all; the work is queued."""
        raise self.unsupported("reset")

    def reset_offsets(self, metadata: Mapping[str, Any]) -> None:
        """Go on from the given offsets; the work is queued. `metadata` has a known type and is otherwise unchecked."""
        raise self.unsupported("reset")

    def handoff(self, group_ids: list[int]) -> None:
        """End these task groups early; unknown ones are passed over."""
        raise self.unsupported("handoff")

    def checkpoint(self, group_id: int, metadata: Mapping[str, Any]) -> None:
        """A task of a group has come to the end of a sequence (action `checkPointDataSourceMetadata`)."""
        raise self.unsupported("checkpoint")

    def unsupported(self, operation: str) -> BadRequest:
        """That this kind cannot do that, in Druid's words."""
        return BadRequest(
            f"Operation[{operation}] is not supported by supervisor[{self.id}] of type[{self.spec.type}]."
        )


supervisor_types: Registry[type[Supervisor]] = Registry("supervisor type")
