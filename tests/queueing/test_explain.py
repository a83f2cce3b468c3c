"""`GET task/{id}/explain`: the one cause in every state."""

from __future__ import annotations

import orjson
import psycopg
import pytest

from overlord.explain.hints import HINTS, hint_for

from .harness import WORKER
from .test_retry import index_spec

API = "/druid/indexer/v1"


def explain(line, task_id):
    answer = line.client().get(f"{API}/task/{task_id}/explain")
    assert answer.status_code == 200, answer.data
    return answer.json


def report(line, task_id, **payload):
    folder = line.runner.folder / task_id
    folder.mkdir(exist_ok=True)
    entry = {"type": "ingestionStatsAndErrors", "taskId": task_id, "payload": payload}
    (folder / "report.json").write_bytes(orjson.dumps({"ingestionStatsAndErrors": entry}))


def test_an_unknown_task_is_404_like_everywhere(line):
    answer = line.client().get(f"{API}/task/nobody/explain")
    assert (answer.status_code, answer.text) == (404, "Cannot find any task with id: [nobody]")


def test_a_waiting_task_names_the_lock_its_holder_and_what_frees_it(line):
    line.submit("holder", type="index", spec=index_spec("ds"))
    line.until_state("holder", "RUNNING")
    for name in ("second", "third"):
        line.submit(name, type="index", spec=index_spec("ds"))
    line.until_blocked("third")
    found = explain(line, "third")
    interval = "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z"
    assert (found["state"], found["kind"]) == ("WAITING", "lock")
    assert "task [holder] holds EXCLUSIVE" in found["cause"] and interval in found["cause"]
    assert "above 50" in found["nextStep"]
    (holder,) = found["lock"]["holders"]
    since = holder.pop("since")
    assert since.endswith("Z")
    assert holder == {
        "task": "holder",
        "taskType": "index",
        "taskState": "RUNNING",
        "groupId": "holder",
        "priority": 50,
        "lockType": "EXCLUSIVE",
        "interval": interval,
    }
    assert found["lock"]["wanted"] == [{"interval": interval, "type": "EXCLUSIVE"}]
    assert found["lock"]["waitingBefore"] == 1
    assert found["attempts"] == []


def test_a_task_in_back_off_tells_when_it_goes_on_and_what_failed(line):
    line.submit("t", context={"retry": {"maxAttempts": 3, "backoff": "PT1H"}})
    line.until_state("t", "RUNNING")
    line.fail("t", error="short", cause="the whole story")
    found = explain(line, "t")
    assert (found["state"], found["kind"]) == ("WAITING", "backoff")
    assert found["retry"]["failedAttempts"] == 1 and found["retry"]["nextAttemptTime"] > found["since"]
    (attempt,) = found["attempts"]
    assert (attempt["attempt"], attempt["status"], attempt["cause"]) == (1, "FAILED", "the whole story")


def test_a_pending_task_tells_its_place_and_the_slots(line):
    for name in ("a", "b"):
        line.submit(name)
        line.until_state(name, "RUNNING")
    for name in ("c", "d"):
        line.submit(name)
        line.until_state(name, "PENDING")
    found = explain(line, "d")
    assert (found["state"], found["kind"]) == ("PENDING", "slots")
    queue = found["queue"]
    assert (queue["place"], queue["of"], queue["slotsUsed"], queue["slotsTotal"]) == (2, 2, 2, 2)
    assert queue["workers"][0]["host"] == WORKER
    assert "place 2 of 2" in found["cause"]


def test_a_disabled_worker_and_an_affinity_are_named(line):
    line.runner.enabled = False
    line.submit("t")
    line.until_state("t", "PENDING")
    assert explain(line, "t")["kind"] == "workerDisabled"
    affinity = {"affinity": {"other": [WORKER]}, "strong": True}
    config = {"type": "default", "selectStrategy": {"type": "equalDistribution", "affinityConfig": affinity}}
    assert line.client().post(f"{API}/worker", json=config).status_code == 200
    line.runner.enabled = True
    line.queue.wake()
    found = explain(line, "t")
    assert (found["kind"], found["state"]) == ("affinity", "PENDING")


SPEC = {
    "dataSchema": {"dataSource": "d", "timestampSpec": {}, "dimensionsSpec": {}, "granularitySpec": {}},
    "ioConfig": {
        "type": "index",
        "inputSource": {"type": "inline", "data": "x"},
        "inputFormat": {"type": "json"},
    },
}


