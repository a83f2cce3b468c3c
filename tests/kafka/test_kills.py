"""Whatever is killed, each message is published exactly once: each test is a row of docs/durability.md."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import psycopg

from tests.acceptance.harness import kill

from .topics import column, create, end, new_name, spec, until_stored

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
