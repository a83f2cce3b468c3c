"""What sub-tasks leave in the exchange, and under which keys.

=====================================  ======================================================================
`<parent>/of/<sub-task>`               what a sub-task made; there once it has succeeded
`<parent>/<type>/<sub-task>/<n>`       a segment's folder, a run, or a table: whatever the former names
`<parent>/<type>/attempts`             by the parent: the sub-tasks it has posted, and their work
`<parent>/<type>/<spec>/<digest>`      by the parent: what it has taken over as the result of a spec
=====================================  ======================================================================

The digest is that of the work as the parent names it (a posted payload gains defaults): another split under the same
number does not find a result that is not its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from overlord.errors import TaskFailed
from workers.exchange import Exchange

_WORK = ("spec", "intervalToNumShardsOverride", "intervalToPartitions")


def phase_key(parent: str, kind: str) -> str:
    """Where a phase's things lie."""
    return f"{parent}/{kind}"


def spec_key(payload: Mapping[str, Any]) -> str:
    """Where what comes of a sub-task's spec lies, whichever attempt makes it."""
    work = {name: payload[name] for name in _WORK if name in payload}
    digest = hashlib.sha256(orjson.dumps(work, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    name = str(payload["subtaskSpecId"]).replace("/", "~")
    return f"{phase_key(payload['supervisorTaskId'], payload['type'])}/{name}/{digest}"


class Handing:
    """A sub-task's own corner of the exchange."""

    def __init__(self, exchange: Exchange, payload: Mapping[str, Any]) -> None:
        self._exchange = exchange
        self._id = str(payload["id"])
        self._parent = str(payload["supervisorTaskId"])
        self._base = f"{phase_key(self._parent, payload['type'])}/{self._id}"
        self._count = 0

    def path(self, path: Path) -> str:
        """Hand on a file or folder; gives its key."""
        key = self._next()
        self._exchange.put_path(key, path)
        return key

    def data(self, data: bytes) -> str:
        """Hand on some bytes; gives their key."""
        key = self._next()
        self._exchange.put(key, data)
        return key

    def finish(self, result: Mapping[str, Any]) -> None:
        """All is there: from now on it counts."""
        self._exchange.put(f"{self._parent}/of/{self._id}", orjson.dumps({"subTaskId": self._id, **result}))

    def _next(self) -> str:
        self._count += 1
        return f"{self._base}/{self._count}"


def take_over(exchange: Exchange, payload: Mapping[str, Any], sub_task: str | None) -> dict[str, Any] | None:
    """What came of a spec, by `sub_task` or by an earlier one; None as long as nothing has."""
    key = spec_key(payload)
    data = exchange.get(key)
    if data is None and sub_task is not None:
        data = exchange.get(f"{payload['supervisorTaskId']}/of/{sub_task}")
        if data is not None:
            exchange.put(key, data)
    return None if data is None else orjson.loads(data)


def result_by(exchange: Exchange, parent: str, sub_task: str) -> dict[str, Any]:
    """What a sub-task that has succeeded made."""
    result: dict[str, Any] = orjson.loads(required(exchange, f"{parent}/of/{sub_task}"))
    return result


def required(exchange: Exchange, key: str) -> bytes:
    """Bytes that somebody has handed on."""
    data = exchange.get(key)
    if data is None:
        raise TaskFailed(f"[{key}] is missing from the exchange: what a sub-task had made is gone")
    return data
