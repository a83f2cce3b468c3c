"""`context.retry` and `context.timeoutMs`: another attempt under the same id, decided and kept in Postgres."""

from __future__ import annotations

import orjson
import psycopg
import pytest

from overlord.errors import BadRequest
from overlord.model.attempts import Retry, timeout_of

RETRY = {"maxAttempts": 3, "backoff": 1}


def sql(dsn, query, *values):
    with psycopg.connect(dsn, autocommit=True) as conn:
        found = conn.execute(query, values)
        return found.fetchall() if found.description else []


def events(dsn, task_id):
    return [event for (event,) in sql(dsn, "SELECT event FROM ovl_events WHERE task_id = %s ORDER BY id", task_id)]


def index_spec(datasource):
    return {
        "dataSchema": {
            "dataSource": datasource,
            "timestampSpec": {"column": "t"},
            "dimensionsSpec": {"dimensions": ["a"]},
            "granularitySpec": {"segmentGranularity": "DAY", "intervals": ["2024-01-01/2024-01-02"]},
        },
        "ioConfig": {
            "type": "index",
            "inputSource": {"type": "inline", "data": "{}"},
            "inputFormat": {"type": "json"},
        },
    }


def test_a_failed_attempt_is_followed_by_another_until_the_last(line, dsn):
    line.submit("t", context={"retry": RETRY})
    for attempt in (1, 2, 3):
        line.until_state("t", "RUNNING", attempt)
        assert line.stock("t")["status"] == "RUNNING"
        assert line.fail("t", error=f"fault {attempt}")
    row = line.until_state("t", "FAILED")
    assert (row["attempt"], row["retries"], row["cause"]) == (3, 2, "fault 3")
    assert line.stock("t")["errorMsg"] == "fault 3"
    assert events(dsn, "t").count("retried") == 2
    assert line.runner.begun == [("t", 1), ("t", 2), ("t", 3)]


def test_a_task_without_the_key_fails_at_once(line):
    line.submit("t")
    line.until_state("t", "RUNNING")
    line.fail("t")
    assert (line.row("t")["state"], line.stock("t")["status"]) == ("FAILED", "FAILED")


def test_a_success_of_a_later_attempt_is_a_success(line):
    line.submit("t", context={"retry": RETRY})
    line.until_state("t", "RUNNING", 1)
    line.die("t", 1)
    line.until_state("t", "RUNNING", 2)
    line.succeed("t")
    status = line.stock("t")
    assert (status["status"], status["errorMsg"]) == ("SUCCESS", None)
    assert line.row("t")["cause"] is None


def test_while_it_backs_off_it_is_waiting_in_druids_words_and_holds_nothing(line, dsn):
    line.submit("t", dataSource="ds", context={"retry": {"maxAttempts": 2, "backoff": "PT1H"}})
    line.until_state("t", "RUNNING")
    insert = """INSERT INTO druid_pendingsegments (id, datasource, created_date, start, "end", sequence_name,
        sequence_prev_id, sequence_name_prev_id_sha1, payload, task_allocator_id)
        VALUES ('p', 'ds', '2024', '2024', '2025', 's', '', 'x', '', 't')"""
    sql(dsn, insert)
    sql(dsn, "INSERT INTO ovl_locks (task_id, group_id, datasource, type, start_ms, end_ms, version, priority) "
             "VALUES ('t', 't', 'ds', 'EXCLUSIVE', 0, 1, 'v', 50)")  # fmt: skip
    line.fail("t")
    status = line.client().get("/druid/indexer/v1/task/t/status").json["status"]
    assert (status["statusCode"], status["runnerStatusCode"], status["location"]["host"]) == (
        "RUNNING",
        "WAITING",
        None,
    )
    assert sql(dsn, "SELECT 1 FROM ovl_locks") == []
    assert sql(dsn, "SELECT 1 FROM druid_pendingsegments") == []
    row = line.row("t")
    assert (row["token"], row["identity"], row["queue_insertion_time"]) == (None, None, None)


