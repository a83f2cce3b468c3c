"""The rows of tasks: the stock ones and ours, which are always written together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from psycopg.types.json import Jsonb

from overlord.model.attempts import Retry, timeout_of
from overlord.model.audit import AuditInfo
from overlord.model.idempotency import Idempotency
from overlord.model.interval import Interval
from overlord.model.secrets import Secret, redact, restore
from overlord.model.subtasks import parent_of
from overlord.model.task import Location, Task

if TYPE_CHECKING:
    from overlord.store.db import Transaction

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A task that asks to be accepted, and who sent it when."""

    task: Task
    payload: bytes
    audit: AuditInfo
    created: str
    key: Idempotency | None = None


def submit(
    tx: Transaction, task: Task, payload: bytes, audit: AuditInfo, created: str, key: Idempotency | None = None
) -> int | None:
    """Insert a new task. Returns its place in the order of submission, or None when the id is taken."""
    return submit_all(tx, [Submission(task=task, payload=payload, audit=audit, created=created, key=key)])[0]


def submit_all(tx: Transaction, submissions: Sequence[Submission]) -> list[int | None]:
    """Insert new tasks by one statement; of several with one id the first. Returns what `submit` does, for each."""
    first: dict[str, int] = {}
    rows: list[Row] = []
    payloads: list[bytes] = []
    at = 1
    for place, new in enumerate(submissions):
        if new.task.id in first:
            continue
        first[new.task.id] = place
        clean, secrets = redact(new.task.payload)
        payload = orjson.dumps(clean) if secrets else new.payload
        rows.append(_new_row(new, secrets) | {"place": place, "payload_at": at, "payload_size": len(payload)})
        payloads.append(payload)
        at += len(payload)
    accepted = tx.all("queue.submit", rows=orjson.dumps(rows).decode(), payloads=b"".join(payloads))
    seqs = {row["id"]: int(row["seq"]) for row in accepted}
    return [seqs.get(new.task.id) if first[new.task.id] == place else None for place, new in enumerate(submissions)]


def _new_row(new: Submission, secrets: list[Secret]) -> Row:
    task = new.task
    retry = None if "supervisorTaskId" in task.payload else Retry.of(task.context)  # a sub-task is its parent's affair
    return {
        "id": task.id,
        "created": new.created,
        "datasource": task.datasource,
        "secrets": secrets or None,
        "status_payload": status_payload(task.id, "RUNNING").decode(),
        "type": task.type,
        "group_id": task.group_id,
        "availability_group": task.availability_group,
        "required_capacity": task.required_capacity,
        "priority": task.priority,
        "author": _text(new.audit.author)[:255],
        "comment": _text(new.audit.comment)[:2048],
        "audit": audit_payload(task, new.audit, new.created).decode(),
        "parent_id": parent_of(task.payload),
        "retry": None if retry is None else retry.to_json(),
        "timeout_ms": timeout_of(task.context),
        "key": None if new.key is None else new.key.key,
        "digest": None if new.key is None else new.key.digest,
    }


def _text(text: str) -> str:
    """Without U+0000, which Postgres has no room for."""
    return text.replace("\0", "\ufffd")


def of_key(tx: Transaction, key: str) -> tuple[str, str] | None:
    """Id and digest of the task that was submitted under a key; alone with the key until the transaction ends."""
    tx.run("queue.key_lock", key=key)
    row = tx.one("queue.of_key", key=key)
    if row is not None and not row["there"]:  # cleaned up by a stock Overlord, which does not know our row
        tx.run("queue.free_key", key=key)
        return None
    return None if row is None else (row["id"], row["body_digest"])


def has_room(tx: Transaction, max_size: int) -> bool:
    """Whether one more task fits. Submits are serialised from here on, so that the count still holds at commit."""
    tx.run("queue.size_lock")
    row = tx.one("queue.size_count", most=max_size)
    return row is not None and int(row["size"]) < max_size


def task_exists(tx: Transaction, task_id: str) -> bool:
    """Whether the id is taken, by a task of ours or of a stock Overlord."""
    return tx.one("queue.exists", id=task_id) is not None


def status_payload(
    task_id: str,
    status: str,
    *,
    duration_ms: int = -1,
    error: str | None = None,
    location: Location | None = None,
) -> bytes:
    """Druid's `status_payload`, with an errorMsg of at most about 1024 characters."""
    return orjson.dumps(
        {
            "id": task_id,
            "status": status,
            "duration": duration_ms,
            "errorMsg": shorten(error),
            "location": (location or Location()).to_json(),
        }
    )


def shorten(text: str | None, most: int = 1024) -> str | None:
    """Cut a long text in its middle, as Druid does."""
    if text is None or len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}...{len(text) - 2 * half} characters omitted...{text[-half:]}"


def audit_payload(task: Task, audit: AuditInfo, created: str) -> bytes:
    """The audit row of a submitted task: of the task only its id, group and type."""
    brief = {"id": task.id, "groupId": task.group_id, "type": task.type}
    return orjson.dumps(
        {
            "key": task.datasource,
            "type": "task",
            "auditInfo": audit.to_json(),
            "request": audit.request,
            "payload": orjson.dumps(brief).decode(),
            "auditTime": created,
        }
    )


