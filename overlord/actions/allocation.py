"""Decides segment ids over one datasource's rows; see "segmentAllocate" in the references for the rules.

One transaction may hold many requests. What they need is read in a few statements before the first is decided; each
decision is seen by the next; the new rows are written together at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from overlord import locks
from overlord.actions.partial_spec import PartialSpec
from overlord.errors import ActionFailed, Unavailable
from overlord.model.granularity import Granularity
from overlord.model.instant import format_instant, now_ms
from overlord.model.interval import Interval, condense
from overlord.model.lock import SEGMENT, LockRequest, LockType
from overlord.model.segment import DataSegment
from overlord.model.task import Task
from overlord.model.timeline import visible
from overlord.store import pending
from overlord.store import segments as store

if TYPE_CHECKING:
    from overlord.store.db import Transaction

_Numbered = tuple[Interval, str, bool]
"""A chunk, a version, and whether it is about partitions that overwrite."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes
    ----------
    previous : str
        The id before in the sequence; empty when there is none or it does not count.
    lineage : bool
        Whether it counts.
    by_segment : bool
        Whether to lock the segment alone and not its time chunk.
    shard : PartialSpec
        What the shard spec will be, apart from its number.
    """

    task: Task
    datasource: str
    instant: int
    query: Granularity
    segment: Granularity
    sequence: str
    previous: str = ""
    lineage: bool = True
    lock_type: LockType = LockType.EXCLUSIVE
    by_segment: bool = False
    shard: PartialSpec = field(default_factory=PartialSpec)

    @property
    def row(self) -> Interval:
        """The interval that the segment has to contain."""
        bucket = self.query.bucket(self.instant)
        return Interval(self.instant, self.instant + 1) if bucket.empty else bucket

    @property
    def owner(self) -> Task:
        """The task, as one of the datasource allocated in, which Druid does not compare."""
        return self.task if self.task.datasource == self.datasource else replace(self.task, datasource=self.datasource)

    @property
    def allocator(self) -> str:
        """Under which id the row is kept until the last task that uses it has ended."""
        if self.task.type == "noop":
            return self.task.id
        return (
            self.task.availability_group if self.task.type in ("index_kafka", "index_kinesis") else self.task.group_id
        )


class _There:
    """What stands in the database, in the intervals that were looked at, and what was decided since."""

    def __init__(self, tx: Transaction, datasource: str) -> None:
        self._tx = tx
        self._datasource = datasource
        self._covered: list[Interval] = []
        self._used: dict[str, DataSegment] = {}
        self._visible: dict[Interval, list[DataSegment]] = {}
        self._chunks: set[Interval] = set()
        self._highest: dict[_Numbered, DataSegment] = {}
        self._numbers: dict[_Numbered, int] = {}
        self._steps: dict[tuple[str, str], list[DataSegment]] = {}
        self._places: dict[tuple[str, Interval], list[DataSegment]] = {}
        self._new: list[pending.New] = []

    def read_used(self, intervals: Iterable[Interval]) -> None:
        """Read the used segments of intervals."""
        missing = [each for each in intervals if not any(known.contains(each) for known in self._covered)]
        if missing:
            found = store.used_overlapping(self._tx, self._datasource, missing)
            self._used.update({str(segment.id): segment for segment in found})
            self._covered = condense([*self._covered, *missing])

    def read_chunks(self, intervals: Iterable[Interval]) -> None:
        """Read what decides the next number of chunks."""
        missing = [each for each in dict.fromkeys(intervals) if each not in self._chunks]
        if missing:
            self.write()
            for segment in pending.highest(self._tx, self._datasource, missing):
                self._count(segment)
            self._numbers.update(store.highest_numbers(self._tx, self._datasource, missing))
            self._chunks.update(missing)

    def read_sequences(self, wanted: Iterable[tuple[Wanted, Interval]]) -> None:
        """Read what the same requests got before."""
        steps = {(each.sequence, each.previous) for each, _ in wanted if each.lineage} - self._steps.keys()
        places = {(each.sequence, chunk) for each, chunk in wanted if not each.lineage} - self._places.keys()
        if steps or places:
            self.write()
            self._steps.update(pending.of_steps(self._tx, self._datasource, sorted(steps)))
            self._places.update(pending.of_chunks(self._tx, self._datasource, sorted(places)))

    def visible(self, interval: Interval) -> list[DataSegment]:
        """The used segments that are seen within an interval."""
        found = self._visible.get(interval)
        if found is None:
            self.read_used([interval])
            there = [segment for segment in self._used.values() if segment.interval.overlaps(interval)]
            found = self._visible[interval] = visible(there, interval)
        return found

    def highest(self, interval: Interval, *, overwriting: bool) -> list[DataSegment]:
        """The pending ids of the highest numbers that overlap an interval, for each chunk and version."""
        self.read_chunks([interval])
        return [
            segment
            for (chunk, _, overwrites), segment in self._highest.items()
            if overwrites == overwriting and chunk.overlaps(interval)
        ]

    def taken(self, segment: DataSegment) -> bool:
        """Whether there is a segment of that id, used or not."""
        if segment.shard_spec.partition_num > self._numbers.get(_numbered(segment), -1):
            return False
        return bool(store.by_ids(self._tx, self._datasource, [str(segment.id)]))

    def after_all(self, segment: DataSegment) -> int:
        """The number after those of all segments of a chunk and version, used or not."""
        return self._numbers[_numbered(segment)] + 1

    def known(self, wanted: Wanted, interval: Interval) -> list[DataSegment]:
        """What the same request got, the last at the end."""
        self.read_sequences([(wanted, interval)])
        if wanted.lineage:
            return self._steps[wanted.sequence, wanted.previous]
        return self._places[wanted.sequence, interval]

    def add(self, new: pending.New) -> None:
        """A decision."""
        segment = new.segment
        self._new.append(new)
        self._count(segment)
        self._steps.get((new.sequence, new.previous), []).append(segment)
        self._places.get((new.sequence, segment.interval), []).append(segment)

    def write(self) -> None:
        """Write what was decided.

        Raises
        ------
        Clash
            Another, which takes no locks of ours, has inserted the same.
        """
        rows, self._new = self._new, []
        if pending.insert(self._tx, rows, format_instant(now_ms())) != len(rows):
            raise Clash

    def _count(self, segment: DataSegment) -> None:
        key = _numbered(segment)
        other = self._highest.get(key)
        if other is None or other.shard_spec.partition_num < segment.shard_spec.partition_num:
            self._highest[key] = segment


class Clash(Exception):
    """An id or its key is taken although nothing that was read said so."""


class Allocation:
    """Requests for one datasource, in one transaction."""

    def __init__(self, tx: Transaction, datasource: str) -> None:
        self._tx = tx
        self._datasource = datasource
        self._board = locks.Board(tx, datasource)
        self._there = _There(tx, datasource)

    def prepare(self, many: Sequence[Wanted]) -> None:
        """Read at once what all of them will most likely ask for."""
        self._board.read_active(wanted.task.id for wanted in many)
        self._there.read_used(
            interval for wanted in many for interval in (wanted.segment.bucket(wanted.instant), wanted.row)
        )
        first = [(wanted, chunk) for wanted in many for chunk in islice(self._candidates(wanted), 1)]
        self._board.read(chunk for _, chunk in first)
        self._there.read_chunks(chunk for _, chunk in first)
        self._there.read_sequences(first)

    def allocate(self, wanted: Wanted) -> DataSegment | None:
        """The first candidate that works."""
        for candidate in self._candidates(wanted):
            found = self._try(wanted, candidate)
            if found is not None:
                return found
        return None

    def write(self) -> None:
        """Write the new rows."""
        self._there.write()

    def _candidates(self, wanted: Wanted) -> Iterator[Interval]:
        """Where used segments lie, theirs is the only one; else ever finer buckets."""
        row = wanted.row
        preferred = wanted.segment.bucket(wanted.instant)
        around = preferred if preferred.contains(row) else row
        there = [segment.interval for segment in self._there.visible(around) if segment.interval.overlaps(row)]
        if there:
            if there[0].contains(row):
                yield there[0]
            return
        last = None
        for granularity in wanted.segment.finer():
            bucket = granularity.bucket(wanted.instant)
            if bucket != last and bucket.contains(row):
                yield bucket
            last = bucket

    def _try(self, wanted: Wanted, interval: Interval) -> DataSegment | None:
        used = self._there.visible(interval)
        if len({(segment.interval, segment.version) for segment in used}) > 1:
            return None
        if used and used[0].interval != interval:
            return None
        version = locks.APPEND_VERSION if wanted.lock_type is LockType.APPEND else format_instant(now_ms())
        if not wanted.by_segment:
            lock = self._lock(wanted, LockRequest(interval=interval, type=wanted.lock_type))
            if lock is None:
                return None
            version = lock
        elif not self._board.is_active(wanted.task.id):
            return None
        known = self._there.known(wanted, interval)
        if used:
            known = [segment for segment in known if segment.version == used[0].version]
        found = known[-1] if known else self._next(wanted, interval, used, version)
        if found is None or found.interval != interval:
            return None
        if wanted.by_segment and self._lock(wanted, _of_segment(wanted, found)) is None:
            return None
        if not known:
            self._there.add(
                pending.New(
                    segment=found,
                    sequence=wanted.sequence,
                    previous=wanted.previous,
                    allocator=wanted.allocator,
                    lineage=wanted.lineage,
                )
            )
        return found

    def _lock(self, wanted: Wanted, request: LockRequest) -> str | None:
        """Take a lock; its version, or None. A task that is not active gets null, as in Druid's batched allocation."""
        try:
            acquired = locks.try_acquire(self._tx, wanted.owner, request, now_ms=now_ms(), board=self._board)
        except Unavailable:
            raise
        except ActionFailed:
            return None
        return None if acquired.lock is None or acquired.lock.revoked else acquired.lock.version

    def _next(
        self, wanted: Wanted, interval: Interval, used: Sequence[DataSegment], version: str
    ) -> DataSegment | None:
        """A new id after all that are there."""
        shard = wanted.shard
        mates = [segment for segment in used if _overwrites(segment) == shard.overwrites]
        rows = [*self._there.highest(interval, overwriting=shard.overwrites), *mates]
        if used:
            version = used[0].version
            rows = [row for row in rows if row.version == version]
        highest = max(rows, key=lambda row: (row.version, row.shard_spec.partition_num), default=None)
        if highest is None:
            return self._free(wanted, interval, version, shard.first, 0)
        if highest.interval != interval:
            return None
        committed = max(mates, key=lambda row: row.shard_spec.partition_num, default=None)
        if committed is not None and committed.shard_spec.core_partitions_unknown:
            return None
        cores = 0 if committed is None else committed.shard_spec.core_partitions
        return self._free(wanted, interval, highest.version, highest.shard_spec.partition_num + 1, cores)

    def _free(self, wanted: Wanted, interval: Interval, version: str, number: int, cores: int) -> DataSegment:
        """The id; past any that is marked unused or waits for its core set, whose file may still be there."""

        def made(number: int) -> DataSegment:
            shard_spec = wanted.shard.complete(number, cores)
            return DataSegment(datasource=self._datasource, interval=interval, version=version, shard_spec=shard_spec)

        first = made(number)
        return made(self._there.after_all(first)) if self._there.taken(first) else first


def _numbered(segment: DataSegment) -> _Numbered:
    return segment.interval, segment.version, _overwrites(segment)


def _overwrites(segment: DataSegment) -> bool:
    return segment.shard_spec.type == "numbered_overwrite"


def _of_segment(wanted: Wanted, segment: DataSegment) -> LockRequest:
    return LockRequest(
        interval=segment.interval,
        type=wanted.lock_type,
        granularity=SEGMENT,
        version=segment.version,
        partition_id=segment.shard_spec.partition_num,
    )
