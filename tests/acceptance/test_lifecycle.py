"""What a user sees of tasks that run, fail, are shut down or take too much memory."""

from __future__ import annotations

import os
import signal
import threading
import time

import requests

from .harness import Server, alive, index_task, kill


def test_a_noop_runs_and_its_log_outlives_a_restart(server):
    server.noop("n", 1)
    status = server.until_state("n", "SUCCESS", "FAILED")
    assert status["statusCode"] == "SUCCESS"
    log = server.get("/task/n/log").text
    assert "Woke up!" in log
    server.stop()
    server.start()
    assert server.get("/task/n/log").text == log


def test_an_ingestion_is_published_and_its_report_outlives_a_restart(server):
    server.submit(index_task("i", "ds"))
    assert server.until_state("i", "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
    report = server.get("/task/i/reports").json()
    built = report["ingestionStatsAndErrors"]["payload"]["rowStats"]["buildSegments"]
    assert built["processed"] == 3
    server.kill()
    server.start()
    assert server.get("/task/i/reports").json() == report
    assert server.sql("SELECT count(*) FROM druid_segments WHERE used") == [(2,)]


def test_a_shutdown_ends_the_process(server):
    server.noop("n", 600_000)
    pid = server.pid_of("n")
    assert server.post("/task/n/shutdown").status_code == 200
    status = server.status("n")
    assert (status["statusCode"], status["errorMsg"]) == ("FAILED", "Shutdown request from user")
    server.until(lambda: not alive(pid), 90)


def test_a_killed_worker_is_failed_with_its_signal(server):
    server.noop("n", 600_000)
    kill(server.pid_of("n"))
    status = server.until_state("n", "FAILED")
    assert "SIGKILL" in status["errorMsg"]


def test_a_task_over_its_memory_limit_is_failed_with_that_cause(tmp_path):
    server = Server(tmp_path / "data", {"ovl_task_memoryBytes": "1000000"})
    server.start()
    try:
        server.noop("n", 600_000)
        assert "memory limit" in server.until_state("n", "FAILED")["errorMsg"]
    finally:
        server.clean_up()


def test_waiting_calls_do_not_hold_up_others(server):
    server.noop("holder", 600_000, dataSource="ds")
    server.noop("asker", 600_000, dataSource="ds")
    interval = {"interval": "2024-01-01/2024-01-02"}
    holder = {"type": "noop", "id": "holder", "dataSource": "ds"}
    asker = {"type": "noop", "id": "asker", "dataSource": "ds"}
    assert server.post("/action", {"task": holder, "action": {"type": "lockTryAcquire", **interval}}).json()["result"]
    action = {"task": asker, "action": {"type": "lockAcquire", "timeoutMs": 60_000, **interval}}
    threads = [threading.Thread(target=server.post, args=("/action", action), daemon=True) for _ in range(40)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    for _ in range(5):
        assert requests.get(server.url + "/status/health", timeout=90).json() is True
    assert sum(thread.is_alive() for thread in threads) == 40
    server.post("/task/holder/shutdown")
    server.post("/task/asker/shutdown")
    for thread in threads:
        thread.join(90)


def test_a_server_stops_clean_on_sigterm(server):
    server.noop("n", 1)
    server.until_state("n", "SUCCESS")
    postgres = server.postgres_pid()
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(90) == 0
    assert not alive(postgres)
