"""Rows of a Postgres by sub-tasks, each with a query of its own; nobody is shown the password."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from .harness import Server

PAGES = 30


def test_sub_tasks_share_the_queries_and_the_password_stays_hidden(tmp_path, postgres):
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE asker LOGIN PASSWORD 'hush-hush'")
    parts = urlsplit(postgres.dsn)
    config = {
        "connectURI": f"jdbc:postgresql://{parts.hostname}:{parts.port}/postgres",
        "user": "asker",
        "password": {"type": "default", "password": "hush-hush"},
    }
    query = "SELECT timestamp '2024-01-01' AS ts, n AS page FROM generate_series({}, {}) AS g(n)"
    task = {
        "type": "index_parallel",
        "id": "parent",
        "spec": {
            "dataSchema": {
                "dataSource": "ds",
                "timestampSpec": {"column": "ts", "format": "millis"},
                "dimensionsSpec": {"dimensions": ["page"]},
                "granularitySpec": {"segmentGranularity": "DAY", "intervals": ["2024-01-01/2024-01-02"]},
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {
                    "type": "sql",
                    "sqls": [query.format(first, first + 9) for first in range(1, PAGES, 10)],
                    "database": {"type": "postgresql", "connectorConfig": config},
                },
            },
            "tuningConfig": {"type": "index_parallel", "maxNumConcurrentSubTasks": 2},
        },
    }
    server = Server(tmp_path / "data", None, "--workers", "3")
    server.start()
    try:
        server.submit(task)
        status = server.until_state("parent", "SUCCESS", "FAILED")
        assert status["errorMsg"] is None
        assert dict(server.sql("SELECT type, count(*) FROM ovl_tasks GROUP BY type")) == {
            "index_parallel": 1,
            "single_phase_sub_task": 3,
        }
        payload = server.get("/task/parent/reports").json()["ingestionStatsAndErrors"]["payload"]
        assert payload["rowStats"]["totals"]["buildSegments"]["processed"] == PAGES
        stored = server.get("/task/parent").json()["payload"]["spec"]["ioConfig"]["inputSource"]
        assert stored["database"]["connectorConfig"]["password"] == {"type": "default"}
        assert stored["database"]["connectorConfig"]["user"] == "asker"
        for (row,) in server.sql("SELECT payload FROM druid_tasks"):
            assert b"hush-hush" not in bytes(row)
        shown = [server.get(f"/task/{row[0]}").text for row in server.sql("SELECT id FROM druid_tasks")]
        shown += [server.get("/task/parent/reports").text, server.log()]
        assert not any("hush-hush" in text for text in shown)
    finally:
        server.clean_up()
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute("DROP ROLE asker")
    logs = [path.read_text() for path in Path(tmp_path).rglob("*.log")]  # no folder goes any more
    assert logs and not any("hush-hush" in text for text in logs)