def test_the_back_off_outlives_a_restart(line):
    line.submit("soon", context={"retry": {"maxAttempts": 2, "backoff": 300}})
    line.submit("late", context={"retry": {"maxAttempts": 2, "backoff": "PT1H"}})
    for name in ("soon", "late"):
        line.until_state(name, "RUNNING")
        line.fail(name)
    line.restart()
    line.until_state("soon", "RUNNING", 2)
    assert line.row("late")["state"] == "WAITING"
    line.until(lambda: line.runner.swept == {"soon": 0, "late": 0})  # folders stay, attempts in them go


def test_a_shutdown_is_no_failure_to_be_retried(line):
    line.submit("running", context={"retry": RETRY})
    line.until_state("running", "RUNNING")
    line.submit("resting", context={"retry": {"maxAttempts": 2, "backoff": "PT1H"}})
    line.until_state("resting", "RUNNING")
    line.fail("resting")
    for name in ("running", "resting"):
        assert line.queue.shutdown(name)
        assert line.row(name)["state"] == "FAILED"
        assert line.stock(name)["errorMsg"] == "Shutdown request from user"
    assert len(line.runner.begun) == 2


def test_what_is_published_is_not_begun_anew(line, dsn):
    """A failure after a publish that was not the last ends the task; after the last one its death is a success."""
    for name, final in (("part", False), ("all", True)):
        line.submit(name, context={"retry": RETRY})
        line.until_state(name, "RUNNING")
        insert = "INSERT INTO ovl_publishes (task_id, publish_key, attempt, final, segments, result)"
        sql(dsn, insert + " VALUES (%s, 'k', 1, %s, 1, '{}')", name, final)
    line.fail("part")
    assert line.row("part")["state"] == "FAILED"
    line.die("all", 1)
    line.until_state("all", "SUCCESS")
    assert line.row("all")["attempt"] == 1


def test_the_next_attempt_waits_until_the_last_ones_process_is_gone(line):
    line.submit("t", context={"retry": RETRY})
    line.until_state("t", "RUNNING", 1)
    line.runner.held.add("t")
    line.fail("t")
    line.until_state("t", "PENDING", 1)
    line.submit("other")
    line.until_state("other", "RUNNING")  # nobody else is held up
    assert line.row("t")["state"] == "PENDING"
    line.runner.held.clear()
    line.queue.wake()
    line.until_state("t", "RUNNING", 2)


def test_the_log_goes_on_from_attempt_to_attempt(line):
    line.submit("t", context={"retry": {"maxAttempts": 2, "backoff": 0}})
    line.until_state("t", "RUNNING", 1)
    line.fail("t")
    line.until_state("t", "RUNNING", 2)
    line.until(lambda: len(line.runner.begun) == 2)
    line.fail("t")
    line.until_state("t", "FAILED")
    assert line.logs.read("t") == b"attempt 1\nattempt 2\n"


def test_locks_of_the_failed_attempt_go_to_who_waits_for_them(line):
    line.submit("first", type="index", spec=index_spec("ds"), context={"retry": {"maxAttempts": 2, "backoff": "PT1H"}})
    line.until_state("first", "RUNNING")
    line.submit("second", type="index", spec=index_spec("ds"))
    line.until_blocked("second")
    line.fail("first")
    line.until_state("second", "RUNNING")


def test_an_attempt_over_its_time_fails_with_the_limit_named(line):
    line.submit("t", context={"timeoutMs": 30})
    row = line.until_state("t", "FAILED")
    assert "context.timeoutMs = 30 ms" in row["cause"]
    assert line.stock("t")["errorMsg"] == row["cause"]
    line.until(lambda: line.runner.stopped == ["t"])


def test_the_time_limit_counts_on_through_a_restart(line, dsn):
    line.submit("t", context={"timeoutMs": 3_600_000})
    line.until_state("t", "RUNNING")
    sql(dsn, "UPDATE ovl_tasks SET started_date = '2024-01-01T00:00:00.000Z'")
    line.restart()
    line.until_state("t", "FAILED")


