"""Named configurations and the history of their changes, in Druid's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from overlord.model.audit import AuditInfo

if TYPE_CHECKING:
    from overlord.store.db import Transaction


def get(tx: Transaction, name: str) -> Any:
    """The configuration of this name, or None."""
    return read(stored(tx, name))


def stored(tx: Transaction, name: str) -> bytes | None:
    """A configuration as it is stored, or None."""
    row = tx.one("config.get", name=name)
    return None if row is None else bytes(row["payload"])


def read(payload: bytes | None) -> Any:
    """The value of what is stored."""
    return None if payload is None else orjson.loads(payload)


def put(tx: Transaction, name: str, value: Any, audit: AuditInfo, at: str) -> None:
    """Set a configuration and write down who did."""
    payload = orjson.dumps(value)
    tx.run("config.put", name=name, payload=payload)
    _write_audit(tx, name, payload, audit, at)


def swap(tx: Transaction, name: str, old: bytes | None, value: Any, audit: AuditInfo, at: str) -> bool:
    """Set a configuration in place of what is stored as `old`, and write down who did; False if another was faster."""
    payload = orjson.dumps(value)
    if old is None:
        done = tx.run("config.add", name=name, payload=payload)
    else:
        done = tx.run("config.swap", name=name, old=old, payload=payload)
    if done:
        _write_audit(tx, name, payload, audit, at)
    return bool(done)


def _write_audit(tx: Transaction, name: str, payload: bytes, audit: AuditInfo, at: str) -> None:
    entry = {
        "key": name,
        "type": name,
        "auditInfo": audit.to_json(),
        "request": audit.request,
        "payload": payload.decode(),
        "auditTime": at,
    }
    tx.run(
        "config.audit",
        key=name,
        type=name,
        author=audit.author[:255],
        comment=audit.comment[:2048],
        at=at,
        payload=orjson.dumps(entry),
    )


def history(tx: Transaction, name: str, start: str, end: str) -> list[Any]:
    """Changes from `start` until before `end`, oldest first."""
    return [orjson.loads(row["payload"]) for row in tx.all("config.history", key=name, type=name, start=start, end=end)]


def newest(tx: Transaction, name: str, most: int) -> list[Any]:
    """The last changes, newest first."""
    return [orjson.loads(row["payload"]) for row in tx.all("config.newest", key=name, type=name, most=most)]
