"""Sixteen clients at once over one datasource; what must hold is read from the rows afterwards."""

from __future__ import annotations

import random
import threading

import psycopg
import pytest

from overlord import locks, states
from overlord.actions.cleanup import task_ended
from overlord.errors import OverlordError
from overlord.store import tasks as store
from overlord.store.db import Database

from .acting import act, segment, submit

CLIENTS = 16
DAY = "2024-01-01/2024-01-02"

OVERLAPPING = """
SELECT a.task_id, b.task_id FROM ovl_locks a JOIN ovl_locks b
  ON a.id < b.id AND a.datasource = b.datasource AND a.start_ms < b.end_ms AND b.start_ms < a.end_ms
WHERE NOT a.revoked AND NOT b.revoked AND a.group_id <> b.group_id
  AND NOT (a.type = b.type AND a.type IN ('SHARED', 'APPEND'))
  AND NOT (a.type = 'APPEND' AND b.type = 'REPLACE' AND b.start_ms <= a.start_ms AND a.end_ms <= b.end_ms)
  AND NOT (b.type = 'APPEND' AND a.type = 'REPLACE' AND a.start_ms <= b.start_ms AND b.end_ms <= a.end_ms)
"""
TWICE = """
SELECT start, "end", version, shard ->> 'partitionNum' FROM (
  SELECT start, "end", convert_from(payload, 'UTF8')::json ->> 'version' AS version,
         convert_from(payload, 'UTF8')::json -> 'shardSpec' AS shard
  FROM {table}
) AS rows GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
"""
UNCOVERED = "SELECT id FROM ovl_locks l WHERE NOT EXISTS (SELECT 1 FROM druid_tasklocks t WHERE t.id = l.tasklock_id)"
OF_THE_DEAD = """
SELECT l.task_id FROM ovl_locks l JOIN ovl_tasks t ON t.id = l.task_id WHERE t.state IN ('SUCCESS', 'FAILED')
"""


@pytest.fixture
def wide(dsn):
    """A pool for all clients at once."""
    database = Database(dsn, max_size=CLIENTS)
    yield database
    database.close()


def rows(dsn, query):
    with psycopg.connect(dsn) as conn:
        return conn.execute(query).fetchall()


def at_once(run):
    """Call `run(number)` from each client; gives what they returned, and raises the first of their faults."""
    answers, faults = [], []
    gate = threading.Barrier(CLIENTS)

    def one(number):
        gate.wait()
        try:
            answers.append(run(number))
        except BaseException as fault:  # raised below
            faults.append(fault)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a client waits for ever"
    if faults:
        raise faults[0]
    return answers


def test_locks_taken_lost_and_given_back_at_once_never_stand_against_each_other(wide, dsn):
    tasks = [submit(wide, f"t{n}", priority=(25, 50, 75)[n % 3]) for n in range(CLIENTS)]
    with wide.transaction() as tx:
        epoch = store.lead(tx, "http://here")

    def run(number):
        chance, task = random.Random(number), tasks[number]
        for _ in range(12):
            start = chance.randrange(1, 5)
            interval = f"2024-01-0{start}/2024-01-0{start + chance.randrange(1, 3)}"
            kind = chance.choice(["EXCLUSIVE", "SHARED", "APPEND", "REPLACE"])
            act(wide, task, "lockTryAcquire", lockType=kind, interval=interval)
            if chance.random() < 0.4:
                act(wide, task, "lockRelease", interval=interval)
        if number % 4 == 0:
            with wide.transaction() as tx:
                tx.lock_datasource("ds")
                assert states.move(tx, task.id, "shutdown", epoch=epoch) is not None
                locks.release_task(tx, task.id)
                task_ended(tx, task.id, task.group_id)

    at_once(run)
    assert rows(dsn, OVERLAPPING) == []
    assert rows(dsn, UNCOVERED) == []
    assert rows(dsn, OF_THE_DEAD) == []
    assert rows(dsn, "SELECT count(*) FROM ovl_locks") == rows(dsn, "SELECT count(*) FROM druid_tasklocks")


