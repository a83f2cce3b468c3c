"""Versions of supervisors' specs, in Druid's table, and the audit rows of their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from overlord.model.audit import AuditInfo
from overlord.model.supervisor import SupervisorSpec

if TYPE_CHECKING:
    from overlord.store.db import Transaction


def append(tx: Transaction, spec_id: str, spec: SupervisorSpec, at: str) -> None:
    """Add a version."""
    tx.run("supervisors.insert", id=spec_id, created=at, payload=spec.written)


def latest(tx: Transaction) -> list[tuple[str, bytes]]:
    """Id and last version of each."""
    return [(row["spec_id"], bytes(row["payload"])) for row in tx.all("supervisors.latest")]


def latest_of(tx: Transaction, spec_id: str) -> bytes | None:
    """The last version of one, a tombstone included."""
    row = tx.one("supervisors.latest_of", id=spec_id)
    return None if row is None else bytes(row["payload"])


def history(tx: Transaction, spec_id: str | None = None) -> list[tuple[str, str, bytes]]:
    """Id, version and spec of every version of one supervisor, or of all; newest first."""
    rows = tx.all("supervisors.history", id=spec_id)
    return [(row["spec_id"], row["created_date"], bytes(row["payload"])) for row in rows]


def write_audit(tx: Transaction, spec: SupervisorSpec, audit: AuditInfo, at: str) -> None:
    """That a spec was posted. Druid writes no row for suspend, resume or terminate."""
    assert spec.id is not None
    text = f"Update supervisor[{spec.id}] for datasource[[{', '.join(spec.datasources)}]]"
    entry = {
        "key": spec.id,
        "type": "supervisor",
        "auditInfo": audit.to_json(),
        "request": audit.request,
        "payload": orjson.dumps(text).decode(),
        "auditTime": at,
    }
    tx.run(
        "config.audit",
        key=spec.id,
        type="supervisor",
        author=audit.author[:255],
        comment=audit.comment[:2048],
        at=at,
        payload=orjson.dumps(entry),
    )


def open_compactions(tx: Transaction) -> list[tuple[str, str, dict[str, Any]]]:
    """Id, datasource and payload of the compact tasks that have not ended."""
    rows = tx.all("supervisors.open_compactions")
    return [(row["id"], row["datasource"], orjson.loads(row["payload"])) for row in rows]


def ended_state(tx: Transaction, task_id: str) -> str | None:
    """SUCCESS or FAILED; None while it goes on, or if it is gone."""
    row = tx.one("supervisors.ended_state", id=task_id)
    return None if row is None else str(row["state"])


def forget_offsets(tx: Transaction, datasource: str) -> None:
    """Delete how far a stream was published."""
    tx.run("supervisors.forget_offsets", datasource=datasource)


def stream_tasks(tx: Transaction, datasource: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Id, state and payload of the unfinished index_kafka tasks of a datasource."""
    rows = tx.all("supervisors.stream_tasks", datasource=datasource)
    return [(row["id"], row["state"], orjson.loads(bytes(row["payload"]))) for row in rows]


def states(tx: Transaction, ids: list[str]) -> dict[str, str]:
    """State of each of these tasks that there is."""
    return {row["id"]: row["state"] for row in tx.all("supervisors.states", ids=ids)}
