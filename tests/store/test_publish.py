"""Publishing over a real Postgres: all or nothing, once, and only under locks."""

from __future__ import annotations

import threading

import psycopg
import pytest

from overlord.errors import OverlordError

from .acting import act, segment, submit

DAY = "2024-01-01/2024-01-02"


def lock(db, task, interval=DAY):
    return act(db, task, "lockTryAcquire", lockType="EXCLUSIVE", interval=interval)


def publish(db, task, *segments, **more):
    return act(db, task, "segmentTransactionalInsert", segments=list(segments), **more)


def stored(dsn, what="id"):
    with psycopg.connect(dsn) as conn:
        return [row[0] for row in conn.execute(f"SELECT {what} FROM druid_segments ORDER BY id").fetchall()]


def offsets(at):
    return {"type": "object", "object": None if at is None else {"at": at}}


def test_a_publish_asked_for_again_inserts_nothing_and_lists_what_is_new(db, dsn):
    task = submit(db, "t")
    version = lock(db, task)["version"]
    given = [segment("2024-01-01", version, n, 2) for n in range(2)]
    first = publish(db, task, *given)
    again = publish(db, task, *given)
    assert (first["success"], len(first["segments"])) == (True, 2)
    assert (again["success"], again["segments"]) == (True, [])
    assert len(stored(dsn)) == 2


def test_offsets_move_once_and_the_publish_that_is_sent_again_gets_the_first_answer(db, dsn):
    task = submit(db, "t")
    version = lock(db, task)["version"]
    more = {"startMetadata": offsets(None), "endMetadata": offsets(1)}
    first = publish(db, task, segment("2024-01-01", version), **more)
    assert first["success"] is True
    assert publish(db, task, segment("2024-01-01", version), **more) == first
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT task_id, segments FROM ovl_publishes").fetchall() == [("t", 1)]


def test_without_a_lock_nothing_is_inserted(db, dsn):
    task = submit(db, "t")
    with pytest.raises(OverlordError):
        publish(db, task, segment("2024-01-01", "2024-01-01T00:00:00.000Z"))
    assert stored(dsn) == []


def test_one_segment_outside_of_the_lock_stops_all_of_them(db, dsn):
    task = submit(db, "t")
    version = lock(db, task)["version"]
    with pytest.raises(OverlordError):
        publish(db, task, segment("2024-01-01", version), segment("2024-01-05", version))
    assert stored(dsn) == []


def test_a_revoked_lock_does_not_cover(db, dsn):
    low, high = submit(db, "low", priority=1), submit(db, "high", priority=90)
    version = lock(db, low)["version"]
    assert lock(db, high) is not None
    with pytest.raises(OverlordError):
        publish(db, low, segment("2024-01-01", version))
    assert stored(dsn) == []


def test_metadata_that_another_has_moved_on_stops_the_publish(db, dsn):
    task = submit(db, "t")
    version = lock(db, task)["version"]
    first = publish(db, task, segment("2024-01-01", version, 0), startMetadata=offsets(None), endMetadata=offsets(1))
    late = publish(db, task, segment("2024-01-01", version, 1), startMetadata=offsets(5), endMetadata=offsets(9))
    assert (first["success"], late["success"]) == (True, False)
    assert len(stored(dsn)) == 1


def test_of_many_that_publish_at_once_each_segment_is_there_once(db, dsn):
    task = submit(db, "t")
    version = lock(db, task)["version"]
    given = [segment("2024-01-01", version, n, 4) for n in range(4)]
    answers, faults = [], []

    def run():
        try:
            answers.append(publish(db, task, *given))
        except Exception as fault:  # shown by the assertion below
            faults.append(fault)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert all(answer["success"] for answer in answers)
    assert sorted(len(answer["segments"]) for answer in answers) == [0] * 7 + [4]
    assert len(stored(dsn)) == 4