def test_each_attempt_has_its_own_time(line):
    line.submit("t", context={"timeoutMs": 30, "retry": {"maxAttempts": 2, "backoff": 0}})
    row = line.until_state("t", "FAILED")
    assert (row["attempt"], row["retries"]) == (2, 1)


def test_an_attempt_that_was_given_up_cannot_publish(line):
    """Its successor may hold the same locks, so these alone do not tell."""
    line.submit("t", type="index", spec=index_spec("ds"), context={"retry": {"maxAttempts": 2, "backoff": 0}})
    line.until_state("t", "RUNNING", 1)
    line.fail("t")
    line.until_state("t", "RUNNING", 2)
    task = {"type": "index", "id": "t", "dataSource": "ds"}
    held = line.client().post("/druid/indexer/v1/action", json={"task": task, "action": {"type": "lockList"}}).json
    segment = {
        "dataSource": "ds",
        "interval": "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z",
        "version": held["result"][0]["version"],
        "loadSpec": {"type": "local", "path": "/nowhere"},
        "dimensions": "a",
        "metrics": "",
        "shardSpec": {"type": "numbered", "partitionNum": 0, "partitions": 1},
        "binaryVersion": 9,
        "size": 1,
    }
    body = {"task": task, "action": {"type": "segmentTransactionalInsert", "segments": [segment]}}

    def publish(attempt):
        return line.client().post("/druid/indexer/v1/action", json=body, headers={"X-Ovl-Attempt": attempt})

    assert publish("1").status_code == 409
    assert publish("2").json["result"]["success"] is True


@pytest.mark.parametrize(
    ("context", "where"),
    [
        ({"retry": 3}, "context.retry"),
        ({"retry": {}}, "context.retry.maxAttempts"),
        ({"retry": {"maxAttempts": 0}}, "context.retry.maxAttempts"),
        ({"retry": {"maxAttempts": True}}, "context.retry.maxAttempts"),
        ({"retry": {"maxAttempts": 2, "backof": 1}}, "context.retry.backof"),
        ({"retry": {"maxAttempts": 2, "backoff": "soon"}}, "context.retry.backoff"),
        ({"retry": {"maxAttempts": 2, "backoff": -1}}, "context.retry.backoff"),
        ({"retry": {"maxAttempts": 2, "backoff": "P1M"}}, "context.retry.backoff"),
        ({"retry": {"maxAttempts": 2, "multiplier": 0.5}}, "context.retry.multiplier"),
        ({"timeoutMs": 0}, "context.timeoutMs"),
        ({"timeoutMs": "long"}, "context.timeoutMs"),
        ({"timeoutMs": 1.5}, "context.timeoutMs"),
    ],
)
def test_a_bad_value_is_refused_where_it_stands(line, context, where):
    answer = line.client().post("/druid/indexer/v1/task", json={"type": "noop", "context": context})
    assert (answer.status_code, answer.headers["X-Ovl-Where"]) == (400, where)
    assert where.rpartition(".")[2] in answer.json["error"]


def test_each_wait_is_longer_than_the_last_up_to_the_longest():
    policy = Retry.of({"retry": {"maxAttempts": 5, "backoff": "PT1S", "maxBackoff": 3000, "multiplier": 2}})
    assert policy is not None
    assert [policy.delay_ms(failed) for failed in (1, 2, 3, 4, 5)] == [1000, 2000, 3000, 3000, None]
    assert Retry.from_json(orjson.loads(orjson.dumps(policy.to_json()))) == policy


def test_numbers_may_be_texts_as_in_other_context_keys():
    assert timeout_of({"timeoutMs": "5000"}) == 5000
    assert timeout_of({}) is None
    with pytest.raises(BadRequest):
        timeout_of({"timeoutMs": "-1"})
