"""One round of sub-tasks: posted as slots allow, watched, tried again when they fail.

What has been posted is noted in the exchange beforehand, and so are results; a parent that is started again goes on
from there.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from overlord import faults
from overlord.errors import TaskFailed
from overlord.model.instant import format_instant, now_ms
from workers.client import OverlordClient
from workers.exchange import Exchange
from workers.parallel import handing

_FIRST_LOOK_S = 0.05
_LONGEST_LOOK_S = 0.5

PHASES = {
    "single_phase_sub_task": "segment generation",
    "partial_dimension_cardinality": "partial dimension cardinality",
    "partial_dimension_distribution": "partial dimension distribution",
    "partial_index_generate": "partial segment generation",
    "partial_range_index_generate": "partial segment generation",
    "partial_index_generic_merge": "partial segment merge",
}
"""Druid's names of the phases, by the type of their sub-tasks."""


@dataclass(kw_only=True)
class SubTaskSpec:
    """Work for one sub-task, and how far it is.

    Attributes
    ----------
    payload : dict
        The sub-task without its id and number of the attempt.
    split : object
        What of the input it reads, as Druid shows it.
    tried : list of str
        Sub-tasks that ended without a result.
    """

    payload: dict[str, Any]
    split: Any = None
    tried: list[str] = field(default_factory=list)
    running: str | None = None
    result: dict[str, Any] | None = None
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The spec's own id."""
        return str(self.payload["subtaskSpecId"])


@dataclass(kw_only=True)
class Phase:
    """A round of sub-tasks.

    Attributes
    ----------
    kind : str
        Type of the sub-tasks.
    most : int
        So many run at a time.
    tries : int
        So often each spec is tried.
    look_s : float
        The longest time between two looks.
    """

    parent: str
    kind: str
    specs: Sequence[SubTaskSpec]
    most: int
    tries: int
    look_s: float
    exchange: Exchange
    overlord: OverlordClient
    changed: Callable[[], None]
    stopping: Callable[[], bool]
    done: Callable[[dict[str, Any]], None] = lambda _result: None
    failures: int = 0

    @property
    def name(self) -> str:
        """Druid's name of it."""
        return PHASES[self.kind]

    def run(self) -> list[dict[str, Any]]:
        """Have all done; gives the results in order of the specs.

        Raises
        ------
        TaskFailed
            One spec failed as often as it may.
        """
        waiting = deque(self._resume())
        look_s = _FIRST_LOOK_S
        while waiting or self._running():
            while waiting and len(self._running()) < self.most:
                self._post(waiting.popleft())
                self.changed()
                look_s = _FIRST_LOOK_S
            time.sleep(look_s)
            if self.stopping():
                raise TaskFailed("Stopped while sub-tasks were at work")
            look_s = min(look_s * 1.5, self.look_s, _LONGEST_LOOK_S)
            waiting.extend(self._look())
            self.changed()
        faults.point(f"after_phase_{self.kind}")
        return [spec.result for spec in self.specs if spec.result is not None]

    def _running(self) -> list[SubTaskSpec]:
        return [spec for spec in self.specs if spec.running is not None]

    def _resume(self) -> list[SubTaskSpec]:
        """What an earlier attempt of the parent began goes on; gives what is still to be posted."""
        posted = orjson.loads(self.exchange.get(self._attempts_key()) or b"{}")
        for spec in self.specs:
            task_id, work = posted.get(spec.id) or (None, None)
            spec.running = task_id if work == handing.spec_key(spec.payload) else None
        self._look(lenient=True)
        self.changed()
        return [spec for spec in self.specs if spec.running is None and spec.result is None]

    def _attempts_key(self) -> str:
        return f"{handing.phase_key(self.parent, self.kind)}/attempts"

    def _post(self, spec: SubTaskSpec) -> None:
        payload = dict(spec.payload)
        payload["id"] = f"{self.kind}_{payload['spec']['dataSchema']['dataSource']}_{_letters()}_{_now()}"
        payload["numAttempts"] = len(spec.tried)
        payload["resource"] = {"availabilityGroup": payload["id"], "requiredCapacity": 1}
        spec.running = payload["id"]
        noted = {each.id: [each.running, handing.spec_key(each.payload)] for each in self._running()}
        self.exchange.put(self._attempts_key(), orjson.dumps(noted))
        faults.point("before_sub_task_post")
        answer = self.overlord.post("/druid/indexer/v1/task", orjson.dumps(payload))
        if answer.status != 200 and b"entryAlreadyExists" not in answer.body:
            text = answer.body.decode("utf-8", "replace")
            raise TaskFailed(f"Sub-task[{payload['id']}] was refused with status {answer.status}: {text}")
        faults.point("after_sub_task_post")

    def _look(self, *, lenient: bool = False) -> list[SubTaskSpec]:
        """Ask for the running ones; gives those to be tried again. `lenient`: unknown ones were never posted."""
        running = self._running()
        statuses = self._statuses([spec.running for spec in running if spec.running]) if running else {}
        again = []
        for spec in running if not lenient else self.specs:
            status = statuses.get(spec.running or "")
            if status is not None:
                spec.statuses[status["id"]] = status
                if status["status"] == "RUNNING":
                    continue
            self._settle(spec, status)
            if spec.result is None and not lenient:
                again.append(spec)
            self.changed()
        return again

    def _settle(self, spec: SubTaskSpec, status: Mapping[str, Any] | None) -> None:
        """A sub-task has ended, or was never there."""
        task_id, spec.running = spec.running, None
        spec.result = handing.take_over(self.exchange, spec.payload, task_id)
        if spec.result is not None:
            self.done(spec.result)
            return
        if status is None or task_id is None:
            return
        spec.tried.append(task_id)
        self.failures += 1
        if len(spec.tried) >= self.tries:
            raise TaskFailed(
                f"Failed in phase[{self.name}]. See task logs for details. "
                f"Sub-task[{task_id}] was the last of {len(spec.tried)} attempts at [{spec.id}]: {status['errorMsg']}"
            )

    def _statuses(self, ids: Sequence[str]) -> dict[str, Any]:
        answer = self.overlord.post("/druid/indexer/v1/taskStatus", orjson.dumps(ids))
        if answer.status != 200:
            raise TaskFailed(f"The states of sub-tasks cannot be had: {answer.body.decode('utf-8', 'replace')}")
        found: dict[str, Any] = answer.json()
        return found


def _now() -> str:
    return format_instant(now_ms())


def _letters() -> str:
    number = secrets.randbits(32)
    return "".join(chr(ord("a") + (number >> 4 * step & 15)) for step in range(8))
