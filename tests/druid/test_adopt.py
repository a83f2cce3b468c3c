"""A stock Overlord is stopped in the middle of its work, and ours takes its place on the same database."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import requests

from tests.acceptance.harness import Server, index_task

pytestmark = pytest.mark.druid

HERE = Path(__file__).parent
BASE = 28180
STOCK = f"http://127.0.0.1:{BASE + 2}/druid/indexer/v1"


@pytest.fixture
def stock(dsn, tmp_path):
    """A stock Overlord and MiddleManager of two slots over a database that our migrations have seen; its folder."""
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.fail("java and mvn are needed; `make test` leaves these tests out")
    peer, root = [sys.executable, str(HERE / "peer" / "druid.py")], tmp_path / "druid"
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([*peer, "fetch"], check=True, env=env)
    up = ["up", "overlord", "middleManager", "--root", str(root), "--dsn", dsn, "--port-base", str(BASE)]
    try:
        subprocess.run([*peer, *up, "--storage", str(tmp_path / "segments")], check=True, env=env)
        yield root
    finally:
        subprocess.run([*peer, "down", "--root", str(root)], env=env)


def until(ask, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(0.3)
    raise AssertionError(f"not within {timeout_s} s, last {found}")


def runner_status(task_id):
    return requests.get(f"{STOCK}/task/{task_id}/status", timeout=5).json()["status"]["runnerStatusCode"]


def end(root):
    """SIGKILL to every process of the stock Druid, workers included."""
    for file in root.glob("*.pid"):
        os.kill(int(file.read_text()), signal.SIGKILL)
    subprocess.run(["pkill", "-KILL", "-f", str(root)], check=False)


def overlord(*arguments):
    return subprocess.run([sys.executable, "-m", "overlord", *arguments], capture_output=True, timeout=60, check=False)


def test_tasks_of_a_stock_overlord_are_listed_left_alone_and_adopted_when_asked(stock, dsn, tmp_path):
    def leads():
        try:
            return requests.get(f"{STOCK}/isLeader", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    until(leads)
    noop = {"type": "noop", "id": "theirs", "dataSource": "ds", "runTime": 300_000}
    requests.post(f"{STOCK}/task", json=noop, timeout=30).raise_for_status()
    lock = {"type": "lockTryAcquire", "interval": "2024-01-01/2024-01-03"}
    held = requests.post(f"{STOCK}/action", json={"task": noop, "action": lock}, timeout=30).json()["result"]
    assert held is not None
    ingestion = index_task("waits", "ds")
    ingestion["spec"]["dataSchema"]["granularitySpec"]["intervals"] = ["2024-01-01/2024-01-03"]
    requests.post(f"{STOCK}/task", json=ingestion, timeout=30).raise_for_status()
    until(
        lambda: requests.get(f"{STOCK}/task/waits/status", timeout=5).json()["status"]["runnerStatusCode"] == "WAITING"
    )
    end(stock)

    server = Server(tmp_path / "data", {}, "--dsn", dsn)
    server.start()
    try:
        assert server.get("/tasks").json() == []
        doctor = json.loads(overlord("doctor", "--json", "--dsn", dsn, "--data-dir", str(server.data_dir)).stdout)
        (strangers,) = [each for each in doctor["findings"] if each["what"] == "strangers"]
        assert "theirs" in strangers["text"] and "waits" in strangers["text"]
        with psycopg.connect(dsn) as conn:
            assert conn.execute("SELECT count(*) FROM druid_tasks WHERE active").fetchone() == (2,)

        found = overlord("adopt", "--json", "--dsn", dsn, "--data-dir", str(server.data_dir))
        assert sorted(json.loads(found.stdout)["adopted"]) == ["theirs", "waits"], found.stderr
        server.kill()
        server.start()  # rather than wait for its next look
        server.until_state("theirs", "RUNNING")
        assert server.until_state("waits", "SUCCESS")["errorMsg"] is None
        server.post("/task/theirs/shutdown")
        assert {task["id"] for task in server.get("/completeTasks").json()} == {"theirs", "waits"}
        with psycopg.connect(dsn) as conn:
            assert conn.execute("SELECT count(*) FROM druid_segments").fetchone() == (2,)
            assert conn.execute("SELECT count(*) FROM druid_tasklocks").fetchone() == (0,)
    finally:
        server.clean_up()
