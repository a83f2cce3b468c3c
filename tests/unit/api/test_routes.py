"""Routes over fake parts: waiting actions, followed logs, what is asked of the queue and the runner."""

from __future__ import annotations

import io
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from overlord import actions
from overlord.app import create_app
from overlord.http import WaitingPool

V = "/druid/indexer/v1"
TASK = {"type": "noop", "id": "t"}


class Tasks:
    """A store of one task, and the queue over it."""

    def __init__(self):
        self.active = True
        self.log = b""
        self.calls = []

    @contextmanager
    def transaction(self):
        yield self

    def all(self, name, **parameters):
        assert name == "listing.some"
        if parameters["ids"] != ["t"]:
            return []
        row = {"id": "t", "created_date": "2024", "datasource": "ds", "type": "noop", "group_id": "t", "payload": None}
        status = b'{"status":"SUCCESS","duration":1}'
        more = {"active": self.active, "status_payload": status, "state": "RUNNING", "host": "h", "port": 1}
        return [{**row, **more, "tls_port": None}]

    def shutdown(self, task_id, reason):
        self.calls.append((task_id, reason))

    def shutdown_all(self, datasource):
        return ["t"] if datasource == "ds" else []

    def wake(self):
        self.calls.append("wake")

    def open(self, task_id):
        return io.BytesIO(self.log) if self.log else None

    def read(self, task_id, offset):
        return self.log[offset:] if self.log else None

    def report(self, task_id):
        return None

    def set_enabled(self, host, enabled):
        self.calls.append((host, enabled))
        return host == "h:1"


@pytest.fixture
def tasks():
    return Tasks()


@pytest.fixture
def pool():
    return WaitingPool(1)


@pytest.fixture
def client(tasks, pool):
    leader = SimpleNamespace(is_leader=lambda: True, url=lambda: None)
    parts = SimpleNamespace(settings={}, db=tasks, queue=tasks, logs=tasks, runner=tasks, leader=leader)
    return create_app(parts, waiting=pool).test_client()


@pytest.fixture
def perform(monkeypatch):
    """Answers of `actions.perform`, the last one for ever; what was asked is in `asked`."""
    fake = SimpleNamespace(answers=[None], asked=[])

    def answer(parts, task, action, attempt=None):
        fake.asked.append(action)
        return fake.answers.pop(0) if len(fake.answers) > 1 else fake.answers[0]

    monkeypatch.setattr(actions, "perform", answer, raising=False)
    return fake


def act(client, **action):
    return client.post(f"{V}/action", json={"task": TASK, "action": action})


def test_an_action_is_performed_and_its_result_wrapped(client, perform):
    perform.answers = [[1]]
    assert act(client, type="lockList").json == {"result": [1]}


@pytest.mark.parametrize("body", [{}, {"task": TASK}, {"action": {}}, {"task": 1, "action": {}}, [], 5])
def test_an_action_without_task_or_action_is_400(client, body):
    answer = client.post(f"{V}/action", json=body)
    assert answer.status_code == 400 and answer.json["error"]


def test_a_lock_that_is_free_needs_no_permit(client, perform, pool):
    perform.answers = [{"version": "v"}]
    with pool.permit():
        assert act(client, type="lockAcquire", timeoutMs=0).json["result"] == {"version": "v"}


def test_a_waiting_action_asks_again_until_it_is_granted(client, perform):
    perform.answers = [None, None, {"version": "v"}]
    assert act(client, type="lockAcquire", timeoutMs=0).json["result"] == {"version": "v"}
    assert [action["timeoutMs"] for action in perform.asked] == [1, 2000, 2000]


def test_a_waiting_action_gives_up_at_its_time(client, perform):
    begun = time.monotonic()
    assert act(client, type="segmentLockAcquire", timeoutMs=20).json == {"result": None}
    assert time.monotonic() - begun < 2


def test_a_surrogates_lock_waits_too(client, perform):
    perform.answers = [None, "lock"]
    inner = {"type": "lockAcquire", "timeoutMs": 0}
    assert act(client, type="surrogateAction", surrogateId="s", taskAction=inner).json["result"] == "lock"
    assert perform.asked[0]["taskAction"]["timeoutMs"] == 1


def test_a_wait_without_a_permit_is_503(client, perform, pool):
    with pool.permit():
        answer = act(client, type="lockAcquire", timeoutMs=0)
    assert answer.status_code == 503 and answer.headers["Retry-After"]


