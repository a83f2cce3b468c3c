"""What would come of a request for a lock now, without asking for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overlord.locks import Board
from overlord.locks.rules import coexist, reusable

if TYPE_CHECKING:
    from overlord.model.lock import LockRequest
    from overlord.model.task import Task


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """One lock that a task will need.

    Attributes
    ----------
    outcome : str
        "free"; "shared" with others of its group; "preempts" the blockers, whose priority is lower; "waits" for them.
    blockers : list of dict
        Who holds what is in the way.
    """

    request: LockRequest
    outcome: str
    blockers: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """For people."""
        return {
            "interval": str(self.request.interval),
            "type": self.request.type.value,
            "outcome": self.outcome,
            "blockers": self.blockers,
        }


def outlook(board: Board, task: Task, request: LockRequest) -> Outlook:
    """What `try_acquire` would do."""
    held = board.overlapping(request.interval)
    if any(reusable(each.lock, task.group_id, request) for each in held):
        return Outlook(request=request, outcome="shared", blockers=[])
    conflicts = [each for each in held if not each.lock.revoked and not coexist(each.lock, request)]
    blockers = [each.described() for each in conflicts]
    if not conflicts:
        return Outlook(request=request, outcome="free", blockers=[])
    if all(each.lock.priority < task.priority for each in conflicts):
        return Outlook(request=request, outcome="preempts", blockers=blockers)
    if all(each.lock.group_id == task.group_id and each.lock.interval == request.interval for each in conflicts):
        return Outlook(request=request, outcome="shared", blockers=[])
    return Outlook(request=request, outcome="waits", blockers=blockers)
