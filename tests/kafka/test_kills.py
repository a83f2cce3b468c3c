"""Whatever is killed, each message is published exactly once: each test is a row of docs/durability.md."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import psycopg
import pytest

from tests.acceptance.harness import Server, kill

from .topics import column, create, end, handoff, new_name, segments, spec, status, until_read, until_stored

PARTITIONS = 4
PIECES = 20


def busy(broker, topic: str) -> dict:
    """Two tasks that hand over every other second, and publish in between as well."""
    return spec(
        broker,
        topic,
        io={"taskCount": 2, "taskDuration": "PT2S", "period": "PT0.5S"},
        tuning={"maxRowsPerSegment": 15_000, "shutdownTimeout": "PT10S"},
    )


def pids(server, topic: str) -> list[int]:
    """Processes of the tasks that read or publish now."""
    rows = server.sql(
        "SELECT identity FROM ovl_tasks WHERE datasource = %s AND state = 'RUNNING' AND identity IS NOT NULL", topic
    )
    return [identity["pid"] for (identity,) in rows]


def answers(server) -> bool:
    """Whether the database does."""
    try:
        return bool(server.sql("SELECT 1"))
    except psycopg.Error:
        return False


class Producer(threading.Thread):
    """Produces in pieces, so that there is always something to read."""

    def __init__(self, broker, topic: str, count: int, pieces: int, pause_s: float) -> None:
        super().__init__(daemon=True)
        self.broker, self.topic, self.count, self.pieces, self.pause_s = broker, topic, count, pieces, pause_s
        self.failure: Exception | None = None

    def run(self) -> None:
        size = self.count // self.pieces
        try:
            for piece in range(self.pieces):
                self.broker.produce(self.topic, piece * size, size, PARTITIONS)
                time.sleep(self.pause_s)
        except Exception as error:
            self.failure = error


def torture(broker, server, count: int, *, kills: int, pause_s: float, seed: int, timeout_s: float) -> None:
    """Kill tasks and the Overlord while messages come; then see that all of them are there, once."""
    rng = random.Random(seed)
    topic = new_name()
    broker.create(topic, PARTITIONS)
    producer = Producer(broker, topic, count, PIECES, kills * pause_s / PIECES)
    producer.start()
    supervisor = create(server, busy(broker, topic))
    killed = 0
    for number in range(kills):
        time.sleep(rng.uniform(0, 2 * pause_s))
        if number % 3 == 2:
            server.kill()
            time.sleep(rng.uniform(0, 1))
            server.start()
            continue
        try:
            there = pids(server, topic)
            if there:
                kill(rng.choice(there))
                killed += 1
        except (ProcessLookupError, psycopg.Error):
            pass
    producer.join()
    assert producer.failure is None
    assert killed, "no task was there to be killed"
    ends = dict.fromkeys(map(str, range(PARTITIONS)), count // PARTITIONS)
    until_stored(server, topic, ends, timeout_s)
    end(server, supervisor)
    exactly_once(server, topic, count)


def exactly_once(server, topic: str, count: int) -> None:
    """Count, sum, and each single number."""
    found = np.sort(np.asarray(column(server, topic), np.int64))
    assert (len(found), int(found.sum())) == (count, count * (count - 1) // 2)
    assert np.array_equal(found, np.arange(count))


def test_200_000_messages_are_published_once_whatever_is_killed(broker, server):
    torture(broker, server, 200_000, kills=12, pause_s=1.5, seed=6, timeout_s=120)


@pytest.mark.long
def test_2_000_000_messages_are_published_once_whatever_is_killed(broker, server):
    torture(broker, server, 2_000_000, kills=40, pause_s=2.5, seed=9, timeout_s=600)


def test_a_broker_killed_and_back_costs_no_message(broker, server):
    topic = new_name()
    broker.create(topic, PARTITIONS)
    broker.produce(topic, 0, 10_000, PARTITIONS)
    body = busy(broker, topic)
    body["spec"]["ioConfig"]["consumerProperties"]["default.api.timeout.ms"] = "1000"
    supervisor = create(server, body)
    server.until(lambda: pids(server, topic), 120)
    broker.kill()
    server.until(lambda: status(server, supervisor)["recentErrors"], 120)
    broker.start()
    broker.produce(topic, 10_000, 10_000, PARTITIONS)
    until_stored(server, topic, dict.fromkeys(map(str, range(PARTITIONS)), 5000), 120)
    end(server, supervisor)
    exactly_once(server, topic, 20_000)


def test_a_database_killed_and_back_costs_no_message(broker, server):
    topic = new_name()
    broker.create(topic, PARTITIONS)
    supervisor = create(server, busy(broker, topic))
    for piece in range(3):
        broker.produce(topic, piece * 10_000, 10_000, PARTITIONS)
        server.until(lambda: pids(server, topic), 120)
        kill(server.postgres_pid())
        server.until(lambda: answers(server), 120)
    until_stored(server, topic, dict.fromkeys(map(str, range(PARTITIONS)), 7500), 120)
    end(server, supervisor)
    exactly_once(server, topic, 30_000)


@pytest.mark.parametrize(
    "point",
    ["after_push", "after_publish", "after_stream_publish", "before_publish_commit", "after_publish_commit"],
)
def test_a_kill_around_a_publish_neither_loses_nor_repeats_it(broker, tmp_path, point):
    """Tasks are killed, or the Overlord, which comes back; the first time one comes to that point."""
    server = Server(tmp_path / "data", {"OVL_FAULT": f"{point}@{tmp_path / 'once'}"}, "--workers", "4")
    server.start()
    try:
        topic = new_name()
        broker.create(topic, 2)
        broker.produce(topic, 0, 100, 2)
        supervisor = create(server, spec(broker, topic))
        until_read(server, supervisor, {"0": 50, "1": 50})
        handoff(server, supervisor, 0)
        if point.endswith("_commit"):
            server.process.wait(60)
            server.start()
        server.until((tmp_path / "once").exists, 120)
        broker.produce(topic, 100, 100, 2)
        until_read(server, supervisor, {"0": 100, "1": 100})
        handoff(server, supervisor, 0)
        until_stored(server, topic, {"0": 100, "1": 100})
        end(server, supervisor)
        exactly_once(server, topic, 200)
    finally:
        server.clean_up()


def test_what_comes_after_a_start_at_the_end_of_the_topic_survives_kills(broker, server):
    topic = new_name()
    broker.create(topic, 1)
    broker.produce(topic, 0, 100, 1)
    supervisor = create(server, spec(broker, topic, io={"useEarliestOffset": False}))
    (task,) = until_read(server, supervisor, {"0": 100})
    broker.produce(topic, 100, 50, 1)
    until_read(server, supervisor, {"0": 150})
    pid = server.pid_of(task)
    server.kill()
    kill(pid)
    broker.produce(topic, 150, 50, 1)
    server.start()
    until_read(server, supervisor, {"0": 200})
    assert segments(server, topic) == []
    handoff(server, supervisor, 0)
    until_stored(server, topic, {"0": 200})
    end(server, supervisor)
    assert sorted(column(server, topic)) == list(range(100, 200))


def test_the_other_replica_publishes_when_one_is_killed(broker, server):
    topic = new_name()
    broker.create(topic, 2)
    broker.produce(topic, 0, 1000, 2)
    supervisor = create(server, spec(broker, topic, io={"replicas": 2}))
    tasks = until_read(server, supervisor, {"0": 500, "1": 500}, tasks=2)
    kill(server.pid_of(tasks[0]))
    server.until_state(tasks[0], "FAILED")
    until_read(server, supervisor, {"0": 500, "1": 500}, tasks=2)
    handoff(server, supervisor, 0)
    until_stored(server, topic, {"0": 500, "1": 500})
    server.until_state(tasks[1], "SUCCESS")
    end(server, supervisor)
    exactly_once(server, topic, 1000)
