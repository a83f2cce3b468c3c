"""Clean-up from outside: kill tasks and duties of a real server."""

from __future__ import annotations

import os
import subprocess
import sys

from .harness import Server, index_task


def files(server):
    return len(list((server.data_dir / "segments").rglob("version.bin")))


def rows(server):
    return server.sql("SELECT count(*) FROM druid_segments")[0][0]


def duties(server, *arguments):
    command = [sys.executable, "-m", "overlord", "duties", "--url", server.url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, timeout=90)


def test_a_kill_task_killed_between_rows_and_files_leaves_files_without_rows(tmp_path):
    server = Server(tmp_path / "data", {"OVL_FAULT": f"after_nuke@{tmp_path / 'once'}"})
    server.start()
    try:
        server.submit(index_task("i", "ds"))
        server.until_state("i", "SUCCESS")
        server.post("/datasources/ds/markUnused", {"interval": "2024/2025"})
        kill = {"type": "kill", "dataSource": "ds", "interval": "2024/2025", "batchSize": 1}
        first = server.until_state(server.submit(kill), "SUCCESS", "FAILED")
        assert first["statusCode"] == "FAILED" and "SIGKILL" in first["errorMsg"]
        assert (rows(server), files(server)) == (1, 2)
        second = server.submit(kill)
        assert server.until_state(second, "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
        assert (rows(server), files(server)) == (0, 1)
        assert server.get(f"/task/{second}/reports").json()["killUnusedSegments"]["payload"] == {
            "numSegmentsKilled": 1,
            "numBatchesProcessed": 2,
        }
    finally:
        server.clean_up()


def test_duties_are_listed_and_run_from_the_command_line(server):
    server.sql(
        "INSERT INTO druid_audit (audit_key, type, author, comment, created_date, payload) "
        "VALUES ('old', 't', '', '', '2001-01-01T00:00:00.000Z', '{}') RETURNING id"
    )
    listed = duties(server, "--dry-run")
    assert listed.returncode == 0 and "pendingSegments" in listed.stdout and "rows 1" in listed.stdout
    assert duties(server, "--run", "audit", "--dry-run").stdout == "audit: would go rows 1\n"
    assert duties(server, "--run", "audit").stdout == "audit: gone rows 1\n"
    assert duties(server, "--run", "audit").stdout == "audit: gone rows 0\n"
    assert "audit" in duties(server).stdout
    unknown = duties(server, "--run", "audits")
    assert unknown.returncode == 1 and "there are [audit" in unknown.stderr