def test_allocations_and_appends_at_once_give_each_number_once_and_lose_nothing(wide, dsn):
    """Each client appends what it was given; one of them replaces the day meanwhile."""
    tasks = [submit(wide, f"t{n}") for n in range(CLIENTS)]

    def append(task, name):
        got = act(
            wide,
            task,
            "segmentAllocate",
            dataSource="ds",
            timestamp="2024-01-01T05:00:00.000Z",
            queryGranularity="none",
            preferredSegmentGranularity="DAY",
            sequenceName=f"{task.id}_{name}",
            taskLockType="APPEND",
        )
        spec = got["shardSpec"]
        made = segment("2024-01-01", got["version"], spec["partitionNum"], spec["partitions"])
        made["loadSpec"] = {"type": "local", "path": f"{task.id}_{name}"}
        assert act(wide, task, "segmentTransactionalAppend", segments=[made])["success"] is True

    def run(number):
        if number:
            for name in range(4):
                append(tasks[number], name)
            return
        version = act(wide, tasks[0], "lockTryAcquire", lockType="REPLACE", interval=DAY)["version"]
        answer = act(wide, tasks[0], "segmentTransactionalReplace", segments=[segment("2024-01-01", version, 0, 1)])
        assert answer["success"] is True

    at_once(run)
    for table in ("druid_segments", "druid_pendingsegments"):
        assert rows(dsn, TWICE.format(table=table)) == []
    seen = act(wide, tasks[1], "segmentListUsed", dataSource="ds", intervals=[DAY])
    paths = sorted(each["loadSpec"]["path"] for each in seen)
    (replaced,) = [path for path in paths if path == "/nowhere/index.zip"]
    paths.remove(replaced)
    appended = {f"t{task}_{name}" for task in range(1, CLIENTS) for name in range(4)}
    assert len(paths) == len(set(paths))
    # What was appended before the REPLACE lock was granted is what the task replaces.
    begun = rows(dsn, "SELECT version FROM ovl_locks WHERE type = 'REPLACE'")[0][0]
    early = {
        path
        for path, created in rows(
            dsn,
            "SELECT convert_from(payload, 'UTF8')::json -> 'loadSpec' ->> 'path', min(created_date) "
            "FROM druid_segments GROUP BY 1",
        )
        if created <= begun
    }
    assert appended - early <= set(paths) <= appended


def test_of_publishes_that_follow_the_same_offsets_one_wins_each_step(wide, dsn):
    tasks = [submit(wide, f"t{n}") for n in range(CLIENTS)]

    def run(number):
        won = 0
        for step in range(6):
            answer = act(
                wide,
                tasks[number],
                "segmentTransactionalInsert",
                segments=[],
                dataSource="ds",
                startMetadata={"type": "object", "object": step or None},
                endMetadata={"type": "object", "object": step + 1},
            )
            won += answer["success"]
        return won

    wins = sum(at_once(run))
    stored = rows(dsn, "SELECT convert_from(commit_metadata_payload, 'UTF8')::json ->> 'object' FROM druid_datasource")
    assert stored == [(str(wins),)]
    assert rows(dsn, "SELECT count(*) FROM ovl_publishes") == [(wins,)]


def test_a_request_that_fails_harms_none_of_those_it_is_gathered_with(wide):
    from overlord.store.group import Groups

    groups, rounds = Groups(), []

    def perform(many):
        rounds.append(len(many))
        if "bad" in many:
            raise OverlordError("bad")
        return [each.upper() for each in many]

    def run(number):
        if number % 5 == 0:
            with pytest.raises(OverlordError):
                groups.ask("key", "bad", perform)
            return None
        return groups.ask("key", f"r{number}", perform)

    answers = [each for each in at_once(run) if each is not None]
    assert sorted(answers) == sorted(f"R{number}" for number in range(CLIENTS) if number % 5)
    assert sum(rounds) >= CLIENTS
