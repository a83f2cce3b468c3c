"""Rows of published segments, of their commit metadata, and the ledger of publishes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from psycopg.types.json import Jsonb

from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval, condense
from overlord.model.segment import DataSegment
from overlord.model.timeline import overshadowed

if TYPE_CHECKING:
    from overlord.store.db import Transaction

FIRST = parse_instant("0000-01-01")
LAST = parse_instant("9999-12-31T23:59:59.999Z")


def bounds(interval: Interval) -> dict[str, str | None]:
    """Ends as stored texts; None where years do not compare as texts and no end shall bind."""
    return {
        "start": format_instant(interval.start) if FIRST <= interval.start <= LAST else None,
        "end": format_instant(interval.end) if FIRST <= interval.end <= LAST else None,
    }


def texts(intervals: Iterable[Interval]) -> dict[str, list[str]]:
    """Bounds of intervals as `starts` and `ends` to compare stored texts with.

    Ends outside of years of four digits bind nothing: the empty text is before, `~` after all of them.
    """
    found = condense(intervals)
    return {
        "starts": [format_instant(each.start) if FIRST <= each.start <= LAST else "" for each in found],
        "ends": [format_instant(each.end) if FIRST <= each.end <= LAST else "~" for each in found],
    }


def chunks(intervals: Iterable[Interval]) -> dict[str, list[str]]:
    """Intervals as `starts` and `ends` that are equal to stored texts."""
    found = list(dict.fromkeys(intervals))
    return {
        "starts": [format_instant(each.start) for each in found],
        "ends": [format_instant(each.end) for each in found],
    }


def parsed(payload: Any) -> DataSegment:
    """A stored payload."""
    return _parsed(bytes(payload))


@lru_cache(maxsize=4096)
def _parsed(payload: bytes) -> DataSegment:
    """The payloads of a busy chunk are looked at again and again."""
    return DataSegment.from_json(orjson.loads(payload))


def used_overlapping(
    tx: Transaction, datasource: str, intervals: Iterable[Interval], *, until: Sequence[tuple[Interval, str]] = ()
) -> list[DataSegment]:
    """Used segments that overlap any of the intervals, each once.

    Parameters
    ----------
    until : sequence of (Interval, str)
        Within each of these, only what was created by then.
    """
    wanted = condense(intervals)
    found: dict[Any, DataSegment] = {}
    for row in tx.all("segments.used_overlapping", datasource=datasource, **texts(wanted)):
        if row["id"] in found:
            continue
        segment = parsed(row["payload"])
        if any(row["created_date"] > moment and within.contains(segment.interval) for within, moment in until):
            continue
        if any(segment.interval.overlaps(interval) for interval in wanted):
            found[row["id"]] = segment
    return list(found.values())


def highest_numbers(
    tx: Transaction, datasource: str, intervals: Iterable[Interval]
) -> dict[tuple[Interval, str, bool], int]:
    """The highest partition number by chunk, version and whether it overwrites; of used and unused segments."""
    wanted = {(format_instant(each.start), format_instant(each.end)): each for each in intervals}
    rows = tx.all("segments.numbers", datasource=datasource, **chunks(wanted.values()))
    return {(wanted[row["start"], row["end"]], row["version"], row["overwrites"]): row["number"] for row in rows}


def unused_inside(
    tx: Transaction,
    datasource: str,
    interval: Interval,
    *,
    versions: Sequence[str] | None = None,
    limit: int | None = None,
    updated_until: str | None = None,
) -> list[DataSegment]:
    """Unused segments that lie wholly inside an interval, in order of time."""
    rows = tx.all(
        "segments.unused_inside",
        datasource=datasource,
        versions=None if versions is None else list(versions),
        limit=limit,
        updated=updated_until,
        **bounds(interval),
    )
    return [parsed(row["payload"]) for row in rows]


def by_ids(tx: Transaction, datasource: str, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of these segments, used or not."""
    return tx.all("segments.by_ids", datasource=datasource, ids=list(ids))


