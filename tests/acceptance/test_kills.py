"""SIGKILL at any instant: each test is a row of docs/durability.md."""

from __future__ import annotations

import pytest
import requests

from .harness import Server, alive, index_task, kill

IN_WORKER = ["after_started", "after_lock", "after_push", "after_publish", "before_end_file", "after_end_file"]
IN_SERVER = [
    "after_submit_commit",
    "after_running_commit",
    "before_publish_commit",
    "after_publish_commit",
    "before_end_commit",
    "after_end_commit",
]
PUBLISHED = {"after_publish", "before_end_file", "after_end_file"}


def published(server):
    return server.sql("SELECT count(*) FROM druid_segments WHERE used")[0][0]


def files(server):
    return len(list((server.data_dir / "segments").rglob("version.bin")))


@pytest.mark.parametrize("point", IN_WORKER)
def test_a_worker_killed_anywhere_leaves_all_or_nothing(tmp_path, point):
    """Dead before its publish it is FAILED with the signal; after it, SUCCESS."""
    server = Server(tmp_path / "data", {"OVL_FAULT": point})
    server.start()
    try:
        server.submit(index_task("i", "ds"))
        status = server.until_state("i", "SUCCESS", "FAILED")
        if point in PUBLISHED:
            assert (status["statusCode"], published(server)) == ("SUCCESS", 2)
        else:
            assert (status["statusCode"], published(server)) == ("FAILED", 0)
            assert "SIGKILL" in status["errorMsg"]
        assert server.sql("SELECT count(*) FROM ovl_locks") == [(0,)]
    finally:
        server.clean_up()


@pytest.mark.parametrize("point", IN_SERVER)
def test_a_server_killed_anywhere_loses_nothing_and_publishes_once(tmp_path, point):
    server = Server(tmp_path / "data", {"OVL_FAULT": f"{point}@{tmp_path / 'once'}"})
    server.start()
    try:
        try:
            server.post("/task", index_task("i", "ds"))
        except requests.ConnectionError:
            assert point == "after_submit_commit"
        server.process.wait(90)
        server.start()
        status = server.until_state("i", "SUCCESS", "FAILED")
        assert (status["statusCode"], published(server), files(server)) == ("SUCCESS", 2, 2), status
        assert server.sql("SELECT count(*) FROM ovl_locks") == [(0,)]
    finally:
        server.clean_up()


def test_waiting_pending_and_running_tasks_go_on_after_the_server_is_killed(tmp_path):
    server = Server(tmp_path / "data", None, "--workers", "1")
    server.start()
    try:
        server.noop("running", 4000)
        pid = server.pid_of("running")
        server.noop("pending", 1)
        server.until_state("pending", "PENDING")
        server.kill()
        assert alive(pid)
        server.start()
        assert server.pid_of("running") == pid
        assert server.until_state("running", "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
        assert server.until_state("pending", "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
        assert server.sql("SELECT max(attempt) FROM ovl_tasks") == [(1,)]
    finally:
        server.clean_up()


def test_a_worker_that_dies_while_no_server_runs_is_failed_with_its_cause(server):
    server.noop("n", 600_000)
    pid = server.pid_of("n")
    server.kill()
    kill(pid)
    server.start()
    assert "SIGKILL" in server.until_state("n", "FAILED")["errorMsg"]


def test_a_task_that_ends_while_no_server_runs_is_a_success(server):
    server.noop("n", 1500)
    server.pid_of("n")
    server.kill()
    server.until(lambda: any(server.data_dir.rglob("end.json")), 30)
    server.start()
    assert server.until_state("n", "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"


def test_a_killed_postgres_comes_back_and_nothing_is_lost(server):
    server.noop("running", 3000)
    server.pid_of("running")
    kill(server.postgres_pid())
    answers = []

    def back():
        answer = server.post("/task", {"type": "noop", "id": f"n{len(answers)}", "runTime": 1})
        answers.append(answer)
        return answer.status_code == 200

    server.until(back, 30)
    for answer in answers[:-1]:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) >= 1
    assert server.until_state("running", "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
    assert server.until_state(answers[-1].json()["task"], "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"


def test_a_second_server_stands_by_and_takes_over(dsn, tmp_path):
    first = Server(tmp_path / "first", None, "--dsn", dsn)
    second = Server(tmp_path / "second", None, "--dsn", dsn)
    first.start()
    try:
        first.noop("n", 1)
        first.until_state("n", "SUCCESS")
        second.start(leads=False)
        assert second.get("/isLeader").status_code == 404
        answer = second.get("/tasks")
        assert answer.status_code == 307
        assert answer.headers["Location"].startswith(first.url)
        first.kill()
        second.until(lambda: second.get("/isLeader").status_code == 200, 10)
        assert second.status("n")["statusCode"] == "SUCCESS"
        assert second.submit({"type": "noop", "id": "m", "runTime": 1}) == "m"
        assert second.until_state("m", "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
    finally:
        second.clean_up()
