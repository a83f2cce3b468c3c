"""Events over a real Postgres: in order, none left out, and told to webhooks until they are taken."""

from __future__ import annotations

import hashlib
import hmac
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import orjson
import pytest

from overlord.model.supervisor import noop_spec
from overlord.notify.tail import Tail
from overlord.notify.webhooks import Webhook
from overlord.store import events as store

from .acting import submit


class Receiver(ThreadingHTTPServer):
    """Takes webhooks; answers with the next of `answers`, then 200."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.taken = [], []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 200:
            self.server.taken.append((orjson.loads(body), dict(self.headers), body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def services(db):
    settings = {
        "ovl.notify.events": None,
        "ovl.notify.secret": "key",
        "ovl.notify.timeout": 2000,
        "ovl.notify.retryAfter": 0,
        "ovl.notify.giveUpAfter": 60_000,
    }
    report = b'{"ingestionStatsAndErrors":{"payload":{"rowStats":{"buildSegments":{"processed":3}}}}}'
    return SimpleNamespace(db=db, settings=settings, logs=SimpleNamespace(report=lambda _: report))


def lead(db):
    with db.transaction() as tx:
        return tx.one("queue.lead", url="http://here")["epoch"]


def ended(db, task_id):
    with db.transaction() as tx:
        tx.script(
            f"INSERT INTO ovl_events (task_id, attempt, event, from_state, to_state) "
            f"VALUES ('{task_id}', 1, 'succeeded', 'RUNNING', 'SUCCESS');"
            f"""INSERT INTO ovl_publishes (task_id, publish_key, attempt, final, segments, result) VALUES
            ('{task_id}', 'k', 1, true, 1, '{{"segments": [{{"identifier": "s1", "interval": "2024/2025"}}]}}')"""
        )


def rounds(hook, count):
    for _ in range(count):
        hook.once(threading.Event())


def test_an_event_waits_for_a_smaller_one_that_is_not_committed_yet(db):
    tail = Tail(0)
    with db.transaction() as slow:
        store.note_supervisor(slow, "first", noop_spec("first", ["a"]), "created")
        with db.transaction() as tx:
            store.note_supervisor(tx, "second", noop_spec("second", ["a"]), "created")
        with db.transaction() as tx:
            assert tail.read(tx, 10) == []
    with db.transaction() as tx:
        assert [row["subject"] for row in tail.read(tx, 10)] == ["first", "second"]


def test_one_that_was_rolled_back_is_waited_for_no_longer(db):
    tail = Tail(0)
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        store.note_supervisor(tx, "never", noop_spec("never", ["a"]), "created")
        raise ZeroDivisionError
    with db.transaction() as tx:
        store.note_supervisor(tx, "second", noop_spec("second", ["a"]), "created")
    found = []
    for _ in range(2):
        with db.transaction() as tx:
            found += tail.read(tx, 10)
    assert [row["subject"] for row in found] == ["second"]


def test_a_webhook_gets_what_a_task_made_signed(services, db, receiver):
    hook = Webhook(receiver.url, services, lead(db))
    submit(db, "t")
    ended(db, "t")
    rounds(hook, 2)
    assert [event["event"] for event, *_ in receiver.taken] == ["submitted", "succeeded"]
    event, headers, body = receiver.taken[1]
    assert (event["taskId"], event["state"], event["dataSource"]) == ("t", "SUCCESS", "ds")
    assert (event["segments"], event["intervals"], event["rows"]["processed"]) == (["s1"], ["2024/2025"], 3)
    signed = headers["X-Ovl-Timestamp"].encode() + b"." + body
    assert headers["X-Ovl-Signature"] == "sha256=" + hmac.new(b"key", signed, hashlib.sha256).hexdigest()


def test_a_delivery_that_fails_is_tried_until_it_is_taken_and_by_the_next_leader_too(services, db, receiver):
    receiver.answers = [500, 503]
    hook = Webhook(receiver.url, services, lead(db))
    submit(db, "t")
    rounds(hook, 1)
    assert receiver.taken == []
    rounds(Webhook(receiver.url, services, lead(db)), 3)
    assert [event["taskId"] for event, *_ in receiver.taken] == ["t"]


def test_a_receiver_that_is_away_keeps_nothing_from_being_delivered_later(services, db, receiver):
    receiver.shutdown()
    receiver.server_close()
    hook = Webhook(receiver.url, services, lead(db))
    submit(db, "t")
    rounds(hook, 2)
    with db.transaction() as tx:
        (left,) = tx.all("events.due", url=receiver.url, most=9)
    assert left["attempts"] == 2


def test_a_delivery_too_old_is_given_up(services, db, receiver):
    receiver.answers = [500] * 9
    services.settings["ovl.notify.giveUpAfter"] = -1
    hook = Webhook(receiver.url, services, lead(db))
    submit(db, "t")
    rounds(hook, 3)
    assert len(receiver.answers) == 8


def test_only_the_events_that_are_wanted_are_delivered(services, db, receiver):
    services.settings["ovl.notify.events"] = ["succeeded"]
    hook = Webhook(receiver.url, services, lead(db))
    submit(db, "t")
    ended(db, "t")
    rounds(hook, 2)
    assert [event["event"] for event, *_ in receiver.taken] == ["succeeded"]


def test_what_was_before_a_webhook_is_not_told(services, db, receiver):
    submit(db, "old")
    rounds(Webhook(receiver.url, services, lead(db)), 2)
    assert receiver.taken == []


def test_a_leader_of_the_past_makes_no_deliveries(services, db, receiver):
    from overlord.errors import Unavailable

    hook = Webhook(receiver.url, services, lead(db))
    lead(db)
    submit(db, "t")
    with pytest.raises(Unavailable):
        hook.once(threading.Event())
    assert receiver.taken == []
