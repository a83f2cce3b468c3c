"""Actions that look segments up, or change rows of published ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from overlord import locks
from overlord.actions.base import Call, actions, refused, wrong
from overlord.actions.coverage import check_locks
from overlord.errors import ActionFailed, BadRequest
from overlord.model.instant import format_instant, now_ms, parse_instant
from overlord.model.interval import Interval
from overlord.model.lock import LockType
from overlord.model.segment import DataSegment, SegmentId
from overlord.model.timeline import visible
from overlord.store import datasources
from overlord.store import segments as store

if TYPE_CHECKING:
    from overlord.store.db import Transaction

_LIMIT = 2**31 - 1


@actions.add("segmentListUsed")
def list_used(call: Call) -> Any:
    """Used segments that overlap the intervals; those that others hide only on request."""
    java = "RetrieveUsedSegmentsAction"
    texts = call.action.get("intervals")
    if not texts:
        raise refused(java, "No interval specified for retrieving used segments", where="action.intervals")
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise wrong("intervals", "a list of intervals", texts)
    datasource = call.text("dataSource", java)
    shown = call.action.get("visibility") or "ONLY_VISIBLE"
    if shown not in ("ONLY_VISIBLE", "INCLUDING_OVERSHADOWED"):
        raise BadRequest(
            "Cannot deserialize value of type `org.apache.druid.indexing.overlord.Segments` from String "
            f'"{shown}": not one of the values accepted for Enum class: [INCLUDING_OVERSHADOWED, ONLY_VISIBLE]',
            where="action.visibility",
        )
    intervals = [Interval.parse(text) for text in texts]
    with call.services.db.transaction() as tx:
        found = store.used_overlapping(tx, datasource, intervals, until=_replacing_since(tx, call, datasource))
    if shown == "ONLY_VISIBLE":
        seen = {segment.id for interval in intervals for segment in visible(found, interval)}
        found = sorted((segment for segment in found if segment.id in seen), key=lambda segment: segment.id)
    return [segment.to_json() for segment in found]


def _replacing_since(tx: Transaction, call: Call, datasource: str) -> list[tuple[Interval, str]]:
    """What was appended after a task began to replace is not its input: it will be upgraded instead."""
    held = [lock for lock in locks.of_task(tx, call.task.id) if lock.datasource == datasource]
    return [(lock.interval, lock.version) for lock in held if lock.type is LockType.REPLACE]


@actions.add("segmentListUnused")
def list_unused(call: Call) -> Any:
    """Unused segments inside an interval."""
    java = "RetrieveUnusedSegmentsAction"
    updated = call.action.get("maxUsedStatusLastUpdatedTime")
    versions = None if call.action.get("versions") is None else call.texts("versions", java)
    limit = call.whole("limit", _LIMIT)
    if limit is not None and limit < 0:
        raise wrong("limit", "0 or more", limit)
    with call.services.db.transaction() as tx:
        found = store.unused_inside(
            tx,
            call.text("dataSource", java),
            call.interval("interval", java),
            versions=versions,
            limit=limit,
            updated_until=None if updated is None else format_instant(parse_instant(str(updated))),
        )
    return [segment.to_json() for segment in found]


def _ids(call: Call, java: str, *, early: bool = True) -> tuple[str, list[str]]:
    """Datasource and ids; `early` is whether Druid looks at the ids when it reads the action."""
    datasource, ids = call.text("dataSource", java), call.texts("segmentIds", java)
    bad = [each for each in ids if not _readable(each, datasource)]
    if bad:
        text = f"Could not parse segment IDs[{bad}] for datasource[{datasource}]".replace("'", "")
        if early:
            raise refused(java, text, where="action.segmentIds")
        raise ActionFailed(text, java="org.apache.druid.error.DruidException")
    return datasource, ids


def _readable(text: str, datasource: str) -> bool:
    try:
        return SegmentId.parse(text).datasource == datasource
    except (BadRequest, ValueError):
        return False


@actions.add("retrieveSegmentsById")
def by_id(call: Call) -> Any:
    """Segments by id, used or not."""
    datasource, ids = _ids(call, "RetrieveSegmentsByIdAction", early=False)
    with call.services.db.transaction() as tx:
        return [store.parsed(row["payload"]).to_json() for row in store.by_ids(tx, datasource, ids)]


@actions.add("retrieveUpgradedFromSegmentIds")
def upgraded_from(call: Call) -> Any:
    """Which segment each of these is a copy of."""
    datasource, ids = _ids(call, "RetrieveUpgradedFromSegmentIdsAction")
    with call.services.db.transaction() as tx:
        rows = store.by_ids(tx, datasource, ids)
    known = {row["id"]: row["upgraded_from_segment_id"] for row in rows if row["upgraded_from_segment_id"]}
    return {"upgradedFromSegmentIds": known}


@actions.add("retrieveUpgradedToSegmentIds")
def upgraded_to(call: Call) -> Any:
    """All copies of each of these, itself included."""
    datasource, ids = _ids(call, "RetrieveUpgradedToSegmentIdsAction")
    with call.services.db.transaction() as tx:
        there = {row["id"] for row in store.by_ids(tx, datasource, ids)}
        rows = tx.all("segments.upgraded_to", datasource=datasource, ids=ids)
    found = {each: [each] for each in ids if each in there}
    for row in rows:
        found.setdefault(row["upgraded_from_segment_id"], []).append(row["id"])
    return {"upgradedToSegmentIds": found}


@actions.add("markSegmentsAsUnused")
def mark_unused(call: Call) -> int:
    """Mark unused what lies wholly inside an interval; needs no lock."""
    java = "MarkSegmentsAsUnusedAction"
    datasource, interval = call.text("dataSource", java), call.interval("interval", java)

    def body() -> int:
        with call.services.db.transaction() as tx:
            tx.lock_datasource(datasource)
            return datasources.mark_unused(tx, datasource, format_instant(now_ms()), interval)

    return call.services.db.retry(body)


def given_segments(call: Call, java: str) -> list[DataSegment]:
    """The required `segments`."""
    value = call.required("segments", java)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise wrong("segments", "a list of segments", value)
    try:
        return [DataSegment.from_json(each) for each in value]
    except (TypeError, ValueError, AttributeError) as error:
        raise BadRequest(f"Cannot read 'action.segments': {error}", where="action.segments") from None


@actions.add("segmentMetadataUpdate")
def update(call: Call) -> None:
    """Replace payloads of rows that are there."""
    found = given_segments(call, "SegmentMetadataUpdateAction")
    if not found:
        raise ActionFailed(
            "org.apache.druid.error.DruidException: No segment to commit", java="java.lang.RuntimeException"
        )

    def body() -> None:
        with call.services.db.transaction() as tx:
            check_locks(tx, call.task, found)
            rows = [{"id": str(each.id), "payload": orjson.dumps(each.to_json())} for each in found]
            tx.run_many("segments.update_payload", rows=rows)

    call.services.db.retry(body)


@actions.add("segmentNuke")
def nuke(call: Call) -> None:
    """Delete rows; with `unusedOnly`, which is ours, none that someone has marked used meanwhile."""
    found = given_segments(call, "SegmentNukeAction")
    unused_only = call.action.get("unusedOnly") is True

    def body() -> None:
        with call.services.db.transaction() as tx:
            check_locks(tx, call.task, found)
            for datasource in {each.datasource for each in found}:
                ids = [str(each.id) for each in found if each.datasource == datasource]
                tx.run("segments.delete", datasource=datasource, ids=ids, unused_only=unused_only)

    call.services.db.retry(body)


@actions.add("segmentLoadSpecsInUse")
def load_specs_in_use(call: Call) -> Any:
    """Which of these loadSpecs rows still have, of any datasource; ours, for whoever deletes files."""
    java = "SegmentLoadSpecsInUseAction"
    datasource, interval = call.text("dataSource", java), call.interval("interval", java)
    given = call.required("loadSpecs", java)
    if not isinstance(given, list):
        raise wrong("loadSpecs", "a list of loadSpecs", given)
    with call.services.db.transaction() as tx:
        return store.load_specs_in_use(tx, datasource, interval, given)
