"""Druid's status object of a task, made a batch of rows at a time.

The stored status and the answer are msgspec structs: decoding and encoding of a batch is one call each, which is what
makes a listing of a hundred thousand tasks a matter of a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

NEVER = "1970-01-01T00:00:00.000Z"


class TaskLocation(msgspec.Struct, gc=False, frozen=True):
    """Where a task runs or ran."""

    host: str | None = None
    port: int = -1
    tlsPort: int = -1  # noqa: N815 - these are the names on the wire


NOWHERE = TaskLocation()


class Stored(msgspec.Struct, gc=False):
    """What `status_payload` says."""

    status: str
    duration: int | float | None = -1
    errorMsg: str | None = None  # noqa: N815
    location: TaskLocation | None = None


class Brief(msgspec.Struct, gc=False):
    """The short form, of `taskStatus`."""

    id: str
    status: str
    duration: int | float | None
    errorMsg: str | None  # noqa: N815
    location: TaskLocation


class Status(msgspec.Struct, gc=False):
    """The long form, its fields in Druid's order."""

    id: str
    groupId: str | None  # noqa: N815
    type: str | None
    createdTime: str  # noqa: N815
    queueInsertionTime: str  # noqa: N815
    statusCode: str  # noqa: N815
    status: str
    runnerStatusCode: str  # noqa: N815
    duration: int | float | None
    location: TaskLocation
    dataSource: str  # noqa: N815
    errorMsg: str | None  # noqa: N815


class _OfPayload(msgspec.Struct, gc=False):
    """What rows older than columns `type` and `group_id` have in their payload alone."""

    type: str | None = None
    groupId: str | None = None  # noqa: N815


_one = msgspec.json.Decoder(Stored)
_many = msgspec.json.Decoder(list[Stored])
_payload = msgspec.json.Decoder(_OfPayload)
_encode = msgspec.json.Encoder().encode


def stored(payloads: Sequence[bytes]) -> list[Stored]:
    """Stored statuses; one that cannot be read becomes a failure that says so, and hides no other."""
    try:
        return _many.decode(b"[" + b",".join(payloads) + b"]")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return [_readable(payload) for payload in payloads]


def _readable(payload: bytes) -> Stored:
    try:
        return _one.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Stored("FAILED", errorMsg=f"The stored status of this task cannot be read: {error}")


def ended(rows: Sequence[Sequence[Any]]) -> list[Status]:
    """Of ended tasks: id, created_date, datasource, type, group_id, status_payload, payload, ..."""
    out = []
    for row, told in zip(rows, stored([row[5] for row in rows]), strict=True):
        task_type, group = row[3], row[4]
        if row[6] is not None:
            task_type, group = _typed(row)
        out.append(
            Status(
                row[0],
                group,
                task_type,
                row[1],
                NEVER,
                told.status,
                told.status,
                "NONE",
                told.duration,
                told.location or NOWHERE,
                row[2],
                told.errorMsg,
            )
        )
    return out


def _typed(row: Sequence[Any]) -> tuple[str | None, str | None]:
    try:
        task = _payload.decode(row[6])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        task = _OfPayload()
    return row[3] or task.type, row[4] or task.groupId or row[0]


def active(row: dict[str, Any]) -> Status:
    """Of an unfinished task of ours, by its row."""
    inserted = NEVER if row["state"] == "WAITING" else row["queue_insertion_time"] or NEVER
    told = running(row)
    return Status(
        row["id"],
        row["group_id"],
        row["type"],
        row["created_date"],
        inserted,
        told.status,
        told.status,
        row["state"],
        told.duration,
        told.location or NOWHERE,
        row["datasource"],
        told.errorMsg,
    )


def running(row: dict[str, Any]) -> Stored:
    """The status of a task that has not ended, with its location as far as it is known."""
    location = NOWHERE
    if row["state"] == "RUNNING" and row["host"] is not None:
        location = TaskLocation(row["host"], row["port"] or -1, row["tls_port"] or -1)
    return Stored("RUNNING", location=location)


def dumped(statuses: Sequence[Status]) -> bytes:
    """Statuses as JSON, without the brackets of an array."""
    return _encode(statuses)[1:-1]