def test_a_wait_ends_when_the_server_stops(client, perform, pool, monkeypatch):
    def closing(*_, **__):
        pool.close()

    monkeypatch.setattr(actions, "perform", closing)
    assert act(client, type="lockAcquire", timeoutMs=0).status_code == 503


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", b"0123456789"),
        ("offset=4", b"456789"),
        ("offset=-3", b"789"),
        ("offset=99", b""),
        ("offset=-99", b"0123456789"),
    ],
)
def test_offsets_of_a_log(client, tasks, query, wanted):
    tasks.log = b"0123456789"
    answer = client.get(f"{V}/task/t/log?{query}")
    assert (answer.data, answer.content_type) == (wanted, "text/plain;charset=utf-8")


def test_a_big_log_comes_whole(client, tasks):
    tasks.log = bytes(range(256)) * 1000
    assert client.get(f"{V}/task/t/log?offset=1").data == tasks.log[1:]


def test_no_log_yet_is_404_and_json_is_not_what_it_gives(client):
    answer = client.get(f"{V}/task/t/log")
    assert (answer.status_code, answer.content_type) == (404, "text/plain;charset=utf-8")
    assert client.get(f"{V}/task/t/log", headers={"Accept": "application/json"}).status_code == 406
    assert client.get(f"{V}/task/t/log", headers={"Accept": "*/*"}).status_code == 404


@pytest.mark.parametrize(("offset", "wanted"), [(0, b"one two"), (2, b"e two"), (-2, b"e two")])
def test_a_followed_log_goes_on_until_the_task_has_ended(client, tasks, pool, offset, wanted):
    tasks.log = b"one "

    def end():
        tasks.log += b"two"
        tasks.active = False

    threading.Timer(0.3, end).start()
    answer = client.get(f"{V}/task/t/log?follow=true&offset={offset}", buffered=True)
    assert answer.data == wanted
    answer.close()
    with pool.permit():  # it was given back
        pass


def test_shutdown_asks_the_queue_and_knows_its_tasks(client, tasks):
    assert client.post(f"{V}/task/t/shutdown").json == {"task": "t"}
    assert tasks.calls == [("t", "Shutdown request from user")]
    answer = client.post(f"{V}/task/u/shutdown")
    assert (answer.status_code, answer.data) == (404, b"Cannot find any task with id: [u]")


def test_shutdown_of_all_tasks(client):
    assert client.post(f"{V}/datasources/ds/shutdownAllTasks").json == {"dataSource": "ds"}
    answer = client.post(f"{V}/datasources/other/shutdownAllTasks")
    assert (answer.status_code, answer.data) == (404, b"")


def test_a_worker_is_enabled_and_disabled(client, tasks):
    assert client.post(f"{V}/worker/h:1/disable").json == {"h:1": "disabled"}
    assert client.post(f"{V}/worker/h:1/enable").json == {"h:1": "enabled"}
    assert tasks.calls == [("h:1", False), "wake", ("h:1", True), "wake"]
    assert client.post(f"{V}/worker/h:2/enable").json == {"error": "Worker on host h:2 does not exists"}


@pytest.mark.parametrize("ids", [{}, "a", [None], [["a"]], [{}]])
def test_task_ids_have_to_be_an_array_of_texts(client, ids):
    assert client.post(f"{V}/taskStatus", json=ids).status_code == 400


def test_numbers_count_as_task_ids(client):
    assert client.post(f"{V}/taskStatus", json=[5, True]).json == {}


def test_who_accepts_no_json_is_told_so_by_druids_routes(client):
    def status(path, accept, **more):
        return client.open(V + path, headers={"Accept": accept}, **more).status_code

    assert [status("/isLeader", accept) for accept in ("text/html", "garbage", "image/png, text/*;q=1")] == [406] * 3
    accepted = (
        "",
        "*/*",
        "text/html, */*;q=0.1",
        "application/*",
        "Application/JSON;q=0",
        "application/json;charset=x",
    )
    assert [status("/isLeader", accept) for accept in accepted] == [200] * 6
    wrong = {"method": "POST", "data": b"{}", "content_type": "text/plain"}
    assert status("/taskStatus", "text/html", **wrong) == 415
    assert status("/nothing", "text/html") == 404
    assert client.get("/openapi.json", headers={"Accept": "text/html"}).status_code == 200


def test_shutting_down_all_tasks_is_unknown_to_other_methods(client):
    path = f"{V}/datasources/ds/shutdownAllTasks"
    assert [client.open(path, method=method).status_code for method in ("GET", "PUT", "DELETE")] == [404] * 3
