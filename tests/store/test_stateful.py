"""Locks, allocations and publishes against a plain model of what the references promise, over a real Postgres.

The model knows nothing of the code: lists of locks, pending ids and segments, and the rules in words turned into loops.
What the rules leave open (the time of a grant, the order of copies) it learns from the answer, after checking it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from overlord import locks, states
from overlord.actions.cleanup import task_ended
from overlord.errors import OverlordError
from overlord.model.instant import format_instant, parse_instant
from overlord.store import tasks as store

from .acting import act, submit

EPOCH = "1970-01-01T00:00:00.000Z"
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FIRST = parse_instant("2024-01-01")
DAYS = [(FIRST + n * DAY, FIRST + (n + 1) * DAY) for n in range(2)]
INTERVALS = [*DAYS, (DAYS[0][0], DAYS[1][1]), (FIRST, FIRST + 6 * HOUR), (FIRST + 6 * HOUR, FIRST + 30 * HOUR)]
BUCKETS = [DAY, 8 * HOUR, 6 * HOUR, HOUR, 30 * MINUTE, 15 * MINUTE, 10 * MINUTE, 5 * MINUTE, MINUTE, 1000]
TABLES = "druid_tasks, druid_tasklocks, druid_segments, druid_pendingsegments, druid_upgradesegments, druid_datasource"
OURS = "ovl_tasks, ovl_events, ovl_locks, ovl_publishes"

ASIDE = (
    "SELECT id, upgraded_from_segment_id FROM druid_pendingsegments "
    "WHERE convert_from(payload, 'UTF8')::json ->> 'version' = %s"
)


def inside(outer, inner):
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def meet(one, other):
    return one[0] < other[1] and other[0] < one[1]


def text(interval, separator="/"):
    return separator.join(map(format_instant, interval))


def name_of(interval, version, number):
    return f"ds_{text(interval, '_')}_{version}" + (f"_{number}" if number else "")


@dataclass
class Lock:
    task: str
    group: str
    type: str
    interval: tuple
    version: str
    priority: int
    revoked: bool = False

    def as_answer(self):
        return (self.type, self.group, text(self.interval), self.version, self.priority, self.revoked)


@dataclass
class Pending:
    interval: tuple
    version: str
    number: int
    cores: int
    sequence: str
    previous: str
    allocator: str
    origin: str | None = None

    @property
    def id(self):
        return name_of(self.interval, self.version, self.number)


@dataclass
class Segment:
    interval: tuple
    version: str
    number: int
    cores: int
    used: bool = True
    origin: str | None = None

    @property
    def id(self):
        return name_of(self.interval, self.version, self.number)

    def to_json(self):
        return {
            "dataSource": "ds",
            "interval": text(self.interval),
            "version": self.version,
            "loadSpec": {"type": "local", "path": "none"},
            "dimensions": "",
            "metrics": "",
            "shardSpec": {"type": "numbered", "partitionNum": self.number, "partitions": self.cores},
            "binaryVersion": 9,
            "size": 1,
        }


@dataclass
class Model:
    """The rules."""

    tasks: dict = field(default_factory=dict)
    active: set = field(default_factory=set)
    locks: list = field(default_factory=list)
    pending: list = field(default_factory=list)
    segments: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    offset: int | None = None
    moved: bool = False

    def coexist(self, lock, kind, interval):
        if lock.type == kind:
            return kind in ("SHARED", "APPEND")
        if (lock.type, kind) == ("REPLACE", "APPEND"):
            return inside(lock.interval, interval)
        return (lock.type, kind) == ("APPEND", "REPLACE") and inside(interval, lock.interval)

    def ask_lock(self, task, kind, interval):
        """('own', choices), ('new', None) or ('no', None); revokes what has to go."""
        there = [lock for lock in self.locks if meet(lock.interval, interval)]
        group = self.tasks[task].group_id
        own = [each for each in there if (each.group, each.type) == (group, kind) and inside(each.interval, interval)]
        if own:
            return "own", [each for each in own if not each.revoked] or own
        bad = [each for each in there if not each.revoked and not self.coexist(each, kind, interval)]
        if all(each.priority < self.tasks[task].priority for each in bad):
            for each in bad:
                each.revoked = True
            return "new", None
        if all(each.group == group and each.interval == interval for each in bad):
            return "new", None
        return "no", None

    def hold(self, task, kind, interval, version, *, revoked=False, priority=None):
        made = Lock(
            task, self.tasks[task].group_id, kind, interval, version, priority or self.tasks[task].priority, revoked
        )
        if all(each.task != task or each.as_answer() != made.as_answer() for each in self.locks):
            self.locks.append(made)
        if kind == "APPEND" and not revoked:
            self.locks = [each for each in self.locks if not self.redundant(each, task, interval)]

    @staticmethod
    def redundant(lock, task, interval):
        """Of a task's APPEND locks, those within the one it has got now."""
        if (lock.task, lock.type, lock.revoked) != (task, "APPEND", False):
            return False
        return lock.interval != interval and inside(interval, lock.interval)

    def standing(self, task):
        return [lock for lock in self.locks if lock.task == task and not lock.revoked]

    def covered(self, task, segment):
        return any(
            inside(lock.interval, segment.interval) and (lock.type == "APPEND" or lock.version >= segment.version)
            for lock in self.standing(task)
        )

    def visible(self, within):
        """Look at each stretch between two ends on its own."""
        used = [each for each in self.segments.values() if each.used and meet(each.interval, within)]
        sets: dict = {}
        for each in used:
            sets.setdefault((each.interval, each.version), []).append(each)
        whole = {
            key: many
            for key, many in sets.items()
            if {each.number for each in many} >= set(range(max(each.cores for each in many)))
        }
        points = sorted({*within, *(point for interval, _ in whole for point in interval)})
        seen = {}
        for start in points:
            if not within[0] <= start < within[1]:
                continue
            over = [key for key in whole if key[0][0] <= start < key[0][1]]
            if over:
                winner = max(over, key=lambda key: key[1])
                seen.update({each.id: each for each in whole[winner]})
        return sorted(seen.values(), key=lambda each: (each.interval, each.version, each.number))

    def candidates(self, instant, preferred):
        bucket = (instant - instant % preferred, instant - instant % preferred + preferred)
        there = [each.interval for each in self.visible(bucket) if each.interval[0] <= instant < each.interval[1]]
        if there:
            return [min(there)]
        sizes = [size for size in BUCKETS if size <= preferred]
        return list(dict.fromkeys((instant - instant % size, instant - instant % size + size) for size in sizes))

    def next_id(self, interval, used, lock_version):
        """Version, number and core count; None when what is pending lies across."""
        version = used[0].version if used else None
        rows = [(each.version, each.number, each.interval) for each in self.pending if meet(each.interval, interval)]
        rows += [(each.version, each.number, each.interval) for each in used]
        rows = [row for row in rows if version in (None, row[0])]
        if not rows:
            version, number, cores = version or lock_version, 0, 0
        else:
            top = max(rows, key=lambda row: row[:2])
            if top[2] != interval:
                return None
            version, number = top[0], top[1] + 1
            cores = max(used, key=lambda each: each.number).cores if used else 0
        if name_of(interval, version, number) in self.segments:
            same = [each for each in self.segments.values() if (each.interval, each.version) == (interval, version)]
            number = max(number, 1 + max(each.number for each in same))
        return version, number, cores


