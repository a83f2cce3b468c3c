"""Tasks as clients see them: Druid's status objects, one or a hundred thousand.

Ended tasks come from the stock rows alone, so those of a stock Overlord that had the database before are
among them. Unfinished ones come from our rows: one that a stock Overlord left unfinished is listed only
after `overlord adopt`.

Both are read in one snapshot, so a task that ends meanwhile is listed once. `dump` and `page` have to be the first
to use their transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from overlord.store import task_status
from overlord.store.task_status import NEVER, NOWHERE, Brief, Status, Stored

if TYPE_CHECKING:
    from overlord.store.db import Transaction

Row = dict[str, Any]

ACTIVE = ("WAITING", "PENDING", "RUNNING")
SORTS = ("createdTime", "id", "dataSource", "type", "groupId", "statusCode", "duration")
INDEXED = SORTS[:2]  # read in order from an index
FIRST, LAST = "", "~"  # before and after every instant, as texts
BATCH = 500  # rows made into JSON at once


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which tasks to list.

    Attributes
    ----------
    active : tuple of str
        States of unfinished tasks; empty for none of them.
    ended_since : str or None
        Ended tasks created from this instant on; None for none of them.
    most : int or None
        At most so many ended tasks, the newest; unfinished ones are never cut. Not for a `page`.
    datasource : str or None
        Only its tasks, applied before `most`.
    type : str or None
        Only tasks of this type, applied after `most`.
    search : str or None
        Only tasks with this text in id, datasource, type or group, whatever the case; applied before `most`.
    created : tuple of str
        Only tasks created from the first instant on and before the second; applied before `most`.
    """

    active: tuple[str, ...] = ACTIVE
    ended_since: str | None = None
    most: int | None = None
    datasource: str | None = None
    type: str | None = None
    search: str | None = None
    created: tuple[str, str] = (FIRST, LAST)

    def narrowing(self) -> Row:
        """Parameters that all statements share."""
        return {"datasource": self.datasource, "search": self.search, "from": self.created[0], "to": self.created[1]}


@dataclass(frozen=True, kw_only=True)
class Page:
    """A stretch of a listing in which unfinished and ended tasks are sorted as one.

    Attributes
    ----------
    sort : str
        One of `SORTS`; tasks that are equal in it follow by id.
    descending : bool
    limit : int or None
        At most so many tasks.
    after : tuple of str or None
        Key and id of the last task of the page before.
    """

    sort: str = "createdTime"
    descending: bool = True
    limit: int | None = None
    after: tuple[str, str] | None = None


def dump(tx: Transaction, wanted: Wanted) -> Iterator[bytes]:
    """The JSON array of a listing, in pieces: ended tasks, newest first, then unfinished ones, oldest first."""
    tx.run("listing.snapshot")
    tx.run("listing.by_index")
    array = _Array()
    for statuses in _ended(tx, wanted):
        yield from array.more(statuses, wanted.type)
    yield from array.more([task_status.active(row) for row in _active(tx, wanted)], wanted.type)
    yield array.end()


class _Array:
    """A JSON array made piece by piece."""

    def __init__(self) -> None:
        self._begun = False

    def more(self, statuses: list[Status], task_type: str | None = None) -> Iterator[bytes]:
        """The text of more elements, those of one type if it is given."""
        if task_type is not None:
            statuses = [status for status in statuses if status.type == task_type]
        if statuses:
            yield (b"," if self._begun else b"[") + task_status.dumped(statuses)
            self._begun = True

    def end(self) -> bytes:
        """What closes it."""
        return b"]" if self._begun else b"[]"


def _active(tx: Transaction, wanted: Wanted) -> list[Row]:
    if not wanted.active:
        return []
    return tx.all("listing.active", states=list(wanted.active), **wanted.narrowing())


def _ended(tx: Transaction, wanted: Wanted) -> Iterator[list[Status]]:
    if wanted.ended_since is None or wanted.most == 0:
        return
    narrowing = {**wanted.narrowing(), "from": max(wanted.ended_since, wanted.created[0])}
    for rows in tx.batches("listing.ended", size=BATCH, most=wanted.most, **narrowing):
        yield task_status.ended(rows)


# ---------------------------------------------------------------- pages


@dataclass
class Place:
    """Where a page ended, told once it was read: key and id of its last task; None if nothing is left behind it."""

    after: tuple[str, str] | None = None


_Keyed = tuple[tuple[str, str], Status]  # (sort key, id), and the task


