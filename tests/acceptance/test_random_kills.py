"""Fifty times SIGKILL at a random instant, to the server, a worker or Postgres, while tasks allocate and publish."""

from __future__ import annotations

import contextlib
import random
import threading
import time

import psycopg
import pytest
import requests

from .harness import Server, index_task, kill

ROUNDS = 50
DATASOURCES = 3

TWICE = """
SELECT datasource, start, "end", version, convert_from(payload, 'UTF8')::json -> 'shardSpec' ->> 'partitionNum'
FROM {table} GROUP BY 1, 2, 3, 4, 5 HAVING count(*) > 1
"""
PENDING_TWICE = """
SELECT datasource, p ->> 'interval', p ->> 'version', p -> 'shardSpec' ->> 'partitionNum'
FROM (SELECT datasource, convert_from(payload, 'UTF8')::json AS p FROM druid_pendingsegments) AS rows
GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
"""
NOTHING = {
    "two segments of one number": TWICE.format(table="druid_segments"),
    "two pending ids of one number": PENDING_TWICE,
    "a lock without its copy": "SELECT l.id FROM ovl_locks l LEFT JOIN druid_tasklocks t ON t.id = l.tasklock_id "
    "WHERE t.id IS NULL",
    "a copy without its lock": "SELECT t.id FROM druid_tasklocks t LEFT JOIN ovl_locks l ON t.id = l.tasklock_id "
    "WHERE l.id IS NULL",
    "a lock of a task that has ended": "SELECT l.task_id FROM ovl_locks l JOIN ovl_tasks t ON t.id = l.task_id "
    "WHERE t.state IN ('SUCCESS', 'FAILED')",
    "a task whose two rows disagree": "SELECT o.id FROM ovl_tasks o LEFT JOIN druid_tasks t ON t.id = o.id "
    "WHERE t.id IS NULL OR t.active <> (o.state NOT IN ('SUCCESS', 'FAILED'))",
    "a task of which only a part is published": "SELECT task_id FROM ovl_publishes WHERE final AND segments = 1",
    "a failed task that had published": "SELECT t.id FROM ovl_tasks t JOIN ovl_publishes p ON p.task_id = t.id "
    "WHERE p.final AND t.state = 'FAILED'",
}


class Submitter(threading.Thread):
    """Submits and keeps what was accepted, whatever else happens."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.accepted: set[str] = set()
        self.ending = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            number += 1
            task = index_task(f"i{number}", f"ds{number % DATASOURCES}", append=number % 2 == 0)
            task["context"] = {"useConcurrentLocks": True}
            with contextlib.suppress(requests.RequestException):
                if self.server.post("/task", task).status_code == 200:
                    self.accepted.add(task["id"])
            self.ending.wait(0.3)


def workers(server):
    with contextlib.suppress(psycopg.Error):
        rows = server.sql("SELECT identity FROM ovl_tasks WHERE state = 'RUNNING' AND identity IS NOT NULL")
        return [row[0]["pid"] for row in rows]
    return []


def strike(server, chance):
    """Kill one of them; the server is started again."""
    target = chance.choice(["server", "server", "worker", "postgres"])
    if target == "server":
        server.kill()
        server.start()
    elif target == "postgres":
        with contextlib.suppress(OSError, ValueError):
            kill(server.postgres_pid())
    else:
        for pid in workers(server)[:1]:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)


def ask(server, query):
    def look():
        with contextlib.suppress(psycopg.Error):
            return [server.sql(query)]
        return None

    return server.until(look, 60)[0]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_fifty_kills_at_random_instants_lose_nothing_and_publish_once(tmp_path, seed):
    chance = random.Random(seed)
    server = Server(tmp_path / "data", None, "--workers", "3")
    server.start()
    submitter = Submitter(server)
    submitter.start()
    try:
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.1, 1.5))
            strike(server, chance)
            for what, query in NOTHING.items():
                assert ask(server, query) == [], what
        submitter.ending.set()
        submitter.join(30)
        server.until(lambda: server.get("/isLeader").status_code == 200, 60)
        for task_id in submitter.accepted:
            status = server.until_state(task_id, "SUCCESS", "FAILED", timeout_s=300)
            assert status["statusCode"] == "SUCCESS" or status["errorMsg"], status
        for what, query in NOTHING.items():
            assert ask(server, query) == [], what
        assert ask(server, "SELECT id FROM ovl_locks") == []
        assert ask(server, "SELECT id FROM druid_pendingsegments") == []
        published = {row[0] for row in ask(server, "SELECT task_id FROM ovl_publishes WHERE final")}
        succeeded = {row[0] for row in ask(server, "SELECT id FROM ovl_tasks WHERE state = 'SUCCESS'")}
        assert succeeded == published
        assert submitter.accepted <= {row[0] for row in ask(server, "SELECT id FROM ovl_tasks")}
    finally:
        submitter.ending.set()
        server.clean_up()
