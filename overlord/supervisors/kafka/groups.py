"""What a supervisor knows of its tasks: groups that read the same partitions, first reading, then publishing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Offsets = dict[str, int]


@dataclass(kw_only=True)
class Member:
    """One task of a group.

    Attributes
    ----------
    started_ms : int or None
        Known once its worker has answered.
    """

    id: str
    state: str = "PENDING"
    started_ms: int | None = None
    current: Offsets = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self.state in ("SUCCESS", "FAILED")


@dataclass(kw_only=True)
class Group:
    """Replicas that read the same.

    Attributes
    ----------
    base : str
        Base sequence name.
    start, end : dict
        Offsets; `end` once it publishes.
    checkpoints : dict
        Start of each sequence, by number.
    window : tuple
        Least and greatest message time.
    deadline : float
        When it must have published, by the monotonic clock.
    """

    id: int
    base: str
    start: Offsets
    window: tuple[int | None, int | None] = (None, None)
    checkpoints: dict[int, Offsets] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    end: Offsets = field(default_factory=dict)
    deadline: float = 0.0

    @property
    def started_ms(self) -> int | None:
        """When the first of its tasks has begun."""
        known = [each.started_ms for each in list(self.members.values()) if each.started_ms is not None]
        return min(known, default=None)

    def highest(self) -> Offsets:
        """The furthest of each partition that any task has got to."""
        found: Offsets = {}
        for member in list(self.members.values()):  # the supervisor's thread may change it meanwhile
            for name, offset in member.current.items():
                found[name] = max(offset, found.get(name, offset))
        return found


def shown(
    member: Member, group: Group, now_ms: int, *, duration_ms: int, latest: Mapping[str, int] | None, left_s: int | None
) -> dict[str, Any]:
    """A task in the status payload; `left_s` is given for one that publishes."""
    from overlord.model.instant import format_instant

    started = None if member.started_ms is None else format_instant(member.started_ms)
    seen: dict[str, Any] = {"id": member.id, "startingOffsets": group.start, "startTime": started}
    if left_s is not None:
        return seen | {"remainingSeconds": left_s, "type": "PUBLISHING", "currentOffsets": group.end or member.current}
    left = None if member.started_ms is None else max(0, (member.started_ms + duration_ms - now_ms) // 1000)
    seen |= {"remainingSeconds": left, "type": "ACTIVE", "currentOffsets": member.current}
    if latest is None:
        return seen | {"lag": {}}
    return seen | {"lag": {name: latest.get(name, 0) - offset for name, offset in member.current.items()}}
