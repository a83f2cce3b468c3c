"""lockList, lockTryAcquire, lockAcquire, lockRelease and their siblings for single segments."""

from __future__ import annotations

from typing import Any

from overlord import locks
from overlord.actions.base import Call, actions, refused, wrong
from overlord.errors import BadRequest
from overlord.model.instant import now_ms
from overlord.model.lock import LockRequest, LockType

_FOREVER_S = 86_400.0


@actions.add("lockList")
def lock_list(call: Call) -> Any:
    """All locks of the task, in order of time."""
    with call.services.db.transaction() as tx:
        held = [lock.to_json() for lock in locks.of_task(tx, call.task.id)]
    return [{name: value for name, value in lock.items() if name != "granularity"} for lock in held]


@actions.add("lockTryAcquire")
def lock_try_acquire(call: Call) -> Any:
    """A lock now, or null."""
    return _take(call, _time_chunk(call, "TimeChunkLockTryAcquireAction"))


@actions.add("lockAcquire")
def lock_acquire(call: Call) -> Any:
    """A lock within `timeoutMs`, or null."""
    return _wait(call, _time_chunk(call, "TimeChunkLockAcquireAction"))


@actions.add("lockRelease")
def lock_release(call: Call) -> None:
    """Give back what is held on exactly this interval."""
    if call.action.get("interval") is None:
        return  # nothing is held on it
    interval = call.interval("interval", "LockReleaseAction")

    def body() -> None:
        with call.services.db.transaction() as tx:
            tx.lock_datasource(call.task.datasource)
            if locks.release(tx, call.task.id, interval):
                tx.after_commit(lambda: call.services.signals.notify("locks:" + call.task.datasource))

    call.services.db.retry(body)


@actions.add("segmentLockTryAcquire")
def segment_lock_try_acquire(call: Call) -> Any:
    """Locks on single segments, each now or not."""
    java = "SegmentLockTryAcquireAction"
    ids = call.required("partitionIds", java, "partitionIds is empty")
    if ids == []:
        raise refused(java, "partitionIds is empty", where="action.partitionIds")
    if not isinstance(ids, list) or not all(isinstance(each, int) and not isinstance(each, bool) for each in ids):
        raise wrong("partitionIds", "a list of whole numbers", ids)
    return [_segment_result(_take(call, _segment(call, java, each))) for each in ids]


@actions.add("segmentLockAcquire")
def segment_lock_acquire(call: Call) -> Any:
    """A lock on a single segment within `timeoutMs`."""
    java = "SegmentLockAcquireAction"
    call.required("partitionId", java)
    partition_id = call.whole("partitionId")
    assert partition_id is not None
    lock = _wait(call, _segment(call, java, partition_id))
    return None if lock is None else _segment_result(lock)


def _segment_result(lock: dict[str, Any] | None) -> dict[str, Any]:
    return {"taskLock": lock, "newSegmentId": None, "revoked": lock is not None and lock["revoked"]}


def _time_chunk(call: Call, java: str) -> LockRequest:
    return LockRequest(interval=call.interval("interval", java), type=lock_type(call))


def _segment(call: Call, java: str, partition_id: int) -> LockRequest:
    return LockRequest(
        interval=call.interval("interval", java),
        type=lock_type(call),
        granularity="segment",
        version=call.text("version", java),
        partition_id=partition_id,
    )


def lock_type(call: Call, name: str = "lockType") -> LockType:
    """The type of lock asked for; EXCLUSIVE if none is named."""
    value = call.action.get(name)
    if value is None:
        return LockType.EXCLUSIVE
    try:
        return LockType(value)
    except ValueError:
        raise BadRequest(
            "Cannot deserialize value of type `org.apache.druid.indexing.common.TaskLockType` from String "
            f'"{value}": not one of the values accepted for Enum class: [{", ".join(LockType)}]',
            where=f"action.{name}",
        ) from None


def _take(call: Call, request: LockRequest) -> dict[str, Any] | None:
    def body() -> dict[str, Any] | None:
        with call.services.db.transaction() as tx:
            tx.lock_datasource(call.task.datasource)
            lock = locks.try_acquire(tx, call.task, request, now_ms=now_ms()).lock
        return None if lock is None else lock.to_json()

    return call.services.db.retry(body)


def _wait(call: Call, request: LockRequest) -> dict[str, Any] | None:
    timeout_ms = call.whole("timeoutMs", 0) or 0
    timeout_s = timeout_ms / 1000 if timeout_ms > 0 else _FOREVER_S
    return call.services.signals.poll("locks:" + call.task.datasource, lambda: _take(call, request), timeout_s)
