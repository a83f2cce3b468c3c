"""Rows of segments that are allocated and not yet published."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from overlord.errors import BadRequest
from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.store import listing
from overlord.store.segments import parsed, texts

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
    upgraded_from: str | None = None


def to_json(segment: DataSegment) -> dict[str, Any]:
    """A segment's id as Druid answers and stores it."""
    return {
        "dataSource": segment.datasource,
        "interval": str(segment.interval),
        "version": segment.version,
        "shardSpec": segment.shard_spec.to_json(),
    }


def overlapping(tx: Transaction, datasource: str, interval: Interval) -> list[Pending]:
    """All that overlap an interval, the oldest first."""
    rows = tx.all("pending.overlapping", datasource=datasource, **texts([interval]))
    found = {
        row["id"]: Pending(
            row["id"],
            parsed(row["payload"]),
            row["sequence_name"],
            row["task_allocator_id"],
            row["upgraded_from_segment_id"],
        )
        for row in rows
    }
    return [each for each in found.values() if each.segment.interval.overlaps(interval)]


def highest(tx: Transaction, datasource: str, intervals: Iterable[Interval]) -> list[DataSegment]:
    """Of each chunk and version that may overlap the intervals the one of the highest number, overwriting apart."""
    return [parsed(row["payload"]) for row in tx.all("pending.highest", datasource=datasource, **texts(intervals))]


def of_steps(
    tx: Transaction, datasource: str, steps: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], list[DataSegment]]:
    """Those of steps of sequences, which are a name and the id before."""
    wanted = list(dict.fromkeys(steps))
    names, previous = [name for name, _ in wanted], [previous for _, previous in wanted]
    found: dict[tuple[str, str], list[DataSegment]] = {step: [] for step in wanted}
    for row in tx.all("pending.of_steps", datasource=datasource, names=names, previous=previous) if wanted else ():
        found[row["sequence_name"], row["sequence_prev_id"]].append(parsed(row["payload"]))
    return found


def of_chunks(
    tx: Transaction, datasource: str, places: Iterable[tuple[str, Interval]]
) -> dict[tuple[str, Interval], list[DataSegment]]:
    """Those of sequences on exactly these intervals."""
    wanted = list(dict.fromkeys(places))
    keys = {(name, format_instant(each.start), format_instant(each.end)): (name, each) for name, each in wanted}
    found: dict[tuple[str, Interval], list[DataSegment]] = {place: [] for place in wanted}
    names, starts, ends = ([key[n] for key in keys] for n in range(3))
    rows = tx.all("pending.of_chunks", datasource=datasource, names=names, starts=starts, ends=ends) if wanted else ()
    for row in rows:
        found[keys[row["sequence_name"], row["start"], row["end"]]].append(parsed(row["payload"]))
    return found


def unique_key(sequence: str, version: str, *, previous: str | None = None, interval: Interval | None = None) -> str:
    """Druid's sequence_name_prev_id_sha1.

    sha1(sequence FF x FF version) in upper-case hex, where x is the previous id or, where lineage does not count,
    the interval's ends as two 64 bit little-endian numbers of milliseconds ("segmentAllocate" in the references).
    """
    middle = (previous or "").encode() if interval is None else struct.pack("<qq", interval.start, interval.end)
    return hashlib.sha1(b"\xff".join([sequence.encode(), middle, version.encode()])).hexdigest().upper()


@dataclass(frozen=True, kw_only=True)
class New:
    """A row to be.

    Attributes
    ----------
    lineage : bool
        Whether the previous id is part of the row's key, else its interval is.
    """

    segment: DataSegment
    sequence: str
    previous: str
    allocator: str | None
    lineage: bool = True
    upgraded_from: str | None = None


def insert(tx: Transaction, rows: Iterable[New], now: str) -> int:
    """Insert rows; those whose id or key is taken are left out. Returns how many went in."""
    return tx.run_many("pending.insert", rows=[_row(row, now) for row in rows])


def _row(new: New, now: str) -> dict[str, Any]:
    segment = new.segment
    where = {} if new.lineage else {"interval": segment.interval}
    return {
        "id": str(segment.id),
        "datasource": segment.datasource,
        "now": now,
        "start": format_instant(segment.interval.start),
        "end": format_instant(segment.interval.end),
        "sequence": new.sequence,
        "previous": new.previous,
        "sha1": unique_key(new.sequence, segment.version, previous=new.previous, **where),
        "payload": orjson.dumps(to_json(segment)),
        "allocator": new.allocator,
        "upgraded_from": new.upgraded_from,
    }


def check_deletable(tx: Transaction, datasource: str, created: Interval) -> None:
    """Be alone with a datasource, and sure that no unfinished task of it may use what was created within a time.

    Raises
    ------
    BadRequest
        One may.
    """
    tx.lock_datasource(datasource)
    active = listing.oldest_active(tx, datasource)
    if active is not None and parse_instant(active["created_date"]) < created.end:
        raise BadRequest(
            f"Cannot delete pendingSegments for datasource[{datasource}] as there is at least one active "
            f"task[{active['id']}] created at[{active['created_date']}] that overlaps with the delete "
            f"interval[{created}]. Please retry when there are no active tasks."
        )