def test_more_slots_than_there_are_and_a_taken_availability_group_are_named(line):
    line.submit("large", type="index", spec=SPEC, resource={"availabilityGroup": "l", "requiredCapacity": 9})
    line.submit("first", type="index", spec=SPEC, resource={"availabilityGroup": "g", "requiredCapacity": 1})
    line.until_state("first", "RUNNING")
    line.submit("second", type="index", spec=SPEC, resource={"availabilityGroup": "g", "requiredCapacity": 1})
    line.until_state("second", "PENDING")
    line.until_state("large", "PENDING")
    assert explain(line, "large")["kind"] == "tooLarge"
    assert explain(line, "second")["kind"] == "availabilityGroup"


def test_a_running_task_tells_its_worker_progress_and_time_left(line):
    line.submit("t", context={"timeoutMs": 600_000})
    line.until_state("t", "RUNNING")
    assert explain(line, "t")["kind"] == "starting"
    line.until(lambda: "t" in line.runner.live)
    token = line.runner.live["t"].token
    assert line.queue.worker_started("t", 1, token, {"host": "m", "pid": 77, "boot_id": "b", "start_time": 1})
    assert line.queue.worker_alive("t", 1, token, {"phase": "BUILD_SEGMENTS", "rows": 12345})
    found = explain(line, "t")
    assert (found["state"], found["kind"], found["attempt"]) == ("RUNNING", "running", 1)
    assert found["worker"] == {"host": WORKER, "machine": "m", "pid": 77, "runner": "scripted"}
    assert found["progress"]["rows"] == 12345 and "12,345 rows" in found["cause"]
    assert 0 <= found["heartbeatAgeMs"] < 60_000
    assert 0 < found["timeLeftMs"] <= 600_000
    assert line.queue.worker_alive("t", 1, token, {"phase": "READING", "trouble": "broker:9092 refuses"})
    found = explain(line, "t")
    assert found["cause"].endswith("broker:9092 refuses") and "can be reached" in found["nextStep"]


def test_a_silent_worker_is_said_to_be_so(line, dsn):
    line.submit("t")
    line.until_state("t", "RUNNING")
    with psycopg.connect(dsn, autocommit=True) as conn:
        identity = '{"pid": 7, "host": "m"}'
        conn.execute("UPDATE ovl_tasks SET heartbeat_at = now() - interval '1 hour', identity = %s", [identity])
    assert explain(line, "t")["kind"] == "silent"


def test_a_failed_task_gives_cause_file_line_row_phase_and_log(line):
    line.submit("t")
    line.until_state("t", "RUNNING")
    line.until(lambda: line.logs.read("t"))
    error = (
        "org.apache.druid.java.util.common.RE: Max parse exceptions[0] exceeded\nThe last one, in /d/a.json, line 7: x"
    )
    counts = {"processed": 6, "processedBytes": 1, "processedWithError": 0, "thrownAway": 0, "unparseable": 1}
    report(
        line,
        "t",
        ingestionState="BUILD_SEGMENTS",
        errorMsg=error,
        unparseableEvents={"buildSegments": [{"input": '{"a":', "details": ["bad (Path: /d/a.json, Line: 7)"]}]},
        rowStats={"determinePartitions": {}, "buildSegments": counts},
    )
    line.fail("t", error=error)
    found = explain(line, "t")
    assert (found["state"], found["kind"]) == ("FAILED", "parseLimit")
    assert found["cause"] == error and "maxParseExceptions" in found["nextStep"]
    failure = found["failure"]
    assert failure["logTail"] == ["attempt 1"]
    assert (failure["inputFile"], failure["line"], failure["row"]) == ("/d/a.json", 7, '{"a":')
    assert (failure["phase"], failure["exception"], failure["rows"]["processed"]) == ("BUILD_SEGMENTS", "RE", 6)
    assert found["attempts"][0]["status"] == "FAILED"


def test_a_long_cause_is_not_cut(line):
    line.submit("t")
    line.until_state("t", "RUNNING")
    cause = "Traceback (most recent call last):\n" + "  x\n" * 2000 + "ValueError: the end of it"
    line.fail("t", error="e" * 3000, cause=cause)
    found = explain(line, "t")
    assert found["failure"]["cause"] == cause
    assert (found["cause"], found["failure"]["exception"]) == ("ValueError: the end of it", "ValueError")


