"""segmentAllocate: the id of the segment that will take a row, so that it joins what is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from overlord import locks
from overlord.actions.base import Call, actions, wrong
from overlord.actions.locks import lock_type
from overlord.errors import ActionFailed, BadRequest
from overlord.model.granularity import Granularity
from overlord.model.instant import format_instant, now_ms, parse_instant
from overlord.model.interval import Interval
from overlord.model.lock import LockRequest
from overlord.model.segment import DataSegment
from overlord.model.shard_spec import ShardSpec, numbered
from overlord.model.task import Task
from overlord.model.timeline import visible
from overlord.store import pending
from overlord.store import segments as store

if TYPE_CHECKING:
    from overlord.store.db import Transaction

JAVA = "SegmentAllocateAction"
FACTORIES = ("numbered", "linear")


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    datasource: str
    instant: int
    query: Granularity
    segment: Granularity
    sequence: str
    previous: str
    lineage: bool
    lock: LockRequest
    factory: str


@actions.add("segmentAllocate")
def allocate(call: Call) -> Any:
    """A segment id, or null."""
    wanted = _read(call)

    def body() -> dict[str, Any] | None:
        with call.services.db.transaction() as tx:
            tx.lock_datasource(wanted.datasource)
            found = _allocate(tx, call.task, wanted)
        return None if found is None else pending.to_json(found)

    return call.services.db.retry(body)


def _read(call: Call) -> Wanted:
    factory = call.action.get("shardSpecFactory", call.action.get("partialShardSpec")) or {"type": "numbered"}
    if not isinstance(factory, dict) or factory.get("type") not in FACTORIES:
        raise wrong("shardSpecFactory", f"an object of type {' or '.join(FACTORIES)}", factory)
    if call.action.get("lockGranularity") not in (None, "TIME_CHUNK"):
        raise BadRequest(
            "lockGranularity must be TIME_CHUNK: segment locks are not used for allocation",
            where="action.lockGranularity",
        )
    stamp = call.required("timestamp", JAVA)
    instant = stamp if isinstance(stamp, int) and not isinstance(stamp, bool) else parse_instant(str(stamp))
    previous = call.action.get("previousSegmentId")
    skip = call.action.get("skipSegmentLineageCheck") is True
    return Wanted(
        datasource=call.text("dataSource", JAVA) if call.action.get("dataSource") else call.task.datasource,
        instant=instant,
        query=Granularity.parse(call.required("queryGranularity", JAVA)),
        segment=Granularity.parse(call.required("preferredSegmentGranularity", JAVA)),
        sequence=call.text("sequenceName", JAVA),
        previous="" if skip or previous is None else str(previous),
        lineage=not skip,
        lock=LockRequest(interval=Interval(instant, instant + 1), type=lock_type(call, "taskLockType")),
        factory=factory["type"],
    )


def _allocate(tx: Transaction, task: Task, wanted: Wanted) -> DataSegment | None:
    """The first candidate that works; see "segmentAllocate" in the references for the order."""
    row = wanted.query.bucket(wanted.instant)
    if row.empty:
        row = Interval(wanted.instant, wanted.instant + 1)
    there = visible(store.used_overlapping(tx, wanted.datasource, [row]))
    if there:
        candidates = [there[0].interval] if there[0].interval.contains(row) else []
    else:
        buckets = [granularity.bucket(wanted.instant) for granularity in wanted.segment.finer()]
        candidates = [bucket for bucket in dict.fromkeys(buckets) if bucket.contains(row)]
    for candidate in candidates:
        found = _try(tx, replace_datasource(task, wanted.datasource), wanted, candidate)
        if found is not None:
            return found
    return None


def replace_datasource(task: Task, datasource: str) -> Task:
    """The task as one of the datasource that is allocated in, which Druid does not compare."""
    return task if task.datasource == datasource else replace(task, datasource=datasource)


def _try(tx: Transaction, task: Task, wanted: Wanted, interval: Interval) -> DataSegment | None:
    used = visible(store.used_overlapping(tx, wanted.datasource, [interval]))
    if len({(segment.interval, segment.version) for segment in used}) > 1:
        return None
    if used and used[0].interval != interval:
        return None
    try:
        lock = locks.try_acquire(tx, task, replace(wanted.lock, interval=interval), now_ms=now_ms()).lock
    except ActionFailed:
        return None  # an inactive task gets null, as in Druid's batched allocation
    if lock is None or lock.revoked:
        return None
    again = _known(tx, wanted, interval, used)
    if again is not None:
        return again if again.interval == interval else None
    new = _next(tx, wanted, interval, used, lock.version)
    if new is None:
        return None
    allocator = task.id if task.type == "noop" else task.group_id
    if task.type.startswith("index_k"):
        allocator = task.availability_group
    inserted = pending.insert(
        tx,
        new,
        sequence=wanted.sequence,
        previous=wanted.previous,
        allocator=allocator,
        now=format_instant(now_ms()),
        lineage=wanted.lineage,
    )
    return new if inserted else None


def _known(tx: Transaction, wanted: Wanted, interval: Interval, used: list[DataSegment]) -> DataSegment | None:
    """What the same request got before."""
    if wanted.lineage:
        rows = pending.of_sequence(tx, wanted.datasource, wanted.sequence, wanted.previous)
    else:
        rows = pending.of_sequence_in(tx, wanted.datasource, wanted.sequence, interval)
    if used:
        rows = [row for row in rows if row.version == used[0].version]
    return rows[-1] if rows else None


def _next(
    tx: Transaction, wanted: Wanted, interval: Interval, used: list[DataSegment], lock_version: str
) -> DataSegment | None:
    """A new id after all that are there."""
    rows = [row.segment for row in pending.overlapping(tx, wanted.datasource, interval)]
    if used:
        rows = [row for row in rows if row.version == used[0].version]
    rows = [row for row in [*rows, *used] if row.shard_spec.type != "numbered_overwrite"]
    highest = max(rows, key=lambda row: (row.version, row.shard_spec.partition_num), default=None)
    if highest is None:
        return _segment(wanted, interval, used[0].version if used else lock_version, 0, 0, tx)
    if highest.interval != interval:
        return None
    cores = used[0].shard_spec.core_partitions if used else 0
    return _segment(wanted, interval, highest.version, highest.shard_spec.partition_num + 1, cores, tx)


def _segment(wanted: Wanted, interval: Interval, version: str, number: int, cores: int, tx: Transaction) -> DataSegment:
    """The segment id; past any that is marked unused, whose file may still be there."""

    def made(number: int) -> DataSegment:
        shard_spec = (
            numbered(number, cores)
            if wanted.factory == "numbered"
            else ShardSpec(type="linear", values={"partitionNum": number})
        )
        return DataSegment(datasource=wanted.datasource, interval=interval, version=version, shard_spec=shard_spec)

    first = made(number)
    if not store.by_ids(tx, wanted.datasource, [str(first.id)]):
        return first
    gone = tx.all(
        "segments.highest_unused",
        datasource=wanted.datasource,
        start=format_instant(interval.start),
        end=format_instant(interval.end),
        version=version,
    )
    highest = max((store.parsed(row["payload"]).shard_spec.partition_num for row in gone), default=number - 1)
    return made(max(number, highest + 1))
