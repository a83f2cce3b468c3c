"""Retries and time limits with real processes, killed at any instant: rows of docs/durability.md."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .harness import Server, alive, index_task, kill

IN_WORKER = [
    ("after_push", False),
    ("after_publish", False),
    ("after_push", True),
    ("after_publish", True),
    *(
        pytest.param(point, append, marks=pytest.mark.long)
        for point in ("after_started", "after_lock", "before_end_file", "after_end_file")
        for append in (False, True)
    ),
]
PUBLISHED = {"after_publish", "before_end_file", "after_end_file"}


def with_retry(task, **context):
    return {**task, "context": {"retry": {"maxAttempts": 2, "backoff": 200}, **context}}


def segments(server):
    return server.sql("SELECT count(*), count(DISTINCT start) FROM druid_segments WHERE used")[0]


def attempts(server, task_id):
    return server.get(f"/task/{task_id}/explain").json()["attempts"]


@pytest.mark.parametrize(("point", "append"), IN_WORKER)
def test_a_worker_killed_anywhere_is_tried_again_and_publishes_once(tmp_path, point, append):
    """Killed before its publish, the second attempt publishes; after it, the first one has succeeded."""
    server = Server(tmp_path / "data", {"OVL_FAULT": f"{point}@{tmp_path / 'once'}"})
    server.start()
    try:
        server.submit(with_retry(index_task("i", "ds", append=append)))
        status = server.until_state("i", "SUCCESS", "FAILED")
        told = [(each["attempt"], each["status"]) for each in attempts(server, "i")]
        assert (status["statusCode"], segments(server)) == ("SUCCESS", (2, 2)), status
        assert told == ([(1, "SUCCESS")] if point in PUBLISHED else [(1, "FAILED"), (2, "SUCCESS")])
        assert server.sql("SELECT count(*) FROM ovl_locks") == [(0,)]
        assert server.sql("SELECT count(*) FROM druid_pendingsegments") == [(0,)]
    finally:
        server.clean_up()


@pytest.mark.parametrize("point", ["before_end_commit", "after_retry_commit", "after_running_commit"])
def test_a_server_killed_around_a_retry_makes_it_once(tmp_path, point):
    """The attempt counts once, whichever side of the commit the server died on, and the last one ends the task."""
    server = Server(tmp_path / "data", {"OVL_FAULT": f"{point}@{tmp_path / 'once'}"})
    server.start()
    try:
        server.submit(with_retry({"type": "noop", "id": "n", "runTime": -1}))
        server.process.wait(90)
        server.start()
        status = server.until_state("n", "FAILED")
        assert "negative" in status["errorMsg"]
        assert server.sql("SELECT retries FROM ovl_tasks WHERE id = 'n'") == [(1,)]
        assert server.sql("SELECT count(*) FROM ovl_events WHERE event = 'retried'") == [(1,)]
        assert server.get("/task/n/log").text.count("Running noop task[n]") == 2
    finally:
        server.clean_up()


def test_a_back_off_goes_on_while_no_server_runs(server):
    server.submit(
        {"type": "noop", "id": "n", "runTime": 60_000, "context": {"retry": {"maxAttempts": 2, "backoff": 1500}}}
    )
    kill(server.pid_of("n"))
    server.until_state("n", "WAITING")
    server.kill()
    server.start()
    server.until_state("n", "RUNNING")
    server.pid_of("n")
    assert [each["status"] for each in attempts(server, "n")] == ["FAILED", "RUNNING"]
    assert server.post("/task/n/shutdown").status_code == 200
    assert server.status("n")["errorMsg"] == "Shutdown request from user"


def test_a_time_limit_ends_the_process_and_holds_after_a_restart(tmp_path):
    server = Server(tmp_path / "data", {"OVL_FAULT": f"after_timeout_commit@{tmp_path / 'once'}"})
    server.start()
    try:
        server.submit({"type": "noop", "id": "n", "runTime": 600_000, "context": {"timeoutMs": 1500}})
        pid = server.pid_of("n")
        server.process.wait(90)  # dies between the decision and the signal
        server.start()
        status = server.until_state("n", "FAILED")
        assert "context.timeoutMs = 1500 ms" in status["errorMsg"]
        server.until(lambda: not alive(pid), 90)
        server.submit({"type": "noop", "id": "m", "runTime": 600_000, "context": {"timeoutMs": 3000}})
        pid = server.pid_of("m")
        server.kill()
        server.start()
        server.until_state("m", "FAILED")
        server.until(lambda: not alive(pid), 90)
    finally:
        server.clean_up()


def test_an_attempt_over_its_time_makes_room_for_the_next(server):
    server.submit(with_retry({"type": "noop", "id": "n", "runTime": 600_000}, timeoutMs=1000))
    server.until_state("n", "FAILED")
    assert [each["status"] for each in attempts(server, "n")] == ["FAILED", "FAILED"]


def test_explain_on_the_command_line_tells_the_missing_file(server):
    task = index_task("i", "ds")
    task["spec"]["ioConfig"]["inputSource"] = {"type": "local", "files": ["/nowhere/at/all.json"]}
    server.submit(task)
    server.until_state("i", "FAILED")

    def run(*arguments):
        command = [sys.executable, "-m", "overlord", "explain", "i", "--url", server.url, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    text = run()
    assert "FAILED" in text and "/nowhere/at/all.json" in text and "next: " in text
    found = json.loads(run("--json"))
    assert (found["kind"], found["failure"]["inputFile"]) == ("missingFile", "/nowhere/at/all.json")
    assert found["failure"]["logTail"]
