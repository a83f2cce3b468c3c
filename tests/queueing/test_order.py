"""Who starts when: in order of submission, and thousands that wait cost next to nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from .test_retry import index_spec


def test_tasks_start_in_the_order_of_submission(line):
    line.runner.slots = 0
    names = [f"t{number}" for number in range(30)]
    for name in names:
        line.submit(name)
    line.until(lambda: all(line.row(name)["state"] == "PENDING" for name in names))
    line.restart()  # the order is in Postgres
    line.runner.slots = 1
    line.queue.wake()
    for name in names:
        line.until_state(name, "RUNNING")
        line.succeed(name)
    assert [name for name, _ in line.runner.begun] == names


def test_a_lock_goes_to_who_asked_first(line):
    line.submit("holder", type="index", spec=index_spec("ds"))
    line.until_state("holder", "RUNNING")
    names = [f"t{number}" for number in range(12)]
    for name in names:
        line.submit(name, type="index", spec=index_spec("ds"))
    line.until_blocked(names[-1])
    for name in ["holder", *names]:
        line.until_state(name, "RUNNING")
        line.succeed(name)
    assert [name for name, _ in line.runner.begun] == ["holder", *names]


@pytest.mark.parametrize("state", ["WAITING", "PENDING", "RUNNING"])
def test_a_task_shut_down_in_any_state_is_failed_at_once(line, state):
    line.runner.slots = 1 if state == "RUNNING" else 0
    line.submit("holder", type="index", spec=index_spec("ds"))
    line.until_state("holder", "PENDING" if state != "RUNNING" else "RUNNING")
    if state == "WAITING":
        line.submit("t", type="index", spec=index_spec("ds"))
        line.until_blocked("t")
        victim = "t"
    else:
        victim = "holder"
    begun = len(line.runner.begun)
    assert line.client().post(f"/druid/indexer/v1/task/{victim}/shutdown").json == {"task": victim}
    status = line.stock(victim)
    assert (status["active"], status["status"], status["errorMsg"]) == (False, "FAILED", "Shutdown request from user")
    assert not line.queue.shutdown(victim)  # once
    line.runner.slots = 5
    line.queue.wake()
    line.submit("after")
    line.until_state("after", "RUNNING")
    assert victim not in [name for name, _ in line.runner.begun[begun:]]


def test_a_cancelled_pending_task_never_runs_however_close_the_race(line):
    """Shut down at the moment when slots come free: each task either never began, or began before its end."""
    line.runner.slots = 0
    names = [f"t{number}" for number in range(40)]
    for name in names:
        line.submit(name)
    line.until(lambda: all(line.row(name)["state"] == "PENDING" for name in names))
    line.runner.slots = 100
    line.queue.wake()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(line.queue.shutdown, reversed(names)))
    with line.db.transaction() as tx:
        for name in names:
            told = [event["event"] for event in tx.all("explain.events", id=name)]
            assert told in (["submitted", "locked", "shutdown"], ["submitted", "locked", "started", "shutdown"])
            assert "started" in told or (name, 1) not in line.runner.begun


def test_waiters_on_one_lock_are_not_read_again_when_it_changes_hands(line):
    """Of those that ask for the same only the first is tried: else each release would cost as many reads as wait."""
    line.submit("holder", type="index", spec=index_spec("ds"))
    line.until_state("holder", "RUNNING")
    names = [f"t{number}" for number in range(60)]
    for name in names:
        line.submit(name, type="index", spec=index_spec("ds"))
    line.until_blocked(names[-1])
    seen = []
    scheduler = line.queue._scheduler
    inner = scheduler._admit_chunk
    scheduler._admit_chunk = lambda ids, attempt: (seen.extend(ids), inner(ids, attempt))
    line.succeed("holder")
    line.until_state(names[0], "RUNNING")
    line.until(lambda: scheduler._blockers.get(names[-1]) and next(iter(scheduler._blockers[names[-1]]))[0] == names[0])
    assert names[0] in seen and len(seen) < 20