def page(tx: Transaction, wanted: Wanted, page: Page, place: Place) -> Iterator[bytes]:
    """The JSON array of one page, in pieces; `place` then says where the next one begins."""
    most = None if page.limit is None else page.limit + 1  # one more shows whether there is a next page
    shared = {
        **wanted.narrowing(),
        "type": wanted.type,
        "sort": page.sort,
        "descending": page.descending,
        "after_key": page.after and page.after[0],
        "after_id": page.after and page.after[1],
        "limit": most,
    }
    tx.run("listing.snapshot")
    if page.sort in INDEXED:
        tx.run("listing.by_index")
    active = [_keyed(row) for row in _active_page(tx, wanted, shared)]
    merged = merge(active, _ended_page(tx, wanted, shared), key=itemgetter(0), reverse=page.descending)
    array, left, last = _Array(), page.limit, None
    while batch := list(islice(merged, BATCH if left is None else min(BATCH, left))):
        yield from array.more([status for _, status in batch])
        last = batch[-1][0]
        left = None if left is None else left - len(batch)
    if left == 0 and next(merged, None) is not None:
        place.after = last
    yield array.end()


def _active_page(tx: Transaction, wanted: Wanted, shared: Row) -> list[Row]:
    return tx.all("listing.active_page", states=list(wanted.active), **shared) if wanted.active else []


def _keyed(row: Row) -> _Keyed:
    return (row["sort_key"], row["id"]), task_status.active(row)


def _ended_page(tx: Transaction, wanted: Wanted, shared: Row) -> Iterator[_Keyed]:
    if wanted.ended_since is None:
        return
    narrowed = {**shared, "from": max(wanted.ended_since, wanted.created[0])}
    for rows in tx.batches("listing.ended_page", size=BATCH, **narrowed):
        for row, status in zip(rows, task_status.ended(rows), strict=True):
            yield (row[7], row[0]), status


def sizes(tx: Transaction) -> list[tuple[str, str, int]]:
    """State, datasource and number of unfinished tasks."""
    return [(row["state"], row["datasource"], row["size"]) for row in tx.all("listing.sizes")]


# ---------------------------------------------------------------- single tasks


def exists(tx: Transaction, task_id: str) -> bool:
    """Whether there is or was such a task."""
    return bool(tx.all("listing.some", ids=[task_id]))


def payload(tx: Transaction, task_id: str) -> bytes | None:
    """A task as it was stored, JSON text; None for an unknown one."""
    row = tx.one("listing.payload", id=task_id)
    return None if row is None else bytes(row["payload"])


def progress(tx: Transaction, task_id: str) -> Row | None:
    """What a task's worker told last, its state, and how long ago that was."""
    return tx.one("listing.progress", id=task_id)


def status(tx: Transaction, task_id: str) -> Row | None:
    """The status object of `task/{id}/status`: queueInsertionTime is 1970 whatever the state, as in Druid."""
    for row in tx.all("listing.some", ids=[task_id]):
        if row["active"]:
            found = task_status.active({**row, "state": row["state"] or "WAITING", "queue_insertion_time": NEVER})
        else:
            columns = ("id", "created_date", "datasource", "type", "group_id", "status_payload", "payload")
            (found,) = task_status.ended([[row[name] for name in columns]])
            if found.type == "index_kafka":  # Druid's runner forgets them as soon as they have ended
                found.runnerStatusCode = "WAITING"
        as_dict: Row = msgspec.to_builtins(found)
        return as_dict
    return None


def brief(tx: Transaction, ids: Iterable[str]) -> dict[str, Row]:
    """`id`, `status`, `duration`, `errorMsg` and `location` of those tasks that exist."""
    rows = tx.all("listing.some", ids=list(ids))
    ended = iter(task_status.stored([row["status_payload"] for row in rows if not row["active"]]))
    return {row["id"]: _brief(row["id"], task_status.running(row) if row["active"] else next(ended)) for row in rows}


def _brief(task_id: str, told: Stored) -> Row:
    shape = Brief(task_id, told.status, told.duration, told.errorMsg, told.location or NOWHERE)
    as_dict: Row = msgspec.to_builtins(shape)
    return as_dict


def oldest_active(tx: Transaction, datasource: str) -> Row | None:
    """`id` and `created_date` of a datasource's unfinished task that was created first."""
    return tx.one("listing.active_in_datasource", datasource=datasource)
