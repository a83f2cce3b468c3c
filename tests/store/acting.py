"""Tasks and actions for the tests of what stands in Postgres."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson

from overlord.actions.base import Call, actions
from overlord.model.audit import AuditInfo
from overlord.model.task import Task
from overlord.signals import Signals
from overlord.store import tasks as store


def submit(db: Any, name: str, *, kind: str = "index", datasource: str = "ds", **more: Any) -> Task:
    """A task that was accepted."""
    made = Task(
        id=name,
        type=kind,
        group_id=more.get("group", name),
        datasource=datasource,
        payload={"type": kind, "id": name},
        priority=more.get("priority", 50),
        availability_group=more.get("availability_group", more.get("group", name)),
    )
    with db.transaction() as tx:
        store.submit(tx, made, orjson.dumps(made.payload), AuditInfo(), "2024-01-01T00:00:00.000Z")
    return made


def act(db: Any, task: Task, kind: str, **action: Any) -> Any:
    """One action of it, as the route runs it."""
    services: Any = SimpleNamespace(db=db, signals=Signals())
    return actions[kind](Call(services=services, task=task, action={"type": kind, **action}))


def segment(day: str, version: str, number: int = 0, cores: int = 0, datasource: str = "ds") -> dict[str, Any]:
    """JSON of a segment of one day."""
    after = f"{day[:-2]}{int(day[-2:]) + 1:02}"
    return {
        "dataSource": datasource,
        "interval": f"{day}T00:00:00.000Z/{after}T00:00:00.000Z",
        "version": version,
        "loadSpec": {"type": "local", "path": "/nowhere/index.zip"},
        "dimensions": "a",
        "metrics": "n",
        "shardSpec": {"type": "numbered", "partitionNum": number, "partitions": cores},
        "binaryVersion": 9,
        "size": 1,
    }