def test_a_success_tells_segments_and_rows(line, dsn):
    line.submit("t")
    line.until_state("t", "RUNNING")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("INSERT INTO ovl_publishes (task_id, publish_key, attempt, final, segments, result) "
                     "VALUES ('t', 'k', 1, true, 4, '{}')")  # fmt: skip
    report(line, "t", ingestionState="COMPLETED", rowStats={"buildSegments": {"processed": 1500}})
    line.succeed("t")
    found = explain(line, "t")
    assert (found["state"], found["kind"], found["success"]["segmentsPublished"]) == ("SUCCESS", "success", 4)
    assert "4 segments published" in found["cause"] and "1,500 rows" in found["cause"]


def test_a_failure_after_the_last_publish_is_told_though_the_task_succeeded(line, dsn):
    """Reported by its worker, by its end file, or by the Overlord that gave it up."""
    for name in ("told", "silent"):
        line.submit(name, context={"retry": {"maxAttempts": 3}})
        line.until_state(name, "RUNNING")
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("INSERT INTO ovl_publishes (task_id, publish_key, attempt, final, segments, result) "
                         "VALUES (%s, 'k', 1, true, 1, '{}')", [name])  # fmt: skip
    line.fail("told", error="the report cannot be written", cause="OSError: the report cannot be written")
    line.die("silent", 1)
    line.until_state("silent", "SUCCESS")
    for name, cause in (("told", "OSError: the report cannot be written"), ("silent", "killed by signal 9")):
        stock = line.stock(name)
        assert (stock["status"], stock["errorMsg"], line.row(name)["attempt"]) == ("SUCCESS", None, 1)
        found = explain(line, name)
        assert (found["kind"], cause in found["success"]["failureAfterPublish"]) == ("success", True)
        assert "after the publish" in found["cause"]


def test_a_task_of_which_only_the_stock_row_is_left_is_still_explained(line, dsn):
    line.submit("t")
    line.until_state("t", "RUNNING")
    line.fail("t", error="Cannot read file /data/x.json: No such file or directory")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DELETE FROM ovl_tasks")
        conn.execute("DELETE FROM ovl_events")
        conn.execute("INSERT INTO druid_tasks SELECT 'stranger', created_date, datasource, payload, status_payload, "
                     "true, type, group_id FROM druid_tasks")  # fmt: skip
    found = explain(line, "t")
    assert (found["kind"], found["failure"]["inputFile"]) == ("missingFile", "/data/x.json")
    assert explain(line, "stranger")["kind"] == "foreign"


def test_every_key_is_in_camel_case(line):
    def keys(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield name
                yield from keys(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from keys(inner)

    line.submit("t", context={"retry": {"maxAttempts": 2}, "timeoutMs": 5000})
    line.until_state("t", "RUNNING")
    assert all("_" not in name for name in keys(explain(line, "t")))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Cannot read file /x/y.json: No such file or directory", "missingFile"),
        ("No file below /x matches '*.json' (inputSource.filter)", "missingFile"),
        ("Cannot read http://h/f: Connection refused (tried 5 times)", "url"),
        ("Cannot read http://h/f: HTTP 404 Not Found", "missingFile"),
        ("Cannot read https://h/f: HTTP 403 Forbidden", "httpRefused"),
        ("Cannot read file /x: Permission denied", "permission"),
        ("org.apache.druid.java.util.common.RE: Max parse exceptions[0] exceeded", "parseLimit"),
        ("Lock for interval[2024/2025] was revoked by a task of higher priority", "lockRevoked"),
        ("Failed to get locks: another task has held interval[x] for 5 ms.", "lockTimeout"),
        ("memory limit: the task took 5 bytes (PSS), more than ovl.task.memoryBytes = 4", "memoryLimit"),
        ("Worker process was killed by signal 9 (SIGKILL)", "killed"),
        ("Worker process was killed by signal 15 (SIGTERM)", "signal"),
        ("The task ran longer than its time limit, context.timeoutMs = 30 ms", "timeout"),
        ("Shutdown request from user", "shutdown"),
        ("worker process ended without an end file while no Overlord watched", "lost"),
        ("something else", "other"),
    ],
)
def test_each_kind_of_failure_has_its_hint(text, kind):
    hint = hint_for(text)
    assert (hint.kind, bool(hint.step)) == (kind, True)


def test_kinds_are_told_once():
    kinds = [hint.kind for hint in HINTS]
    assert len(kinds) == len(set(kinds))