def load_specs_in_use(tx: Transaction, datasource: str, interval: Interval, given: Sequence[Any]) -> list[Any]:
    """Those of the given loadSpecs that any row has, used or not, of any datasource.

    A tombstone has no file: of its like only used ones of this datasource that overlap the interval count.
    """
    files = [each for each in given if not _is_tombstone(each)]
    found = _files_in_use(tx, files) if files else []
    tombstones = {_key(each): each for each in given if _is_tombstone(each)}
    if tombstones:
        rows = tx.stream("segments.overlapping", datasource=datasource, **bounds(interval))
        used = {_key(orjson.loads(bytes(row["payload"])).get("loadSpec")) for row in rows if row["used"]}
        found += [each for key, each in tombstones.items() if key in used]
    return found


def _files_in_use(tx: Transaction, given: Sequence[Any]) -> list[Any]:
    distinct = list({_key(each): each for each in given}.values())
    found: set[int] = set()
    for row in tx.all("segments.load_specs_in_use", given=Jsonb(distinct)):
        if row["place"] is not None:
            found.add(row["place"] - 1)
            continue
        odd = _key(orjson.loads(bytes(row["payload"])).get("loadSpec"))
        found.update(place for place, each in enumerate(distinct) if _key(each) == odd)
    return [distinct[place] for place in sorted(found)]


def _is_tombstone(load_spec: Any) -> bool:
    return load_spec is None or (isinstance(load_spec, dict) and load_spec.get("type") == "tombstone")


def _key(load_spec: Any) -> bytes:
    return orjson.dumps(load_spec, option=orjson.OPT_SORT_KEYS)


def insert(
    tx: Transaction,
    segments: Sequence[DataSegment],
    now: str,
    *,
    upgraded_from: dict[str, str] | None = None,
) -> list[DataSegment]:
    """Insert what is not there yet; what others of the same call overshadow comes in unused.

    Returns
    -------
    list of DataSegment
        Those that were inserted.
    """
    known: set[str] = set()
    for datasource in {segment.datasource for segment in segments}:
        ids = [str(segment.id) for segment in segments if segment.datasource == datasource]
        known |= {row["id"] for row in by_ids(tx, datasource, ids)}
    fresh = list({segment.id: segment for segment in segments if str(segment.id) not in known}.values())
    hidden = overshadowed(segments)
    tx.run_many(
        "segments.insert",
        rows=[
            {
                "id": str(segment.id),
                "datasource": segment.datasource,
                "now": now,
                "start": format_instant(segment.interval.start),
                "end": format_instant(segment.interval.end),
                "partitioned": segment.shard_spec.type != "none",
                "version": segment.version,
                "used": segment.id not in hidden,
                "payload": orjson.dumps(segment.to_json()),
                "upgraded_from": (upgraded_from or {}).get(str(segment.id)),
            }
            for segment in fresh
        ],
    )
    return fresh


def commit_metadata(tx: Transaction, datasource: str) -> tuple[dict[str, Any], str] | None:
    """The stored commit metadata and its sha1; None without any."""
    row = tx.one("segments.metadata", datasource=datasource)
    if row is None:
        return None
    return orjson.loads(bytes(row["commit_metadata_payload"])), row["commit_metadata_sha1"]


def set_commit_metadata(tx: Transaction, datasource: str, value: dict[str, Any], before: str | None, now: str) -> bool:
    """Store new commit metadata in place of what has the sha1 `before`; False if another came first."""
    payload = orjson.dumps(value)
    sha1 = hashlib.sha1(payload).hexdigest().upper()  # upper-case hex, as Druid writes it
    if before is None:
        return tx.run("segments.insert_metadata", datasource=datasource, payload=payload, sha1=sha1, now=now) == 1
    return tx.run("segments.update_metadata", datasource=datasource, payload=payload, sha1=sha1, before=before) == 1


def published(tx: Transaction, task_id: str, key: str) -> dict[str, Any] | None:
    """The answer that this very publish of the task got when it was committed."""
    row = tx.one("segments.published", task_id=task_id, key=key)
    return None if row is None else row["result"]


def note_publish(tx: Transaction, task_id: str, key: str, result: dict[str, Any]) -> None:
    """Write the ledger row."""
    tx.run("segments.publish", task_id=task_id, key=key, segments=len(result["segments"]), result=Jsonb(result))
