"""Submitting once however often it is sent; refusing what is too much."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import orjson
import psycopg
import pytest

from overlord.model.audit import AuditInfo
from overlord.model.task import Task
from overlord.store import tasks

from .harness import Line

TASK = "/druid/indexer/v1/task"

JSON = {"type": "json"}


def submission(task_id, text):
    payload = {"type": "noop", "id": task_id, "text": text}
    task = Task(
        id=task_id,
        type="noop",
        group_id=task_id,
        datasource="ds",
        payload=payload,
        priority=0,
        availability_group=task_id,
    )
    return tasks.Submission(
        task=task, payload=orjson.dumps(payload), audit=AuditInfo(), created="2024-01-01T00:00:00.000Z"
    )


def noop(task_id=None, **more):
    return {"type": "noop", **({} if task_id is None else {"id": task_id}), **more}


def test_the_same_key_and_body_give_the_first_tasks_id(line):
    client = line.client()
    first = client.post(TASK, json=noop(), headers={"Idempotency-Key": "k"})
    again = client.post(TASK, json=noop(), headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json) == (200, first.json)
    named = client.post(TASK, json=noop("n"), headers={"Idempotency-Key": "n"})
    assert client.post(TASK, json=noop("n"), headers={"Idempotency-Key": "n"}).json == named.json == {"task": "n"}
    assert len(client.get("/druid/indexer/v1/tasks").json) == 2


def test_the_key_may_stand_in_the_context(line):
    client, body = line.client(), noop(context={"idempotencyKey": "k"})
    first = client.post(TASK, json=body).json
    assert client.post(TASK, json=body).json == first
    assert client.get(f"{TASK}/{first['task']}").json["payload"]["context"]["idempotencyKey"] == "k"


def test_order_and_white_space_of_the_body_do_not_count(line):
    client = line.client()
    sent = [b'{"type":"noop","runTime":7}', b'{ "runTime": 7, "type": "noop" }']
    found = [
        client.post(TASK, data=body, content_type="application/json", headers={"Idempotency-Key": "k"}).json
        for body in sent
    ]
    assert found[0] == found[1]


def test_another_body_under_the_key_is_422_in_druids_shape(line):
    client = line.client()
    client.post(TASK, json=noop("first"), headers={"Idempotency-Key": "k"})
    answer = client.post(TASK, json=noop("first", runTime=9), headers={"Idempotency-Key": "k"})
    assert answer.status_code == 422
    body = answer.json
    assert list(body) == ["error", "errorCode", "persona", "category", "errorMessage", "context"]
    assert (body["error"], body["context"]["task"]) == ("druidException", "first")


def test_a_repeated_id_without_the_key_is_druids_own_answer(line):
    client = line.client()
    client.post(TASK, json=noop("n"), headers={"Idempotency-Key": "k"})
    answer = client.post(TASK, json=noop("n"))
    assert (answer.status_code, answer.json["errorMessage"]) == (400, "Task[n] already exists")


def test_submits_at_the_same_time_make_one_task(line):
    line.client()

    def send(_):
        return line.client().post(TASK, json=noop(), headers={"Idempotency-Key": "k"}).json["task"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(send, range(24)))) == 1
    assert len(line.client().get("/druid/indexer/v1/tasks").json) == 1


def test_the_key_outlives_a_restart_and_the_task_but_not_its_row(line, dsn):
    headers = {"Idempotency-Key": "k"}
    first = line.client().post(TASK, json=noop(), headers=headers).json["task"]
    line.until_state(first, "RUNNING")
    line.succeed(first)
    line.restart()
    assert line.client().post(TASK, json=noop(), headers=headers).json["task"] == first
    with psycopg.connect(dsn, autocommit=True) as conn:  # as a stock Overlord cleans up
        conn.execute("DELETE FROM druid_tasks")
    assert line.client().post(TASK, json=noop(), headers=headers).json["task"] != first


@pytest.mark.parametrize("key", [" ", "x" * 256])
def test_a_key_that_cannot_be_kept_is_refused(line, key):
    assert line.client().post(TASK, json=noop(context={"idempotencyKey": key})).status_code == 400


def test_two_keys_that_differ_are_refused(line):
    body = noop(context={"idempotencyKey": "a"})
    answer = line.client().post(TASK, json=body, headers={"Idempotency-Key": "b"})
    assert (answer.status_code, answer.headers["X-Ovl-Where"]) == (400, "context.idempotencyKey")


def test_a_sub_task_does_not_inherit_its_parents_key_and_retries(line):
    context = {"idempotencyKey": "k", "retry": {"maxAttempts": 2}}
    line.client().post(TASK, json=noop("parent", context=context))
    answer = line.client().post(TASK, json=noop("child", context=context, supervisorTaskId="parent"))
    assert answer.json == {"task": "child"}


def test_a_sub_task_of_a_parent_that_has_ended_ends_at_once(line):
    client = line.client()
    client.post(TASK, json=noop("parent", runTime=60_000))
    client.post(TASK + "/parent/shutdown")
    spec = {
        "dataSchema": {"dataSource": "d", "timestampSpec": None, "dimensionsSpec": None, "granularitySpec": None},
        "ioConfig": {"type": "index_parallel", "inputSource": {"type": "inline", "data": "{}"}, "inputFormat": JSON},
    }
    late = {"type": "single_phase_sub_task", "id": "late", "supervisorTaskId": "parent", "spec": spec}
    more = {"subtaskSpecId": "parent_0", "numAttempts": 0, "groupId": "parent"}
    answer = client.post(TASK, json={**late, **more})
    assert answer.status_code == 200, answer.text
    status = client.get(TASK + "/late/status").json["status"]
    assert (status["statusCode"], status["errorMsg"]) == ("FAILED", "Shutdown request from user")


@pytest.fixture
def small(dsn, tmp_path):
    limits = {"druid.indexer.queue.maxSize": 2, "druid.indexer.queue.maxTaskPayloadSize": 1000}
    line = Line(dsn, tmp_path, **limits)
    line.lead()
    yield line
    line.close()


def test_a_full_queue_answers_429_and_when_to_come_back(small):
    client = small.client()
    key = {"Idempotency-Key": "k"}
    client.post(TASK, json=noop("a"))
    client.post(TASK, json=noop("b"), headers=key)
    answer = client.post(TASK, json=noop("c"))
    assert (answer.status_code, answer.json["category"]) == (429, "CAPACITY_EXCEEDED")
    assert answer.json["errorMessage"] == (
        "Task queue already contains [2] tasks. Retry later or increase 'druid.indexer.queue.maxSize'[2]."
    )
    assert int(answer.headers["Retry-After"]) > 0
    assert client.post(TASK, json=noop("b"), headers=key).json == {"task": "b"}  # nothing new
    assert client.post(TASK, json=noop("b")).status_code == 400  # taken, which comes before full
    small.queue.shutdown("a")
    assert client.post(TASK, json=noop("c")).status_code == 200


def test_a_payload_over_its_limit_is_refused(small):
    answer = small.client().post(TASK, json=noop("big", context={"x": "y" * 1000}))
    assert answer.status_code == 400
    assert "max allowed size is [1000]" in answer.json["errorMessage"]


def test_an_error_is_shortened_in_its_middle_and_kept_whole_beside(line):
    line.submit("t")
    line.until_state("t", "RUNNING")
    error = "a" * 600 + "b" * 100 + "c" * 600
    line.fail("t", error=error)
    assert line.stock("t")["errorMsg"] == "a" * 512 + "...276 characters omitted..." + "c" * 512
    assert line.row("t")["cause"] == error


def test_a_cause_with_a_zero_byte_is_no_obstacle(line):
    line.submit("t")
    line.until_state("t", "RUNNING")
    assert line.fail("t", error="bad \0 byte")
    assert line.row("t")["state"] == "FAILED"


def test_submits_that_share_a_statement_each_get_their_own_answer(line):
    bodies = [noop(f"t{number}", runTime=number + 1) for number in range(20)] + [noop("t0")] * 5

    def send(body):
        answer = line.client().post(TASK, json=body)
        return body["id"], answer.status_code

    line.client()  # the application is there before threads ask for it
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, bodies))
    assert sorted(code for name, code in answers if name == "t0") == [200] + [400] * 5
    assert {code for name, code in answers if name != "t0"} == {200}
    stored = {f"t{number}": line.client().get(f"{TASK}/t{number}").json["payload"]["runTime"] for number in range(20)}
    assert {name: run for name, run in stored.items() if name != "t0"} == {f"t{n}": n + 1 for n in range(1, 20)}


def test_rows_of_one_statement_stand_in_the_order_in_which_they_came(line):
    sent = [submission(f"o{n}", "é" * n) for n in range(9)]
    with line.db.transaction() as tx:
        seqs = tasks.submit_all(tx, [*sent, sent[3]])
        payloads = [tasks.payload(tx, f"o{n}") for n in range(9)]
    assert seqs[9] is None
    assert seqs[:9] == sorted(seqs[:9])
    assert [orjson.loads(payload)["text"] for payload in payloads] == ["é" * n for n in range(9)]


def test_nothing_is_looked_at_while_the_worker_takes_nothing(line, monkeypatch):
    line.runner.enabled = False
    for number in range(3):
        line.submit(f"p{number}")
    line.until_state("p2", "PENDING")
    asked = []
    monkeypatch.setattr(line.runner, "holds", asked.append)
    line.queue.wake()
    line.submit("p3")
    line.until_state("p3", "PENDING")
    assert asked == []
    line.runner.enabled = True
    line.queue.wake()
    line.until_state("p1", "RUNNING")