TASKS = st.sampled_from(["a", "a", "b", "b", "c", "d", "e"])
KINDS = st.sampled_from(["EXCLUSIVE", "SHARED", "REPLACE", "APPEND", "APPEND", "REPLACE"])
NATURE = {  # group and priority
    "a": ("a", 50),
    "b": ("b", 50),
    "c": ("g", 50),
    "d": ("g", 50),
    "e": ("e", 75),
}


class Machine(RuleBasedStateMachine):
    """Every rule does one thing to both and compares the answers; the invariants compare all rows."""

    def __init__(self, db, conn):
        super().__init__()
        self.db, self.conn = db, conn
        conn.execute(f"TRUNCATE {TABLES}, {OURS}")
        self.model = Model()
        with db.transaction() as tx:
            self.epoch = store.lead(tx, "http://here")

    def running(self, name):
        """The task, submitted at its first use; None when it has ended."""
        if name not in self.model.tasks:
            group, priority = NATURE[name]
            self.model.tasks[name] = submit(self.db, name, group=group, priority=priority)
            self.model.active.add(name)
        return self.model.tasks[name]

    def act(self, task, kind, **action):
        return act(self.db, task, kind, **action)

    @rule(name=TASKS, kind=KINDS, interval=st.sampled_from([DAYS[0], DAYS[0], *INTERVALS]))
    def lock(self, name, kind, interval):
        task = self.running(name)
        if name not in self.model.active:
            self.refuses(task, "lockTryAcquire", lockType=kind, interval=text(interval))
            return
        outcome, choices = self.model.ask_lock(name, kind, interval)
        got = self.act(task, "lockTryAcquire", lockType=kind, interval=text(interval))
        self.took(name, kind, interval, outcome, choices, got)

    def took(self, name, kind, interval, outcome, choices, got):
        if outcome == "no":
            assert got is None
            return
        assert got is not None
        answer = (got["type"], got["groupId"], got["interval"], got["version"], got["priority"], got["revoked"])
        if outcome == "own":
            (chosen, *_) = [each for each in choices if each.as_answer() == answer]
            self.model.hold(
                name, kind, chosen.interval, chosen.version, revoked=chosen.revoked, priority=chosen.priority
            )
            return
        assert answer[:3] == (kind, self.model.tasks[name].group_id, text(interval))
        assert not got["revoked"]
        self.granted(kind, interval, got["version"])
        self.model.hold(name, kind, interval, got["version"])

    def granted(self, kind, interval, version):
        older = [each.version for each in self.model.segments.values() if meet(each.interval, interval)]
        assert version == EPOCH if kind == "APPEND" else all(version > each for each in older)

    def refuses(self, task, kind, **action):
        try:
            self.act(task, kind, **action)
        except OverlordError:
            return
        raise AssertionError(f"{kind} of {task.id} was not refused")

    @rule(name=TASKS, interval=st.sampled_from(INTERVALS))
    def release(self, name, interval):
        task = self.running(name)
        assert self.act(task, "lockRelease", interval=text(interval)) is None
        self.model.locks = [each for each in self.model.locks if (each.task, each.interval) != (name, interval)]

    @rule(name=TASKS)
    def end(self, name):
        task = self.running(name)
        with self.db.transaction() as tx:
            tx.lock_datasource("ds")
            if states.move(tx, name, "shutdown", epoch=self.epoch) is not None:
                store.end_stock(tx, name, b"{}")
                locks.release_task(tx, name)
                task_ended(tx, name, task.group_id)
        model = self.model
        model.active.discard(name)
        model.locks = [each for each in model.locks if each.task != name]
        model.notes = [note for note in model.notes if note[0] != name]
        groups = {model.tasks[each].group_id for each in model.active}
        model.pending = [each for each in model.pending if each.allocator in groups]

    @rule(
        name=TASKS,
        day=st.sampled_from([0, 0, 1]),
        preferred=st.sampled_from([DAY, DAY, DAY, HOUR]),
        sequence=st.sampled_from("xyz"),
        previous=st.sampled_from(["", "p"]),
        skip=st.booleans(),
        kind=st.sampled_from(["EXCLUSIVE", "APPEND", "APPEND", "APPEND"]),
    )
    def allocate(self, name, day, preferred, sequence, previous, skip, kind):
        task = self.running(name)
        instant = FIRST + day * DAY + 5 * HOUR
        before = {lock["version"] for lock in self.act(task, "lockList")}
        got = self.act(
            task,
            "segmentAllocate",
            dataSource="ds",
            timestamp=format_instant(instant),
            queryGranularity="none",
            preferredSegmentGranularity="DAY" if preferred == DAY else "HOUR",
            sequenceName=sequence,
            previousSegmentId=previous or None,
            skipSegmentLineageCheck=skip,
            taskLockType=kind,
        )
        if name not in self.model.active:
            assert got is None
            return
        fresh = {lock["interval"]: lock for lock in self.act(task, "lockList") if lock["version"] not in before}
        for candidate in self.model.candidates(instant, preferred):
            expected = self.expect(name, candidate, sequence, "" if skip else previous, skip, kind, fresh)
            if expected is not None:
                assert got is not None
                found = (got["interval"], got["version"], got["shardSpec"]["partitionNum"])
                assert found == (text(expected.interval), expected.version, expected.number)
                assert got["shardSpec"]["partitions"] == expected.cores
                if expected not in self.model.pending:
                    self.model.pending.append(expected)
                return
        assert got is None

    def expect(self, name, interval, sequence, previous, skip, kind, fresh):
        model = self.model
        used = model.visible(interval)
        if len({(each.interval, each.version) for each in used}) > 1 or (used and used[0].interval != interval):
            return None
        outcome, choices = model.ask_lock(name, kind, interval)
        if outcome == "no":
            return None
        if outcome == "own":
            chosen = min(choices, key=lambda each: (each.task != name, self.model.locks.index(each)))
            model.hold(name, kind, chosen.interval, chosen.version, revoked=chosen.revoked, priority=chosen.priority)
            if chosen.revoked:
                return None
            version = chosen.version
        else:
            version = EPOCH if kind == "APPEND" else fresh[text(interval)]["version"]
            self.granted(kind, interval, version)
            model.hold(name, kind, interval, version)
        known = [
            each
            for each in model.pending
            if each.sequence == sequence
            and (each.interval == interval if skip else each.previous == previous)
            and (not used or each.version == used[0].version)
        ]
        if known:
            return known[-1] if known[-1].interval == interval else None
        made = model.next_id(interval, used, version)
        if made is None:
            return None
        return Pending(interval, *made, sequence, previous, model.tasks[name].group_id)

    @precondition(lambda self: self.model.pending)
    @rule(name=TASKS, data=st.data(), appending=st.sampled_from([True, True, False]))
    def publish_allocated(self, name, data, appending):
        task, model = self.running(name), self.model
        row = data.draw(st.sampled_from(model.pending))
        made = Segment(row.interval, row.version, row.number, row.cores)
        kind = "segmentTransactionalAppend" if appending else "segmentTransactionalInsert"
        others = [each for each in model.standing(name) if each.type != "APPEND"]
        if not model.covered(name, made) or (appending and others):
            self.refuses(task, kind, segments=[made.to_json()])
            return
        got = self.act(task, kind, segments=[made.to_json()])
        new = [made]
        if appending:
            siblings = [each for each in model.pending if each.origin == made.id]
            new += [Segment(each.interval, each.version, each.number, each.cores, origin=made.id) for each in siblings]
            gone = {each.id for each in new}
            model.pending = [each for each in model.pending if each.id not in gone]
            for lock in model.locks:
                note = (lock.task, made.id, lock.version)
                taken = lock.type == "REPLACE" and not lock.revoked and inside(lock.interval, made.interval)
                if taken and all(each[:2] != note[:2] for each in model.notes):
                    model.notes.append(note)
        self.published(got, new)

    @rule(name=TASKS, day=st.sampled_from([DAYS[0], DAYS[0], DAYS[1]]), number=st.sampled_from([0, 1]))
    def insert_one_of_two(self, name, day, number):
        """Alone it is not seen; with the other it hides what is older."""
        self.lock(name, "EXCLUSIVE", day)
        model = self.model
        held = [each for each in model.standing(name) if (each.type, each.interval) == ("EXCLUSIVE", day)]
        if held:
            made = Segment(day, held[0].version, number, 2)
            given = [made.to_json()]
            self.published(self.act(model.tasks[name], "segmentTransactionalInsert", segments=given), [made])

    @rule(name=TASKS, interval=st.sampled_from(INTERVALS))
    def list_used(self, name, interval):
        task = self.running(name)
        since = [
            each
            for each in self.model.locks
            if (each.task, each.type) == (name, "REPLACE") and meet(each.interval, interval)
        ]
        got = self.act(task, "segmentListUsed", dataSource="ds", intervals=[text(interval)])
        if not since:  # else it does not see what is newer than its lock
            assert [each["identifier"] for each in got] == [each.id for each in self.model.visible(interval)]

    def published(self, got, new):
        fresh = [each for each in new if each.id not in self.model.segments]
        assert (got["success"], got["errorMsg"]) == (True, None)
        assert sorted(each["identifier"] for each in got["segments"]) == sorted(each.id for each in fresh)
        self.model.segments.update({each.id: each for each in fresh})

    @rule(name=TASKS, day=st.sampled_from([DAYS[0], DAYS[0], DAYS[1]]), count=st.sampled_from([1, 2]))
    def overwrite(self, name, day, count):
        """A replace under a lock of exactly this day; numbers of copies follow in any order."""
        self.lock(name, "REPLACE", day)
        task, model = self.running(name), self.model
        held = [each for each in model.standing(name) if (each.type, each.interval) == ("REPLACE", day)]
        if not held:
            return
        version = held[0].version
        own = [Segment(day, version, number, count) for number in range(count)]
        if any((each.interval, each.version) == (day, version) for each in model.segments.values()):
            return
        origins = [model.segments[note[1]] for note in model.notes if note[0] == name and note[1] in model.segments]
        origins = [each for each in origins if inside(day, each.interval) and each.version < version]
        foreign = [
            note for note in model.notes if note[0] == name and not inside(day, model.segments[note[1]].interval)
        ]
        waiting = [each for each in model.pending if inside(day, each.interval) and each.version < version]
        waiting = [each for each in waiting if each.origin is None]
        if foreign or any(each.version >= version and meet(each.interval, day) for each in model.pending):
            return
        got = self.act(task, "segmentTransactionalReplace", segments=[each.to_json() for each in own])
        copies = [each for each in got["segments"] if each["shardSpec"]["partitionNum"] >= count]
        numbers = sorted(each["shardSpec"]["partitionNum"] for each in copies)
        assert numbers == list(range(count, count + len(origins)))
        assert {each["version"] for each in got["segments"]} == {version}
        rows = self.rows("SELECT id, upgraded_from_segment_id FROM druid_segments WHERE version = %s", version)
        learnt = dict(rows)
        made = [
            Segment(day, version, number, count, origin=learnt[name_of(day, version, number)]) for number in numbers
        ]
        assert sorted(each.origin for each in made) == sorted(each.origin or each.id for each in origins)
        self.published(got, [*own, *made])
        aside = self.rows(ASIDE, version)
        assert sorted(origin for _, origin in aside) == sorted(each.id for each in waiting)
        first = count + len(origins)
        assert sorted(row[0] for row in aside) == sorted(
            name_of(day, version, number) for number in range(first, first + len(waiting))
        )
        by_id = {each.id: each for each in waiting}
        for number in range(first, first + len(waiting)):
            (origin,) = [row[1] for row in aside if row[0] == name_of(day, version, number)]
            made_from = by_id[origin]
            model.pending.append(
                Pending(
                    day, version, number, count, f"upgraded_to_version__{version}", origin, made_from.allocator, origin
                )
            )

    @rule(name=TASKS, interval=st.sampled_from(INTERVALS))
    def mark_unused(self, name, interval):
        task = self.running(name)
        whole = [each for each in self.model.segments.values() if each.used and inside(interval, each.interval)]
        assert self.act(task, "markSegmentsAsUnused", dataSource="ds", interval=text(interval)) == len(whole)
        for each in whole:
            each.used = False

    @rule(name=TASKS, start=st.sampled_from([None, 1, 2, 3]), end=st.sampled_from([1, 2, 3]))
    def move_offsets(self, name, start, end):
        """Each publish of a task is told apart by its numbers; one sent again gets its first answer."""
        task, model = self.running(name), self.model
        keys = getattr(self, "ledger", set())
        self.ledger = keys
        again = (name, start, end) in keys
        stored = {"type": "object", "object": model.offset} if model.moved else None
        fits = start is None if stored is None else model.offset == start
        got = self.act(
            task,
            "segmentTransactionalInsert",
            segments=[],
            dataSource="ds",
            startMetadata={"type": "object", "object": start},
            endMetadata={"type": "object", "object": end},
        )
        assert got["success"] is (fits or again)
        if fits and not again:
            keys.add((name, start, end))
            model.offset, model.moved = end, True
        if not got["success"]:
            assert got["retryable"] is (stored is None)

    def rows(self, query, *values):
        return self.conn.execute(query, values).fetchall()

    @invariant()
    def the_rows_are_those_of_the_model(self):
        model = self.model
        assert sorted(self.rows("SELECT id, used, upgraded_from_segment_id FROM druid_segments")) == sorted(
            (each.id, each.used, each.origin) for each in model.segments.values()
        )
        pending = self.rows(
            "SELECT id, sequence_name, sequence_prev_id, task_allocator_id FROM druid_pendingsegments ORDER BY id"
        )
        assert pending == sorted((each.id, each.sequence, each.previous, each.allocator) for each in model.pending)
        held = self.rows("SELECT task_id, type, start_ms, end_ms, version, priority, revoked FROM ovl_locks")
        assert sorted(held) == sorted(
            (each.task, each.type, *each.interval, each.version, each.priority, each.revoked) for each in model.locks
        )
        assert self.rows("SELECT count(*) FROM druid_tasklocks") == [(len(held),)]
        notes = self.rows("SELECT task_id, segment_id, lock_version FROM druid_upgradesegments")
        assert sorted(notes) == sorted(model.notes)


def test_whatever_is_asked_in_whatever_order_the_rules_hold(db, dsn):
    with psycopg.connect(dsn, autocommit=True) as conn:
        run_state_machine_as_test(
            lambda: Machine(db, conn),
            settings=settings(
                max_examples=40,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
