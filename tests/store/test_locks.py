"""Locks over a real Postgres."""

from __future__ import annotations

import threading

import orjson
import pytest

from overlord import locks
from overlord.actions import cleanup
from overlord.errors import ActionFailed
from overlord.model.audit import AuditInfo
from overlord.model.interval import Interval
from overlord.model.lock import LockRequest, LockType
from overlord.model.task import Task
from overlord.store import tasks as store

DAY = Interval.parse("2024-01-01/2024-01-02")
MONTH = Interval.parse("2024-01-01/2024-02-01")
NOW = 1_700_000_000_000


def task(db, name, *, priority=50, group=None):
    made = Task(
        id=name,
        type="noop",
        group_id=group or name,
        datasource="ds",
        payload={"type": "noop", "id": name},
        priority=priority,
        availability_group=group or name,
    )
    with db.transaction() as tx:
        store.submit(tx, made, orjson.dumps(made.payload), AuditInfo(), "2024-01-01T00:00:00.000Z")
    return made


def take(db, who, interval=DAY, kind="EXCLUSIVE", now=NOW, **more):
    with db.transaction() as tx:
        return locks.try_acquire(tx, who, LockRequest(interval=interval, type=LockType(kind), **more), now_ms=now)


def held(db, who):
    with db.transaction() as tx:
        return locks.of_task(tx, who.id)


def test_an_exclusive_lock_keeps_others_out_until_released(db):
    one, two = task(db, "one"), task(db, "two")
    assert take(db, one).lock is not None
    refused = take(db, two)
    assert refused.lock is None
    assert refused.blockers[0]["task_id"] == "one"
    with db.transaction() as tx:
        assert locks.release(tx, "one", DAY)
    assert take(db, two).lock is not None


def test_a_lock_has_its_copy_in_druids_table_and_both_go_with_the_task(db, dsn):
    import psycopg

    one = task(db, "one")
    take(db, one)
    with psycopg.connect(dsn) as conn:
        (payload,) = conn.execute("SELECT lock_payload FROM druid_tasklocks WHERE task_id = 'one'").fetchone()
    assert orjson.loads(bytes(payload)) == {
        "granularity": "timeChunk",
        "type": "EXCLUSIVE",
        "groupId": "one",
        "dataSource": "ds",
        "interval": "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z",
        "version": "2023-11-14T22:13:20.000Z",
        "priority": 50,
        "revoked": False,
    }
    with db.transaction() as tx:
        assert locks.release_task(tx, "one")
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM druid_tasklocks").fetchone() == (0,)


@pytest.mark.parametrize(
    ("first", "second", "granted"),
    [
        (("EXCLUSIVE", DAY), ("SHARED", DAY), False),
        (("SHARED", DAY), ("SHARED", DAY), True),
        (("SHARED", DAY), ("APPEND", DAY), False),
        (("APPEND", DAY), ("APPEND", MONTH), True),
        (("REPLACE", MONTH), ("APPEND", DAY), True),
        (("REPLACE", DAY), ("APPEND", MONTH), False),
        (("APPEND", DAY), ("REPLACE", MONTH), True),
        (("APPEND", MONTH), ("REPLACE", DAY), False),
        (("REPLACE", DAY), ("REPLACE", DAY), False),
        (("EXCLUSIVE", DAY), ("EXCLUSIVE", Interval.parse("2024-01-02/2024-01-03")), True),
    ],
)
def test_types_stand_side_by_side_as_druids_do(db, first, second, granted):
    one, two = task(db, "one"), task(db, "two")
    assert take(db, one, first[1], first[0]).lock is not None
    assert (take(db, two, second[1], second[0]).lock is not None) is granted


def test_a_higher_priority_revokes_and_the_loser_sees_it_until_it_releases(db):
    low, high = task(db, "low", priority=10), task(db, "high", priority=90)
    take(db, low)
    assert take(db, high).lock.revoked is False
    assert [lock.revoked for lock in held(db, low)] == [True]
    assert take(db, low).lock.revoked is True
    assert take(db, low, MONTH).lock is None
    with db.transaction() as tx:
        locks.release(tx, "low", DAY)
    assert take(db, low).lock is None


def test_equal_priority_waits(db):
    one, two = task(db, "one"), task(db, "two")
    take(db, one)
    assert take(db, two).lock is None
    assert [lock.revoked for lock in held(db, one)] == [False]


def test_a_group_shares_its_lock_and_version(db):
    one, two = task(db, "one", group="g"), task(db, "two", group="g")
    wide = take(db, one, MONTH).lock
    assert take(db, two, DAY, now=NOW + 5).lock == wide
    with db.transaction() as tx:
        locks.release_task(tx, "one")
    other = task(db, "other")
    assert take(db, other).lock is None  # the second of the group holds it still


def test_a_version_is_later_than_any_segment_there(db, dsn):
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO druid_segments VALUES ('s', 'ds', 'x', '2024-01-01T00:00:00.000Z', '2024-01-02T00:00:00.000Z',"
            " true, '2030-01-01T00:00:00.000Z', true, '', 'x', null)"
        )
    assert take(db, task(db, "one")).lock.version == "2030-01-01T00:00:00.001Z"


def test_only_active_tasks_get_locks(db):
    stranger = Task(
        id="stranger", type="noop", group_id="g", datasource="ds", payload={}, priority=50, availability_group="g"
    )
    with pytest.raises(ActionFailed, match=r"Unable to grant lock to inactive Task \[stranger\]"):
        take(db, stranger)


def test_an_empty_interval_is_refused(db):
    with pytest.raises(ActionFailed, match="interval empty"):
        take(db, task(db, "one"), Interval.parse("2024-01-01/2024-01-01"))


def test_segment_locks_of_different_partitions_coexist_and_stop_a_time_chunk(db):
    one, two, three = task(db, "one"), task(db, "two"), task(db, "three")
    assert take(db, one, granularity="segment", version="v", partition_id=0).lock is not None
    assert take(db, two, granularity="segment", version="v", partition_id=0).lock is None
    assert take(db, two, granularity="segment", version="v", partition_id=1).lock is not None
    assert take(db, three).lock is None


def test_of_many_at_once_exactly_one_gets_an_exclusive_lock(db):
    rivals = [task(db, f"t{n}") for n in range(8)]
    got = []

    def ask(who):
        if take(db, who).lock is not None:
            got.append(who.id)

    threads = [threading.Thread(target=ask, args=(who,)) for who in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_pending_segments_go_with_the_last_task_of_their_group(db, dsn):
    import psycopg

    task(db, "one", group="g")
    task(db, "two", group="g")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO druid_pendingsegments VALUES ('p', 'ds', 'x', 's', 'e', 'q', '', 'sha', '', null, 'g')"
        )
        for ended, left in (("one", 1), ("two", 0)):
            conn.execute("UPDATE ovl_tasks SET state = 'SUCCESS' WHERE id = %s", (ended,))
            with db.transaction() as tx:
                cleanup.task_ended(tx, ended, "g")
            assert conn.execute("SELECT count(*) FROM druid_pendingsegments").fetchone() == (left,)
