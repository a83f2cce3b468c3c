"""Which locks may stand side by side; no database here."""

from __future__ import annotations

from overlord.model.lock import LockRequest, LockType, TaskLock


def reusable(lock: TaskLock, group_id: str, request: LockRequest) -> bool:
    """Whether a lock that the group has already is what is asked for, revoked or not."""
    if lock.group_id != group_id or lock.type is not request.type or lock.granularity != request.granularity:
        return False
    if request.granularity == "segment":
        return _same_segment(lock, request)
    return lock.interval.contains(request.interval)


def coexist(lock: TaskLock, request: LockRequest) -> bool:
    """Whether a request may be granted beside another's lock whose interval overlaps its own."""
    if lock.granularity == "segment" and request.granularity == "segment":
        shared = lock.type is LockType.SHARED and request.type is LockType.SHARED
        return shared or not _same_segment(lock, request)
    if concurrent_segment(request):
        return False
    match request.type, lock.type:
        case (LockType.SHARED, LockType.SHARED) | (LockType.APPEND, LockType.APPEND):
            return True
        case (LockType.APPEND, LockType.REPLACE):
            return lock.interval.contains(request.interval)
        case (LockType.REPLACE, LockType.APPEND):
            return request.interval.contains(lock.interval)
    return False


def concurrent_segment(request: LockRequest) -> bool:
    """Whether a request is of a type for concurrent work but on one segment: no time chunk lock stands beside it."""
    return request.granularity == "segment" and request.type in (LockType.APPEND, LockType.REPLACE)


def _same_segment(lock: TaskLock, request: LockRequest) -> bool:
    return (lock.interval, lock.version, lock.partition_id) == (
        request.interval,
        request.version,
        request.partition_id,
    )
