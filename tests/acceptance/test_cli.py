"""The command line from outside: what it prints, and the code it exits with."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import polars as pl
import pytest

from .harness import Server, index_task


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all of them, with one task that has succeeded."""
    server = Server(tmp_path_factory.mktemp("cli") / "data")
    server.start()
    server.submit(index_task("first", "pages"))
    server.until_state("first", "SUCCESS")
    yield server
    server.clean_up()


def run(*arguments, data=None):
    command = [sys.executable, "-m", "overlord", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, timeout=90, check=False)


@pytest.fixture
def ask(server):
    """Run a command that talks to the server."""
    return lambda *arguments, data=None: run(*arguments, "--url", server.url, data=data)


def test_submit_and_wait_exits_by_the_end_of_the_task(ask):
    good = ask("submit", "-", "--wait", data=json.dumps({"type": "noop", "runTime": 1}).encode())
    assert (good.returncode, b"SUCCESS" in good.stdout) == (0, True)
    bad = ask("submit", "-", "--wait", data=json.dumps({"type": "noop", "runTime": -1}).encode())
    assert (bad.returncode, b"FAILED" in bad.stdout, b"Run time" in bad.stdout) == (1, True, True)


def test_submit_shows_where_a_spec_is_wrong(ask):
    spec = index_task("wrong", "pages")
    spec["spec"]["ioConfig"]["inputSource"]["type"] = "inlyne"
    found = ask("submit", "-", data=json.dumps(spec).encode())
    assert found.returncode == 1
    assert b"inlyne" in found.stderr and b"spec.ioConfig.inputSource" in found.stderr


def test_submit_refuses_what_is_not_json(ask, tmp_path):
    file = tmp_path / "spec.json"
    file.write_text("{")
    found = ask("submit", file)
    assert (found.returncode, b"is not JSON" in found.stderr) == (1, True)


def test_a_spec_that_is_not_there_is_named(ask, tmp_path):
    found = ask("submit", tmp_path / "none.json")
    assert found.returncode == 1
    assert b"No such file" in found.stderr and b"none.json" in found.stderr


def test_tasks_status_log_and_report_of_a_task(ask):
    listed = json.loads(ask("tasks", "--datasource", "pages", "--state", "complete", "--json").stdout)
    assert [task["id"] for task in listed] == ["first"]
    assert json.loads(ask("status", "first", "--json").stdout)["status"]["status"] == "SUCCESS"
    assert b"Published [2] segments" in ask("log", "first").stdout
    report = json.loads(ask("report", "first").stdout)["ingestionStatsAndErrors"]["payload"]
    assert report["rowStats"]["buildSegments"]["processed"] == 3


def test_a_log_is_followed_until_the_task_ends(ask, server):
    server.noop("followed", 700)
    found = ask("log", "followed", "-f")
    assert (found.returncode, b"Woke up!" in found.stdout) == (0, True)


def test_shutdown_ends_a_task(ask, server):
    server.noop("long", 600_000)
    assert ask("shutdown", "long").returncode == 0
    assert server.status("long")["statusCode"] == "FAILED"


def test_an_unknown_task_is_said_to_be_unknown(ask):
    found = ask("status", "nobody")
    assert (found.returncode, b"Cannot find any task with id: [nobody]" in found.stderr) == (1, True)


def test_segments_lists_what_is_visible(ask):
    found = json.loads(ask("segments", "pages", "--json").stdout)
    assert [segment["interval"][:10] for segment in found] == ["2024-01-01", "2024-01-02"]
    assert json.loads(ask("segments", "--json").stdout)["pages"] == 2


def test_cat_gives_the_same_rows_in_every_format(server, tmp_path):
    def cat(form, *more):
        found = run("cat", "pages", "--data-dir", server.data_dir, "--format", form, *more)
        assert found.returncode == 0, found.stderr
        return found.stdout

    lines = [json.loads(line) for line in cat("jsonl").splitlines()]
    assert [row["page"] for row in lines] == ["a", "a", "a"]
    assert len(list(csv.DictReader(io.StringIO(cat("csv").decode())))) == 3
    cat("parquet", "-o", str(tmp_path / "rows.parquet"))
    assert pl.read_parquet(tmp_path / "rows.parquet").height == 3
    first_day = cat("jsonl", "--interval", "2024-01-01/P1D").splitlines()
    assert len(first_day) == 2


def test_doctor_tells_where_the_server_of_a_folder_is(server):
    found = run("doctor", "--json", "--data-dir", server.data_dir)
    known = json.loads(found.stdout)
    assert found.returncode == 0
    assert known["url"] == server.url
    assert known["dsn"].startswith("postgresql://")


def test_without_a_server_the_address_and_the_way_out_are_named():
    found = run("tasks", "--url", "http://127.0.0.1:1")
    assert found.returncode == 1
    assert b"No Overlord answers at http://127.0.0.1:1" in found.stderr
    assert b"overlord serve" in found.stderr


def test_a_misspelt_setting_stops_the_start_and_names_the_right_one(tmp_path):
    (tmp_path / "my.toml").write_text('"druid.indexer.queue.maxSzie" = 5\n')
    found = run("serve", "--config", tmp_path / "my.toml", "--data-dir", tmp_path / "data")
    assert found.returncode != 0
    assert b"druid.indexer.queue.maxSize" in found.stderr


def test_bad_rows_and_progress_of_a_task_can_be_asked_for(ask, server):
    task = index_task("bad", "pages")
    task["context"] = {**(task.get("context") or {}), "keepBadRows": True}
    task["spec"]["ioConfig"]["inputSource"]["data"] += "\nnot json"
    server.submit(task)
    server.until_state("bad", "SUCCESS")
    shown = ask("bad-rows", "bad")
    assert shown.returncode == 0, shown.stderr
    (row,) = map(json.loads, shown.stdout.splitlines())
    assert row["raw"] == "not json" and row["file"] == "inline"
    assert ask("bad-rows", "bad", "--raw").stdout == b"not json\n"
    assert ask("bad-rows", "first").returncode == 1
    told = server.get("/task/bad/progress").json()
    assert (told["task"], told["state"], told["timeLeftMs"]) == ("bad", "SUCCESS", None)
    assert server.get("/task/nobody/progress").status_code == 404
    assert server.get("/task/nobody/badRows").status_code == 404
