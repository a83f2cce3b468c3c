"""Named configurations and the history of their changes, in Druid's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from overlord.model.audit import AuditInfo

if TYPE_CHECKING:
    from overlord.store.db import Transaction


def get(tx: Transaction, name: str) -> Any:
    """The configuration of this name, or None."""
    row = tx.one("config.get", name=name)
    return None if row is None else orjson.loads(row["payload"])


def put(tx: Transaction, name: str, value: Any, audit: AuditInfo, at: str) -> None:
    """Set a configuration and write down who did."""
    payload = orjson.dumps(value)
    entry = {
        "key": name,
        "type": name,
        "auditInfo": audit.to_json(),
        "request": audit.request,
        "payload": payload.decode(),
        "auditTime": at,
    }
    tx.run("config.put", name=name, payload=payload)
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