def move(
    tx: Transaction,
    task_ids: Sequence[str],
    *,
    event: str,
    sources: list[str],
    to: str,
    epoch: int,
    at: str,
    attempt: int | None = None,
    token: str | None = None,
    runner: str | None = None,
    cause: str | None = None,
    detail: Row | None = None,
    delay_ms: int | None = None,
) -> list[Row]:
    """One guarded step of each with its event; `overlord.states` is who calls it."""
    return tx.all(
        "queue.move",
        ids=list(task_ids),
        event=event,
        sources=sources,
        to=to,
        epoch=epoch,
        attempt=attempt,
        token=token,
        runner=runner,
        cause=cause,
        detail=_jsonb(detail),
        delay_ms=delay_ms,
        at=at,
    )


def fence(tx: Transaction, epoch: int, *, hurried: bool = True) -> bool:
    """Whether `epoch` leads; if so it does until this transaction ends.

    One that is not `hurried` may be undone by a crash of Postgres, until a later one is committed.
    """
    return tx.one("queue.fence" if hurried else "queue.fence_unhurried", epoch=epoch) is not None


def end_stock(tx: Transaction, task_id: str, status: bytes) -> bool:
    """Write a stock row's last status; False when it had one."""
    return tx.run("queue.end_stock", id=task_id, status_payload=status) > 0


def task(tx: Transaction, task_id: str) -> Row | None:
    """Our row of a task."""
    return tx.one("queue.task", id=task_id)


def payload(tx: Transaction, task_id: str) -> bytes | None:
    """The stored task as JSON text, with its passwords: for whoever runs it."""
    row = tx.one("queue.payload", id=task_id)
    if row is None:
        return None
    stored = bytes(row["payload"])
    return orjson.dumps(restore(orjson.loads(stored), row["secrets"])) if row["secrets"] else stored


def waiting_payloads(tx: Transaction, ids: Iterable[str]) -> list[Row]:
    """`id`, `seq`, `payload` of those that still wait, in order of submission."""
    return tx.all("queue.payloads", ids=list(ids))


def open_tasks(tx: Transaction) -> list[Row]:
    """All unfinished tasks that are ours, in order of submission."""
    return tx.all("queue.open")


def open_of_datasource(tx: Transaction, datasource: str) -> list[str]:
    """Ids of a datasource's unfinished tasks, in order of submission."""
    return [row["id"] for row in tx.all("queue.open_of_datasource", datasource=datasource)]


def open_children(tx: Transaction, task_id: str) -> list[Row]:
    """Rows of a task's unfinished sub-tasks, in order of submission."""
    return tx.all("queue.open_children", id=task_id)


def lock_keys(tx: Transaction, datasource: str) -> list[tuple[str, str, str]]:
    """Holder, type and interval of a datasource's locks that are not revoked."""
    rows = tx.all("queue.lock_keys", datasource=datasource)
    return [(row["task_id"], row["type"], str(Interval(row["start_ms"], row["end_ms"]))) for row in rows]


def worker_started(tx: Transaction, task_id: str, attempt: int, token: str, identity: Row, location: Location) -> bool:
    """Take a worker's first word; False when it is not the attempt that runs."""
    row = tx.one(
        "queue.worker_started",
        id=task_id,
        attempt=attempt,
        token=token,
        identity=_jsonb(identity),
        host=location.host,
        port=location.port,
        tls_port=location.tls_port,
    )
    return row is not None


def heartbeat(tx: Transaction, task_id: str, attempt: int, token: str, progress: Row | None) -> bool:
    """A sign of life; False when it is not the attempt that runs."""
    row = tx.one("queue.heartbeat", id=task_id, attempt=attempt, token=token, progress=_jsonb(progress))
    return row is not None


def chat_at(tx: Transaction, task_id: str, attempt: int, token: str, place: Row) -> bool:
    """Where the worker listens; False when it is not the attempt that runs."""
    row = tx.one("queue.chat_at", id=task_id, attempt=attempt, token=token, chat=_jsonb(place))
    return row is not None


def chat_of(tx: Transaction, task_id: str) -> Row | None:
    """Where the worker of a running task listens: host, port, password; None if it does not, or not yet."""
    row = tx.one("queue.chat_of", id=task_id)
    return None if row is None else row["chat"]


def identify(tx: Transaction, task_id: str, attempt: int, identity: Row, location: Location) -> None:
    """Fill in what a worker could not tell before its Overlord died."""
    tx.run(
        "queue.identify",
        id=task_id,
        attempt=attempt,
        identity=_jsonb(identity),
        host=location.host,
        port=location.port,
        tls_port=location.tls_port,
    )


def attempt_token(tx: Transaction, task_id: str) -> Row | None:
    """`state`, `attempt` and `token` of a task."""
    return tx.one("queue.attempt", id=task_id)


def runs(tx: Transaction, task_id: str, attempt: int) -> bool:
    """Whether that attempt is the one that runs."""
    row = tx.one("queue.attempt", id=task_id)
    return row is not None and row["state"] == "RUNNING" and row["attempt"] == attempt


def published(tx: Transaction, task_id: str) -> bool:
    """Whether the task committed any publish."""
    return tx.one("queue.published", id=task_id) is not None


def published_finally(tx: Transaction, task_id: str) -> bool:
    """Whether the task committed its last publish."""
    return tx.one("queue.published_finally", id=task_id) is not None


def silent(tx: Transaction, silence_ms: int) -> list[Row]:
    """Running tasks that have not been heard of for so long."""
    return tx.all("queue.silent", silence_ms=silence_ms)


def lead(tx: Transaction, url: str) -> int:
    """Begin a new epoch."""
    row = tx.one("queue.lead", url=url)
    assert row is not None
    return int(row["epoch"])


def _jsonb(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)
