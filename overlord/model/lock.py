"""Locks as values; `overlord.locks` decides over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from overlord.errors import BadRequest
from overlord.model.interval import Interval

SEGMENT, TIME_CHUNK = "segment", "timeChunk"
GRANULARITIES = ("TIME_CHUNK", "SEGMENT")


class LockType(StrEnum):
    """Druid's four; the order of members is Druid's in its error text."""

    APPEND = "APPEND"
    REPLACE = "REPLACE"
    SHARED = "SHARED"
    EXCLUSIVE = "EXCLUSIVE"


def batch_lock_type(context: Mapping[str, Any], *, append: bool) -> LockType:
    """The lock that a batch task takes, by its context; SHARED and APPEND are for those who append.

    Raises
    ------
    BadRequest
        The context names no type of lock.
    """
    if context.get("useConcurrentLocks") in (True, "true"):
        return LockType.APPEND if append else LockType.REPLACE
    asked = context.get("taskLockType") or ("SHARED" if context.get("useSharedLock") in (True, "true") else "EXCLUSIVE")
    if asked not in LockType.__members__:
        raise BadRequest(
            f"Context taskLockType [{asked}] is none of [{', '.join(LockType)}]", where="context.taskLockType"
        )
    if not append and asked in ("SHARED", "APPEND"):
        return LockType.EXCLUSIVE
    return LockType(asked)


@dataclass(frozen=True, kw_only=True)
class LockRequest:
    """What a task wants.

    Attributes
    ----------
    version_is_now : bool
        Take the time of granting as the version even where segments of a later one lie.
    partition_id : int or None
        Only with granularity "segment".
    """

    interval: Interval
    type: LockType = LockType.EXCLUSIVE
    granularity: str = "timeChunk"
    version: str | None = None
    version_is_now: bool = False
    partition_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class TaskLock:
    """A lock that was granted."""

    type: LockType
    group_id: str
    datasource: str
    interval: Interval
    version: str
    priority: int
    revoked: bool = False
    granularity: str = "timeChunk"
    partition_id: int | None = None

    def to_json(self, *, stored: bool = False) -> dict[str, Any]:
        """Druid's lock object. In answers time chunk locks lack `granularity`; stored rows have it."""
        out: dict[str, Any] = {}
        if stored or self.granularity == "segment":
            out["granularity"] = self.granularity
        out |= {
            "type": self.type.value,
            "groupId": self.group_id,
            "dataSource": self.datasource,
            "interval": str(self.interval),
            "version": self.version,
            "priority": self.priority,
            "revoked": self.revoked,
        }
        if self.granularity == "segment":
            out["partitionId"] = self.partition_id
        return out
