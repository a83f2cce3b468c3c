"""Rows of segments that are allocated and not yet published."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from overlord.model.instant import format_instant
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.store.segments import bounds

if TYPE_CHECKING:
    from overlord.store.db import Transaction


@dataclass(frozen=True)
class Pending:
    """One row.

    Attributes
    ----------
    segment : DataSegment
        Its id, without what only a built segment has.
    """

    id: str
    segment: DataSegment
    sequence: str
    allocator: str | None


def to_json(segment: DataSegment) -> dict[str, Any]:
    """A segment's id as Druid answers and stores it."""
    return {
        "dataSource": segment.datasource,
        "interval": str(segment.interval),
        "version": segment.version,
        "shardSpec": segment.shard_spec.to_json(),
    }


def _parsed(row: dict[str, Any]) -> DataSegment:
    return DataSegment.from_json(orjson.loads(bytes(row["payload"])))


def overlapping(tx: Transaction, datasource: str, interval: Interval) -> list[Pending]:
    """All that overlap an interval, the oldest first."""
    rows = tx.all("pending.overlapping", datasource=datasource, **bounds(interval))
    found = [Pending(row["id"], _parsed(row), row["sequence_name"], row["task_allocator_id"]) for row in rows]
    return [each for each in found if each.segment.interval.overlaps(interval)]


def of_sequence(tx: Transaction, datasource: str, sequence: str, previous: str) -> list[DataSegment]:
    """Those of one step of a sequence."""
    rows = tx.all("pending.of_sequence", datasource=datasource, sequence=sequence, previous=previous)
    return [_parsed(row) for row in rows]


def of_sequence_in(tx: Transaction, datasource: str, sequence: str, interval: Interval) -> list[DataSegment]:
    """Those of a sequence on exactly this interval."""
    start, end = format_instant(interval.start), format_instant(interval.end)
    rows = tx.all("pending.of_sequence_in", datasource=datasource, sequence=sequence, start=start, end=end)
    return [_parsed(row) for row in rows]


def unique_key(sequence: str, version: str, *, previous: str | None = None, interval: Interval | None = None) -> str:
    """Druid's sequence_name_prev_id_sha1.

    sha1(sequence FF x FF version) in upper-case hex, where x is the previous id or, where lineage does not count,
    the interval's ends as two 64 bit little-endian numbers of milliseconds ("segmentAllocate" in the references).
    """
    middle = (previous or "").encode() if interval is None else struct.pack("<qq", interval.start, interval.end)
    return hashlib.sha1(b"\xff".join([sequence.encode(), middle, version.encode()])).hexdigest().upper()


def insert(
    tx: Transaction,
    segment: DataSegment,
    *,
    sequence: str,
    previous: str,
    allocator: str | None,
    now: str,
    lineage: bool = True,
    upgraded_from: str | None = None,
) -> bool:
    """Insert a row; False if its id or its key is taken."""
    where = {} if lineage else {"interval": segment.interval}
    changed = tx.run(
        "pending.insert",
        id=str(segment.id),
        datasource=segment.datasource,
        now=now,
        start=format_instant(segment.interval.start),
        end=format_instant(segment.interval.end),
        sequence=sequence,
        previous=previous,
        sha1=unique_key(sequence, segment.version, previous=previous, **where),
        payload=orjson.dumps(to_json(segment)),
        allocator=allocator,
        upgraded_from=upgraded_from,
    )
    return changed == 1
