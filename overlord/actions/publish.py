"""segmentTransactionalInsert, -Append and -Replace: all of a publish in one transaction, with its ledger row."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from overlord import faults
from overlord.actions import offsets
from overlord.actions.base import Call, actions, refused
from overlord.actions.coverage import check_locks
from overlord.actions.segments import given_segments
from overlord.errors import ActionFailed
from overlord.metrics.tasks import published
from overlord.model.instant import format_instant, now_ms
from overlord.model.interval import Interval
from overlord.model.lock import LockType, TaskLock
from overlord.model.segment import DataSegment
from overlord.model.shard_spec import ShardSpec, numbered
from overlord.store import pending, tasks
from overlord.store import segments as store

if TYPE_CHECKING:
    from overlord.store.db import Transaction

Json = dict[str, Any]
UPGRADED = "upgraded_to_version__"


class _Refused(Exception):
    """Undoes the transaction; the answer says why."""

    def __init__(self, text: str, *, retryable: bool) -> None:
        super().__init__(text)
        self.retryable = retryable


@actions.add("segmentTransactionalInsert")
def insert(call: Call) -> Json:
    """Segments and, for a stream, how far it was read."""
    return _Publish(call, "SegmentTransactionalInsertAction").run()


@actions.add("segmentTransactionalAppend")
def append(call: Call) -> Json:
    """Segments under APPEND locks; whoever replaces at the same time takes them over."""
    return _Append(call, "SegmentTransactionalAppendAction").run()


@actions.add("segmentTransactionalReplace")
def replace_segments(call: Call) -> Json:
    """Segments under REPLACE locks, and copies of what was appended meanwhile."""
    return _Replace(call, "SegmentTransactionalReplaceAction").run()


class _Publish:
    """One publish, from its fields to its answer."""

    def __init__(self, call: Call, java: str) -> None:
        self.call = call
        self.java = java
        self.task = call.task
        if call.action.get("segments") is None and call.action.get("dataSource") is None:
            raise refused(java, "segments")
        self.segments = given_segments(call, java) if call.action.get("segments") is not None else []
        self.start = offsets.read(call.action.get("startMetadata"), "action.startMetadata")
        self.end = offsets.read(call.action.get("endMetadata"), "action.endMetadata")
        self.check_fields()

    def check_fields(self) -> None:
        """Rules between fields."""
        if not self.segments:
            no_argument = "java.lang.IllegalArgumentException"
            if self.call.action.get("dataSource") is None:
                raise ActionFailed("datasource name cannot be null", java=no_argument)
            if self.start is None:
                raise ActionFailed("start metadata cannot be null", java=no_argument)
            if self.end is None:
                raise ActionFailed("end metadata cannot be null", java=no_argument)
        if (self.start is None) != (self.end is None):
            raise refused(self.java, "startMetadata and endMetadata must either be both null or both non-null.")

    @property
    def datasource(self) -> str:
        """Whose metadata moves."""
        if self.segments:
            return self.segments[0].datasource
        return self.call.text("dataSource", self.java)

    def run(self) -> Json:
        """Publish all or nothing."""
        try:
            result = self.call.services.db.retry(self._once)
        except _Refused as why:
            return {"segments": [], "success": False, "retryable": why.retryable, "errorMsg": str(why)}
        faults.point("after_publish_commit")
        return result

    def _once(self) -> Json:
        key = hashlib.sha256(orjson.dumps(self.call.action, option=orjson.OPT_SORT_KEYS)).hexdigest()
        with self.call.services.db.transaction() as tx:
            tx.lock_datasource(self.datasource)
            if self.call.attempt is not None and not tasks.runs(tx, self.task.id, self.call.attempt):
                # An attempt given up, whose successor may hold the locks by now.
                raise ActionFailed(f"This attempt at task[{self.task.id}] is over", status=409)
            held = check_locks(tx, self.task, self.segments)
            if self.start is not None:
                # Offsets move only once: a publish that is sent again gets the answer it had.
                before = store.published(tx, self.task.id, key)
                if before is not None:
                    return before
            now = format_instant(now_ms())
            self._move_offsets(tx, now)
            inserted = self.write(tx, held, now)
            self._refuse_known(inserted)
            result = {
                "segments": [segment.to_json() for segment in inserted],
                "success": True,
                "retryable": False,
                "errorMsg": None,
            }
            store.note_publish(tx, self.task.id, key, result)
            tx.after_commit(lambda: published(self.datasource, (segment.size for segment in inserted)))
            faults.point("before_publish_commit")
        return result

    def _move_offsets(self, tx: Transaction, now: str) -> None:
        if self.start is None or self.end is None:
            return
        stored = store.commit_metadata(tx, self.datasource)
        after = offsets.follow(None if stored is None else stored[0], self.start, self.end)
        if isinstance(after, offsets.Refusal):
            raise _Refused(after.text, retryable=after.retryable)
        if not store.set_commit_metadata(tx, self.datasource, after, None if stored is None else stored[1], now):
            raise _Refused(f"Failed to update metadata for datasource[{self.datasource}]", retryable=True)

    def _refuse_known(self, inserted: list[DataSegment]) -> None:
        """Offsets do not move past segments that hold something else: those published under the same id, of a read
        that a reset has undone."""
        if self.start is None:
            return
        known = {str(segment.id) for segment in self.segments} - {str(segment.id) for segment in inserted}
        if known:
            raise _Refused(
                f"Segment[{min(known)}] was published before, by a task that has read other offsets", retryable=False
            )

    def write(self, tx: Transaction, held: list[TaskLock], now: str) -> list[DataSegment]:
        """Insert the rows; gives those that are new."""
        return store.insert(tx, self.segments, now)


class _Append(_Publish):
    def write(self, tx: Transaction, held: list[TaskLock], now: str) -> list[DataSegment]:
        for lock in held:
            if lock.type is not LockType.APPEND:
                raise ActionFailed(
                    f"Cannot use action[{self.java}] for task[{self.task.id}] as it is holding a lock of "
                    f"type[{lock.type}] instead of [APPEND].",
                    java="org.apache.druid.error.DruidException",
                )
        if not self.segments:
            return []
        ids = [str(segment.id) for segment in self.segments]
        copies, origins = self._upgraded_meanwhile(tx, ids)
        inserted = store.insert(tx, [*self.segments, *copies], now, upgraded_from=origins)
        self._note_upgrades(tx)
        tx.run("pending.delete", datasource=self.datasource, ids=[*ids, *(str(copy.id) for copy in copies)])
        return inserted

    def _upgraded_meanwhile(self, tx: Transaction, ids: list[str]) -> tuple[list[DataSegment], dict[str, str]]:
        """Copies under the ids that a replacing task has set aside for these segments."""
        by_id = {str(segment.id): segment for segment in self.segments}
        copies, origins = [], {}
        for row in tx.all("pending.upgraded_from", datasource=self.datasource, ids=ids):
            origin = by_id[row["upgraded_from_segment_id"]]
            wanted = orjson.loads(bytes(row["payload"]))
            copy = replace(
                origin,
                interval=Interval.parse(wanted["interval"]),
                version=wanted["version"],
                shard_spec=ShardSpec.parse(wanted["shardSpec"]),
            )
            copies.append(copy)
            origins[str(copy.id)] = str(origin.id)
        return copies, origins

    def _note_upgrades(self, tx: Transaction) -> None:
        """Tell whoever replaces these chunks now that it has to take the segments over."""
        rows = tx.all("segments.replacing", datasource=self.datasource)
        for segment in self.segments:
            for row in rows:
                if Interval(row["start_ms"], row["end_ms"]).contains(segment.interval):
                    tx.run(
                        "segments.note_upgrade",
                        task_id=row["task_id"],
                        segment_id=str(segment.id),
                        version=row["version"],
                    )


class _Replace(_Publish):
    def write(self, tx: Transaction, held: list[TaskLock], now: str) -> list[DataSegment]:
        copies, origins = self._appended_meanwhile(tx)
        inserted = store.insert(tx, [*self.segments, *copies], now, upgraded_from=origins)
        self._upgrade_pending(tx, held, [*self.segments, *copies], now)
        return inserted

    def _appended_meanwhile(self, tx: Transaction) -> tuple[list[DataSegment], dict[str, str]]:
        """Copies of what was appended under the task's locks, numbered after its own segments."""
        last = {segment.interval: segment.shard_spec.core_partitions for segment in self.segments}
        versions: dict[Interval, str] = {segment.interval: segment.version for segment in self.segments}
        following: dict[Interval, int] = {}
        for segment in self.segments:
            number = segment.shard_spec.partition_num + 1
            following[segment.interval] = max(number, following.get(segment.interval, 0))
        done = self._upgraded_before(tx)
        self._after_what_is_there(tx, versions, following)
        copies, origins = [], {}
        for row in tx.all("segments.upgrades", task_id=self.task.id):
            origin = store.parsed(row["payload"])
            interval = next((each for each in following if each.contains(origin.interval)), origin.interval)
            if any(interval.overlaps(each) and each != interval for each in following):
                raise _Refused(
                    f"Segment[{origin.id}] was appended meanwhile and is wider than the segments that replace it",
                    retryable=False,
                )
            version = versions.get(interval) or str(row["lock_version"])
            if origin.version >= version or (row["segment_id"], version) in done:
                continue
            number = following.get(interval, 0)
            following[interval] = number + 1
            versions[interval] = version
            copy = replace(
                origin,
                interval=interval,
                version=version,
                shard_spec=numbered(number, last.get(interval, 0)),
            )
            copies.append(copy)
            origins[str(copy.id)] = row["upgraded_from_segment_id"] or str(origin.id)
        return copies, origins

    def _upgraded_before(self, tx: Transaction) -> set[tuple[str, str]]:
        """Origin and version of copies that are there: of this publish sent again, or of appends that came after it."""
        ids = [row["segment_id"] for row in tx.all("segments.upgrades", task_id=self.task.id)]
        rows = tx.all("segments.upgraded_to", datasource=self.datasource, ids=ids) if ids else []
        return {(row["upgraded_from_segment_id"], row["version"]) for row in rows}

    def _after_what_is_there(
        self, tx: Transaction, versions: dict[Interval, str], following: dict[Interval, int]
    ) -> None:
        """Let numbers follow those of the same version that are published or set aside already."""
        there = store.highest_numbers(tx, self.datasource, following) if following else {}
        for segment in pending.highest(tx, self.datasource, following) if following else ():
            key = (segment.interval, segment.version, False)
            there[key] = max(there.get(key, 0), segment.shard_spec.partition_num)
        for interval, version in versions.items():
            following[interval] = max(following[interval], there.get((interval, version, False), -1) + 1)

    def _upgrade_pending(self, tx: Transaction, held: list[TaskLock], written: list[DataSegment], now: str) -> None:
        """Set aside ids of the new version for appends that are under way."""
        cores = {segment.interval: segment.shard_spec.core_partitions for segment in self.segments}
        following: dict[Interval, int] = {}
        versions: dict[Interval, str] = {}
        for segment in written:
            following[segment.interval] = max(following.get(segment.interval, 0), segment.shard_spec.partition_num + 1)
            versions[segment.interval] = segment.version
        self._after_what_is_there(tx, versions, following)
        for lock in held:
            if lock.type is not LockType.REPLACE:
                continue
            rows = pending.overlapping(tx, self.datasource, lock.interval)
            aside = {(row.upgraded_from, row.segment.version) for row in rows}
            for row in rows:
                if row.segment.version >= lock.version or row.sequence.startswith(UPGRADED):
                    continue
                interval = next((each for each in following if each.contains(row.segment.interval)), None)
                if interval is None or (row.id, lock.version) in aside:
                    continue
                number = following[interval]
                following[interval] = number + 1
                segment = replace(
                    row.segment,
                    interval=interval,
                    version=lock.version,
                    shard_spec=numbered(number, cores.get(interval, 0)),
                )
                new = pending.New(
                    segment=segment,
                    sequence=f"{UPGRADED}{lock.version}",
                    previous=row.id,
                    allocator=row.allocator,
                    upgraded_from=row.id,
                )
                pending.insert(tx, [new], now)
