"""What a supervisor does with its tasks, one run after the other. All of it happens in the supervisor's own thread.

What must be right is only this: tasks begin where the one before ends, or where the stored offsets say. A mistake costs
work, not messages: the Overlord refuses a publish that does not begin at the stored offsets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from overlord.errors import DruidException, OverlordError
from overlord.model.audit import AuditInfo
from overlord.model.instant import now_ms, parse_instant
from overlord.model.supervisor import SupervisorSpec
from overlord.model.task import Task
from overlord.schemas import task_from_payload
from overlord.store import supervisors as store
from overlord.supervisors.kafka.adoption import Adoption
from overlord.supervisors.kafka.broker import Broker
from overlord.supervisors.kafka.groups import Group, Member, Offsets
from overlord.supervisors.kafka.health import Health
from overlord.supervisors.kafka.records import Records
from overlord.supervisors.kafka.starts import Starts
from overlord.supervisors.kafka.talk import Talk
from overlord.supervisors.kafka.tasks import base_name, duration_ms, payload_of, window_of

if TYPE_CHECKING:
    from overlord.services import Services

_log = logging.getLogger(__name__)

GRACEFUL = "Killing task for graceful shutdown"
NOT_STARTED = "Task[{}] failed to return offsets, killing task"
GROUP_FAILED = "All tasks in group[{}] failed to transition to publishing state"


class Engine:
    """Groups of tasks and where they stand.

    Attributes
    ----------
    active, publishing : dict, list of Group
        Those that read, by id; and those that publish.
    partitions : list of str
        Names of all, once they are known.
    task_count : int
        How many groups there are; the autoscaler changes it.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        services: Services,
        *,
        broker: Broker,
        records: Records,
        talk: Talk,
        health: Health,
    ) -> None:
        parts = spec.payload["spec"]
        self._spec = spec
        self._services = services
        self._io: dict[str, Any] = parts["ioConfig"]
        self._tuning: dict[str, Any] = parts["tuningConfig"]
        self._broker = broker
        self._records = records
        self._talk = talk
        self._health = health
        self.active: dict[int, Group] = {}
        self.publishing: list[Group] = []
        self.partitions: list[str] = []
        self.task_count: int = self._io["taskCount"]
        self._places: dict[str, tuple[str, int]] = {}
        self._starts = Starts(spec.id, self._io, self._tuning, broker, records)
        self._adoption = Adoption(self, spec, services.db, talk)
        self._repartition_at: float | None = None

    # ---- one run ----

    def run(self, *, idle: bool) -> bool:
        """Look at everything once; whether tasks were created."""
        self._health.begin("CONNECTING_TO_STREAM")
        self._discover()
        self._health.begin("DISCOVERING_INITIAL_TASKS")
        self.look()
        if self._spec.suspended:
            self.end(list(self.active.values()))
            return False
        self.end(self._due())
        self._health.begin("CREATING_TASKS")
        return False if idle else self._create()

    def look(self) -> None:
        """Take up tasks, and see which have ended. Needs no broker."""
        self._adoption.run()
        self._refresh()
        self._watch_reading()
        self._watch_publishing()

    def _discover(self) -> None:
        found = self._broker.partitions()
        names = [name for name, _, _ in found]
        self._places = {name: (topic, number) for name, topic, number in found}
        new = [name for name in names if name not in self.partitions]
        if self.partitions and new:
            _log.info("supervisor[%s] found new partitions %s", self._spec.id, new)
            self._starts.later.update(new)
            wait_ms = duration_ms(self._tuning["repartitionTransitionDuration"])
            self._repartition_at = time.monotonic() + wait_ms / 1000
        self.partitions = names

    def group_of(self, name: str) -> int:
        """The group that reads a partition."""
        topic, number = self._places[name]
        if not self._broker.many:
            return number % self.task_count
        return abs(_wrapped(31 * _java_hash(topic) + number)) % self.task_count

    def _wanted(self) -> dict[int, list[str]]:
        """Partitions by group."""
        found: dict[int, list[str]] = {}
        for name in self.partitions:
            found.setdefault(self.group_of(name), []).append(name)
        return found

    def groups(self) -> list[Group]:
        """Those that read, and those that publish."""
        return [*self.active.values(), *self.publishing]

    def fits(self, group: Group) -> bool:
        """Whether its partitions are parted so now; True while the broker has not said."""
        if not self.partitions:
            return True
        return all(name in self._places and self.group_of(name) == group.id for name in group.start)

    # ---- looking at tasks ----

    def _refresh(self) -> None:
        members = [member for group in self.groups() for member in group.members.values() if not member.ended]
        with self._services.db.transaction() as tx:
            states = store.states(tx, [member.id for member in members])
        for member in members:
            state = states.get(member.id, "FAILED")
            if state in ("SUCCESS", "FAILED"):
                self._health.task_ended(well=state == "SUCCESS")
            member.state = state
        self.look_at_offsets()

    def look_at_offsets(self) -> None:
        """Ask tasks when they began and where they stand."""
        running = [
            member for group in self.groups() for member in list(group.members.values()) if member.state == "RUNNING"
        ]
        by_id = {member.id: member for member in running}

        def look(task_id: str) -> None:
            member = by_id[task_id]
            current = self._talk.get(task_id, "offsets/current")
            if current is None:
                return
            member.current = {str(name): int(offset) for name, offset in current.items()}
            if member.started_ms is None and (began := self._talk.get(task_id, "time/start")) is not None:
                member.started_ms = parse_instant(began)

        self._talk.each(by_id, look)

    def _watch_reading(self) -> None:
        stored = self._records.stored() if self.active else {}
        for group in list(self.active.values()):
            done = any(member.state == "SUCCESS" for member in group.members.values())
            begun = group.checkpoints[max(group.checkpoints)]
            if done or any(stored.get(name, 0) > offset for name, offset in begun.items()):
                # A former leader has set an end, and there was a publish since.
                self._drop(group, "Another task has published what this one reads")
                continue
            if any(name in self._places and self.group_of(name) != group.id for name in group.start):
                self._drop(group, "Task reads partitions that are parted otherwise now")  # taken up without a broker
                continue
            for member in list(group.members.values()):
                if member.ended:
                    del group.members[member.id]
            if not group.members:
                _log.warning("supervisor[%s]: no task of group[%d] is left", self._spec.id, group.id)
                self._drop(group, "")

    def _watch_publishing(self) -> None:
        for group in list(self.publishing):
            well = any(member.state == "SUCCESS" for member in group.members.values())
            over = all(member.ended for member in group.members.values())
            if (well or over) and self._is_published(group):
                for member in group.members.values():
                    if not member.ended and not self._talk.stop(member.id):
                        self.kill(member.id, "Task has been published by another replica")
                self.publishing.remove(group)
            elif well or over:
                self._lose(group, GROUP_FAILED.format(group.id))
            elif time.monotonic() > group.deadline:
                self._lose(group, f"No task in group[{group.id}] succeeded before the completion timeout elapsed")

    def _is_published(self, group: Group) -> bool:
        """Whether its offsets are stored, though its task died after that."""
        stored = self._records.stored()
        read = {name: offset for name, offset in group.end.items() if offset != group.start.get(name)}
        return all(stored.get(name, -1) >= offset for name, offset in read.items())

    def _lose(self, group: Group, reason: str) -> None:
        """A group that cannot publish takes all that builds on it along; what is stored is read on."""
        _log.warning("supervisor[%s]: %s", self._spec.id, reason)
        self.publishing.remove(group)
        for member in group.members.values():
            if not member.ended:
                self.kill(member.id, reason)
        self._starts.forget(group.start)  # there may be no other group yet
        for other in [each for each in self.groups() if each.start.keys() & group.start.keys()]:
            self._drop(other, f"It reads on from what a failed group[{group.id}] has read")

    def _drop(self, group: Group, reason: str) -> None:
        """End a group at once; its partitions are read again from what is stored."""
        for member in group.members.values():
            if not member.ended:
                self.kill(member.id, reason)
        if self.active.get(group.id) is group:
            del self.active[group.id]
        if group in self.publishing:
            self.publishing.remove(group)
        self._starts.forget(group.start)
        for other in self.publishing:
            self._starts.follow({name: offset for name, offset in other.end.items() if name in group.start})

    # ---- ending groups ----

    def _due(self) -> list[Group]:
        """Groups whose time is up; of those that end by time only so many."""
        length = duration_ms(self._io["taskDuration"])
        most = self._io["stopTaskCount"] or self.task_count
        early = self._repartition_at is not None and time.monotonic() >= self._repartition_at
        wanted = self._wanted()
        due = []
        for group in self.active.values():
            outgrown = early and set(wanted.get(group.id, ())) != group.start.keys()
            over = group.started_ms is not None and group.started_ms + length <= now_ms()
            if outgrown:
                due.append(group)
            elif over and most > 0:
                most -= 1
                due.append(group)
        if early:
            self._repartition_at = None
        return due

    def end(self, groups: Iterable[Group]) -> None:
        """Let groups publish what they have read."""
        for group in groups:
            self._end(group)

    def _end(self, group: Group) -> None:
        for member in list(group.members.values()):
            if member.state in ("PENDING", "WAITING"):
                self.kill(member.id, GRACEFUL)
                del group.members[member.id]
        ends = self._pause(group)
        if ends is not None:
            # A publish is accepted where nothing is stored, wherever it begins: so that of the next group would be, if
            # this one dies before its own.
            self._records.begin(group.start)
            told = self._talk.each(group.members, lambda task_id: self._talk.set_end(task_id, ends, finish=True))
            self._keep(group, [task_id for task_id, well in told.items() if well])
        if ends is None or not group.members:
            self._drop(group, GROUP_FAILED.format(group.id))
            return
        group.end = ends
        if self.active.get(group.id) is group:
            del self.active[group.id]
        self.to_publishing(group)

    def _pause(self, group: Group) -> Offsets | None:
        """Pause all its tasks; the furthest offset of each partition."""
        stand = self._talk.each(group.members, self._talk.pause)
        self._keep(group, [task_id for task_id, offsets in stand.items() if offsets is not None])
        for task_id, member in group.members.items():
            member.current = dict(stand[task_id] or {})
        return group.highest() if group.members else None

    def _keep(self, group: Group, good: list[str]) -> None:
        """Kill the tasks that do not answer."""
        for task_id in list(group.members):
            if task_id not in good:
                self.kill(task_id, NOT_STARTED.format(task_id))
                del group.members[task_id]

    def to_publishing(self, group: Group) -> None:
        """Its end is known: the next group begins there."""
        group.deadline = time.monotonic() + duration_ms(self._io["completionTimeout"]) / 1000
        self.publishing.append(group)
        self._starts.follow(group.end)

    def handoff(self, ids: Iterable[int]) -> None:
        """End groups early."""
        self.end([self.active[number] for number in ids if number in self.active])

    def checkpoint(self, group_id: int, start: Offsets) -> None:
        """A task has read enough for one sequence: end it there for all, and go on with the next."""
        group = self.active.get(group_id)
        if group is None:
            return
        if group.checkpoints[max(group.checkpoints)] != start:
            self._learn_checkpoints(group)
        number = max(group.checkpoints)
        if group.checkpoints[number] != start:
            for task_id in group.members:  # told before; whoever waits for it goes on
                if self._talk.get(task_id, "status") == "PAUSED":
                    self._talk.resume(task_id)
            return
        ends = self._pause(group)
        if ends is not None:
            told = self._talk.each(group.members, lambda task_id: self._talk.set_end(task_id, ends, finish=False))
            self._keep(group, [task_id for task_id, well in told.items() if well])
        if ends is None or not group.members:
            self._drop(group, GROUP_FAILED.format(group.id))
            return
        if ends != start:
            group.checkpoints[number + 1] = ends

    def _learn_checkpoints(self, group: Group) -> None:
        """What a task knows that did not answer when it was taken up."""
        for task_id in group.members:
            for number, offsets in (self._talk.get(task_id, "checkpoints") or {}).items():
                group.checkpoints.setdefault(int(number), dict(offsets))

    # ---- new tasks ----

    def _create(self) -> bool:
        created = False
        wanted = self._wanted()
        missing = {number: names for number, names in wanted.items() if number not in self.active}
        starts = self._starts.of([name for names in missing.values() for name in names])
        for number, names in missing.items():
            self.active[number] = self._new_group(number, {name: starts[name] for name in names})
        for group in self.active.values():
            for _ in range(self._io["replicas"] - len(group.members)):
                self._submit(group)
                created = True
        return created

    def _new_group(self, number: int, start: Offsets) -> Group:
        window = window_of(self._io, now_ms())
        return Group(
            id=number, base=base_name(self._spec, start, window), start=start, window=window, checkpoints={0: start}
        )

    def _submit(self, group: Group) -> None:
        task: Task = task_from_payload(payload_of(self._spec, group))
        try:
            self._services.queue.submit(task, AuditInfo(author=str(self._spec.id), comment="kafka supervisor"))
        except DruidException as error:
            if error.code != "entryAlreadyExists":
                raise
        group.members[task.id] = Member(id=task.id)
        _log.info("supervisor[%s] submitted %s from %s", self._spec.id, task.id, group.start)

    # ---- resets ----

    def reset(self, partitions: Iterable[str] | None) -> None:
        """Forget what was read of some partitions, or of all."""
        if partitions is None:
            self._records.forget()
            self._reset_groups(None)
        else:
            names = set(partitions)
            stored = self._records.stored()
            if not stored.keys() & names:
                raise OverlordError("DataSourceMetadata is not found while reset")
            self._records.change(dict.fromkeys(names))
            self._reset_groups(names)

    def reset_to(self, offsets: Offsets) -> None:
        """Go on from given offsets."""
        self._records.change(offsets)
        self._reset_groups(set(offsets))

    def _reset_groups(self, names: set[str] | None) -> None:
        for group in list(self.active.values()):
            if names is None or names & group.start.keys():
                self._drop(group, "DataSourceMetadata is updated while reset offsets is called")
        self._starts.forget(names)

    def scale(self, tasks: int) -> None:
        """Part the partitions among so many groups from now on."""
        _log.info("supervisor[%s] goes from %d to %d task groups", self._spec.id, self.task_count, tasks)
        self.end(list(self.active.values()))
        self.task_count = tasks

    # ---- how far ----

    def highest(self, stored: Offsets) -> Offsets:
        """The furthest offset of each partition that was read."""
        found = dict(stored)
        for group in self.groups():
            for name, offset in (group.end or group.highest()).items():
                found[name] = max(offset, found.get(name, offset))
        return found

    def kill(self, task_id: str, reason: str) -> None:
        """End a task without a publish."""
        try:
            self._services.queue.shutdown(task_id, reason or "Killed by its supervisor")
        except OverlordError as error:
            _log.warning("task[%s] cannot be ended: %s", task_id, error.message)


def _java_hash(text: str) -> int:
    """`String.hashCode`."""
    value = 0
    units = text.encode("utf-16-be")
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return _wrapped(value)


def _wrapped(value: int) -> int:
    """As a 32-bit int."""
    return (value + 2**31) % 2**32 - 2**31
