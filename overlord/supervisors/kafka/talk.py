"""Words with the tasks of a supervisor: where they stand, where they shall end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from overlord.chat import ask
from overlord.errors import Unavailable
from overlord.model.kafka import NOT_SET
from overlord.supervisors.kafka.groups import Offsets

if TYPE_CHECKING:
    from overlord.store.db import Database

T = TypeVar("T")
_AT_ONCE = 16
_AGAIN_S = 0.2

_log = logging.getLogger(__name__)


class Talk:
    """Calls to workers. None is the answer of one that does not answer.

    Parameters
    ----------
    timeout_s : float
        Of one call.
    patience_s : float
        How long a task may take to pause.
    """

    def __init__(self, db: Database, *, timeout_s: float, patience_s: float) -> None:
        self._db = db
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    def get(self, task_id: str, path: str) -> Any:
        """JSON of a GET, or None."""
        found = self._call(task_id, "GET", path)
        return found[1] if found is not None and found[0] == 200 else None

    def stop(self, task_id: str) -> bool:
        """End a task without a publish: another one has done its work."""
        found = self._call(task_id, "POST", "stop")
        return found is not None and found[0] == 200

    def resume(self, task_id: str) -> None:
        """Let a task go on."""
        self._call(task_id, "POST", "resume")

    def pause(self, task_id: str) -> Offsets | None:
        """Where a task stands, which reads no further; its end, if that was set before."""
        until = time.monotonic() + self._patience_s
        while time.monotonic() < until:
            found = self._call(task_id, "POST", "pause")
            if found is not None and found[0] == 200:
                return _offsets(found[1])
            ends = None if found is None else self.ends(task_id)
            if ends is not None:
                return ends
            if found is None and not self._running(task_id):
                return None
            time.sleep(_AGAIN_S)
        return None

    def ends(self, task_id: str) -> Offsets | None:
        """Where a task ends; None if nobody has told it yet."""
        found = self.get(task_id, "offsets/end")
        return None if not found or NOT_SET in found.values() else _offsets(found)

    def set_end(self, task_id: str, offsets: Mapping[str, int], *, finish: bool) -> bool:
        """Say where it ends, or (without `finish`) the sequence it reads."""
        path = f"offsets/end?finish={'true' if finish else 'false'}"
        for _ in range(3):
            found = self._call(task_id, "POST", path, orjson.dumps(offsets))
            if found is not None:
                if found[0] != 200:
                    _log.warning("task[%s] takes no end: %s", task_id, found[1])
                return found[0] == 200
            time.sleep(_AGAIN_S)
        return False

    def _running(self, task_id: str) -> bool:
        from overlord.store import supervisors as store

        with self._db.transaction() as tx:
            return store.states(tx, [task_id]).get(task_id) == "RUNNING"

    def _call(self, task_id: str, method: str, path: str, body: bytes = b"") -> tuple[int, Any] | None:
        try:
            status, text = ask(self._db, task_id, method, path, body, timeout_s=self._timeout_s)
            return status, orjson.loads(text) if text.strip() else None
        except (Unavailable, orjson.JSONDecodeError) as error:
            _log.debug("task[%s] %s %s: %s", task_id, method, path, error)
            return None

    @staticmethod
    def each(ids: Iterable[str], call: Callable[[str], T]) -> dict[str, T]:
        """The same to several tasks, side by side."""
        wanted = list(ids)
        if len(wanted) < 2:
            return {task_id: call(task_id) for task_id in wanted}
        with ThreadPoolExecutor(min(_AT_ONCE, len(wanted)), "kafka-talk") as pool:
            return dict(zip(wanted, pool.map(call, wanted), strict=True))


def _offsets(value: Mapping[str, Any]) -> Offsets:
    return {str(name): int(offset) for name, offset in value.items()}
