"""Takes up tasks that the supervisor did not make itself: those of the leader before, or of the spec before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from overlord.model.instant import parse_instant
from overlord.store import supervisors as store
from overlord.store import tasks
from overlord.supervisors.kafka.groups import Group, Member, Offsets
from overlord.supervisors.kafka.tasks import task_tuning

if TYPE_CHECKING:
    from overlord.model.supervisor import SupervisorSpec
    from overlord.store.db import Database
    from overlord.supervisors.kafka.engine import Engine
    from overlord.supervisors.kafka.talk import Talk

_log = logging.getLogger(__name__)


class Adoption:
    """Sorts unknown tasks into the groups of an engine, or ends them."""

    def __init__(self, engine: Engine, spec: SupervisorSpec, db: Database, talk: Talk) -> None:
        self._engine = engine
        self._spec = spec
        self._db = db
        self._talk = talk

    def run(self) -> None:
        """Take up all that are there. Those whose end is set come first: they say where others begin."""
        known = {task_id for group in self._engine.groups() for task_id in group.members}
        with self._db.transaction() as tx:
            rows = store.stream_tasks(tx, self._spec.datasources[0])
        found = [(_group(task_id, state, payload), payload) for task_id, state, payload in rows if task_id not in known]
        running = [task_id for task_id, state, _ in rows if state == "RUNNING" and task_id not in known]
        ends = self._talk.each(running, self._talk.ends)
        for group, payload in sorted(found, key=lambda each: ends.get(next(iter(each[0].members))) is None):
            (task_id,) = group.members
            self._take_up(task_id, group, payload, ends.get(task_id))

    def _take_up(self, task_id: str, group: Group, payload: Mapping[str, Any], ends: Offsets | None) -> None:
        parts = self._spec.payload["spec"]
        if payload["ioConfig"]["startSequenceNumbers"]["stream"] != parts["ioConfig"]["stream"]:
            self._engine.kill(task_id, "Task reads another stream than the supervisor")
        elif ends is not None:
            self._publishing(group, ends)
        elif self._is_leaving(task_id):
            _log.info("supervisor[%s] lets %s end, which has published", self._spec.id, task_id)
        elif payload["dataSchema"] != parts["dataSchema"] or payload["tuningConfig"] != task_tuning(self._spec):
            self._engine.kill(task_id, "Task was made by another version of the supervisor's spec")
        elif not self._engine.fits(group):
            self._engine.kill(task_id, "Task reads partitions that are parted otherwise now")
        else:
            self._reading(task_id, group)

    def _is_leaving(self, task_id: str) -> bool:
        """Whether the task has published and answers no more: on its way to SUCCESS, which a kill would undo."""
        with self._db.transaction() as tx:
            published = tasks.published(tx, task_id)
        return published and self._talk.get(task_id, "status") is None

    def _publishing(self, group: Group, ends: Offsets) -> None:
        _log.info("supervisor[%s] takes up %s, which publishes", self._spec.id, list(group.members))
        same = next((each for each in self._engine.publishing if each.base == group.base and each.end == ends), None)
        if same is not None:
            same.members.update(group.members)
            return
        group.end = ends
        self._engine.to_publishing(group)

    def _reading(self, task_id: str, group: Group) -> None:
        ending = next((each for each in self._engine.publishing if each.base == group.base), None)
        if ending is not None:  # the leader before was cut off when it had told one replica, not the other
            if self._talk.pause(task_id) is not None and self._talk.set_end(task_id, ending.end, finish=True):
                ending.members.update(group.members)
            else:
                self._engine.kill(task_id, "A replica of it ends, and this one does not answer")
            return
        there = self._engine.active.get(group.id)
        if there is None:
            _log.info("supervisor[%s] takes up %s, which reads", self._spec.id, task_id)
            checkpoints = self._talk.get(task_id, "checkpoints")
            if checkpoints:
                group.checkpoints |= {int(number): dict(offsets) for number, offsets in checkpoints.items()}
            self._engine.active[group.id] = group
        elif there.base == group.base:
            there.members.update(group.members)
        else:
            self._engine.kill(task_id, "Another task reads its partitions")


def _group(task_id: str, state: str, payload: Mapping[str, Any]) -> Group:
    """A group of this task alone."""
    io = payload["ioConfig"]
    start = _offsets(io["startSequenceNumbers"])
    times = [io.get(name) for name in ("minimumMessageTime", "maximumMessageTime")]
    least, most = (None if each is None else parse_instant(each) for each in times)
    checkpoints = orjson.loads((payload.get("context") or {}).get("checkpoints") or b"{}")
    return Group(
        id=io.get("taskGroupId") or 0,
        base=io["baseSequenceName"],
        start=start,
        window=(least, most),
        checkpoints={int(number): offsets for number, offsets in checkpoints.items()} or {0: start},
        members={task_id: Member(id=task_id, state=state)},
    )


def _offsets(numbers: Mapping[str, Any]) -> Offsets:
    found = numbers.get("partitionSequenceNumberMap") or numbers.get("partitionOffsetMap") or {}
    return {str(name): int(offset) for name, offset in found.items()}
