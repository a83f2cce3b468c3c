"""Tasks as clients see them: Druid's status objects, one or a hundred thousand.

Ended tasks come from the stock rows alone, so those of a stock Overlord that had the database before are
among them. Unfinished ones come from our rows: one that a stock Overlord left unfinished is listed only
after `overlord adopt`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from overlord.store.db import Transaction

Row = dict[str, Any]

NEVER = "1970-01-01T00:00:00.000Z"
NOWHERE = {"host": None, "port": -1, "tlsPort": -1}
ACTIVE = ("WAITING", "PENDING", "RUNNING")
BATCH = 500  # rows dumped at once


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
        At most so many ended tasks, the newest; unfinished ones are never cut.
    datasource : str or None
        Only its tasks, applied before `most`.
    type : str or None
        Only tasks of this type, applied after `most`.
    """

    active: tuple[str, ...] = ACTIVE
    ended_since: str | None = None
    most: int | None = None
    datasource: str | None = None
    type: str | None = None


def dump(tx: Transaction, wanted: Wanted) -> Iterator[bytes]:
    """The JSON array of a listing, in pieces: ended tasks, newest first, then unfinished ones, oldest first.

    Unfinished ones are read first: a task that ends meanwhile is then found twice, and shown once, as ended;
    the other way round it could be missed.
    """
    active = _active(tx, wanted)
    ids = {row["id"] for row in active}
    separator = b"["
    for rows in _batches(_ended(tx, wanted), BATCH):
        ids.difference_update(row["id"] for row in rows)
        shown = [_ended_json(row) for row in rows]
        if wanted.type is not None:
            shown = [status for status in shown if status["type"] == wanted.type]
        if shown:
            yield separator + orjson.dumps(shown)[1:-1]
            separator = b","
    shown = [_active_json(row) for row in active if row["id"] in ids]
    if shown:
        yield separator + orjson.dumps(shown)[1:-1]
        separator = b","
    yield b"[]" if separator == b"[" else b"]"


def _active(tx: Transaction, wanted: Wanted) -> list[Row]:
    if not wanted.active:
        return []
    if wanted.datasource is None:
        rows = tx.all("listing.active", states=list(wanted.active))
    else:
        rows = tx.all("listing.active_of_datasource", states=list(wanted.active), datasource=wanted.datasource)
    return [row for row in rows if wanted.type is None or row["type"] == wanted.type]


def _ended(tx: Transaction, wanted: Wanted) -> Iterator[Row]:
    if wanted.ended_since is None or wanted.most == 0:
        return iter(())
    limits = {"since": wanted.ended_since, "most": wanted.most}
    if wanted.datasource is None:
        return tx.stream("listing.ended", **limits)
    return tx.stream("listing.ended_of_datasource", datasource=wanted.datasource, **limits)


def _batches(rows: Iterator[Row], size: int) -> Iterator[Sequence[Row]]:
    while batch := list(islice(rows, size)):
        yield batch


def _ended_json(row: Row) -> Row:
    stored = orjson.loads(row["status_payload"])
    return _status(row, "NONE", NEVER, stored)


def _active_json(row: Row) -> Row:
    inserted = NEVER if row["state"] == "WAITING" else row["queue_insertion_time"] or NEVER
    return _status(row, row["state"], inserted, _running(row))


def _running(row: Row) -> Row:
    """The stored status of a task that has not ended, with its location as far as it is known."""
    location = NOWHERE
    if row["state"] == "RUNNING" and row["host"] is not None:
        location = {"host": row["host"], "port": row["port"] or -1, "tlsPort": row["tls_port"] or -1}
    return {"status": "RUNNING", "duration": -1, "errorMsg": None, "location": location}


def _status(row: Row, runner_status: str, inserted: str, stored: Row) -> Row:
    """Druid's status object, its keys in Druid's order."""
    task_type, group_id = row["type"], row["group_id"]
    if task_type is None or group_id is None:
        task = orjson.loads(row["payload"])
        task_type, group_id = task.get("type"), task.get("groupId", row["id"])
    return {
        "id": row["id"],
        "groupId": group_id,
        "type": task_type,
        "createdTime": row["created_date"],
        "queueInsertionTime": inserted,
        "statusCode": stored["status"],
        "status": stored["status"],
        "runnerStatusCode": runner_status,
        "duration": stored.get("duration", -1),
        "location": stored.get("location") or NOWHERE,
        "dataSource": row["datasource"],
        "errorMsg": stored.get("errorMsg"),
    }


def exists(tx: Transaction, task_id: str) -> bool:
    """Whether there is or was such a task."""
    return bool(tx.all("listing.some", ids=[task_id]))


def payload(tx: Transaction, task_id: str) -> bytes | None:
    """A task as it was stored, JSON text; None for an unknown one."""
    row = tx.one("listing.payload", id=task_id)
    return None if row is None else bytes(row["payload"])


def status(tx: Transaction, task_id: str) -> Row | None:
    """The status object of `task/{id}/status`: queueInsertionTime is 1970 whatever the state, as in Druid."""
    for row in tx.all("listing.some", ids=[task_id]):
        if row["active"]:
            return _status(row, row["state"] or "WAITING", NEVER, _running(row))
        return _status(row, "NONE", NEVER, orjson.loads(row["status_payload"]))
    return None


def brief(tx: Transaction, ids: Iterable[str]) -> dict[str, Row]:
    """`id`, `status`, `duration`, `errorMsg` and `location` of those tasks that exist."""
    out = {}
    for row in tx.all("listing.some", ids=list(ids)):
        stored = _running(row) if row["active"] else orjson.loads(row["status_payload"])
        out[row["id"]] = {
            "id": row["id"],
            "status": stored["status"],
            "duration": stored.get("duration", -1),
            "errorMsg": stored.get("errorMsg"),
            "location": stored.get("location") or NOWHERE,
        }
    return out


def oldest_active(tx: Transaction, datasource: str) -> Row | None:
    """`id` and `created_date` of a datasource's unfinished task that was created first."""
    return tx.one("listing.active_in_datasource", datasource=datasource)
