"""segmentAllocate: the id of the segment that will take a row, so that it joins what is there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from overlord.actions import partial_spec
from overlord.actions.allocation import Allocation, Wanted
from overlord.actions.base import Call, actions
from overlord.actions.locks import lock_type
from overlord.errors import BadRequest
from overlord.model.granularity import Granularity
from overlord.model.instant import parse_instant
from overlord.model.lock import GRANULARITIES
from overlord.model.segment import DataSegment
from overlord.store import pending

if TYPE_CHECKING:
    from overlord.store.db import Database

JAVA = "SegmentAllocateAction"


@actions.add("segmentAllocate")
def allocate(call: Call) -> Any:
    """A segment id, or null. Those that ask for one datasource at the same time share a transaction."""
    db = call.services.db
    wanted = read(call)
    found = db.groups.ask(f"allocate:{wanted.datasource}", wanted, lambda many: allocate_all(db, many))
    return None if found is None else pending.to_json(found)


def allocate_all(db: Database, many: Sequence[Wanted]) -> list[DataSegment | None]:
    """Allocate for one datasource, in order, in one transaction; the outcome is as if each had come alone."""

    def body() -> list[DataSegment | None]:
        with db.transaction() as tx:
            allocation = Allocation(tx, many[0].datasource)
            allocation.prepare(many)
            found = [allocation.allocate(wanted) for wanted in many]
            allocation.write()
        return found

    return db.retry(body)


def read(call: Call) -> Wanted:
    """What an action asks for.

    Raises
    ------
    BadRequest
        A field is missing or cannot be read.
    """
    datasource = call.text("dataSource", JAVA)
    stamp = call.required("timestamp", JAVA)
    instant = stamp if isinstance(stamp, int) and not isinstance(stamp, bool) else parse_instant(str(stamp))
    previous = call.action.get("previousSegmentId")
    skip = call.action.get("skipSegmentLineageCheck") is True
    given = call.action.get("shardSpecFactory", call.action.get("partialShardSpec"))
    return Wanted(
        task=call.task,
        datasource=datasource,
        instant=instant,
        query=_granularity(call.required("queryGranularity", JAVA)),
        segment=_granularity(call.required("preferredSegmentGranularity", JAVA)),
        sequence=call.text("sequenceName", JAVA),
        previous="" if skip or previous is None else str(previous),
        lineage=not skip,
        lock_type=lock_type(call, "taskLockType"),
        by_segment=_by_segment(call),
        shard=partial_spec.read(given),
    )


def _by_segment(call: Call) -> bool:
    value = call.action.get("lockGranularity") or "TIME_CHUNK"
    if value not in GRANULARITIES:
        raise BadRequest(
            "Cannot deserialize value of type `org.apache.druid.indexing.common.LockGranularity` from String "
            f'"{value}": not one of the values accepted for Enum class: [{", ".join(GRANULARITIES)}]',
            where="action.lockGranularity",
        )
    return bool(value == "SEGMENT")


def _granularity(value: Any) -> Granularity:
    return _parsed(orjson.dumps(value))


@lru_cache(maxsize=256)
def _parsed(text: bytes) -> Granularity:
    """The same few come again and again."""
    return Granularity.parse(orjson.loads(text))
