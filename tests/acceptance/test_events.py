"""Server-sent events of a whole server."""

from __future__ import annotations

import json
import socket

import pytest
import requests

from .harness import API, Server, index_task


@pytest.fixture
def narrow(tmp_path):
    """A server with two request threads."""
    server = Server(tmp_path / "data", {"ovl_http_threads": "2", "ovl_http_waitingThreads": "1"})
    server.start()
    yield server
    server.clean_up()


def listen(server, query="", last=None):
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    answer = requests.get(f"{server.url}{API}/events{query}", headers=headers, stream=True, timeout=90)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/event-stream"
    return answer


def until(answer, event):
    """Events up to the first of that name."""
    found = []
    for line in answer.iter_lines(chunk_size=1):
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
            if found[-1]["event"] == event:
                return found
    raise AssertionError(found)


def test_events_come_as_they_happen_go_on_where_they_stopped_and_take_no_threads(narrow):
    host, port = narrow.url.removeprefix("http://").split(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(150)]
    for each in crowd:
        each.sendall(f"GET {API}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for each in crowd:
        each.settimeout(30)
        assert each.recv(15) == b"HTTP/1.1 200 OK"

    live = listen(narrow, "?dataSource=ds&state=SUCCESS&state=RUNNING")
    narrow.submit(index_task("t", "ds"))  # the server still has its threads
    found = until(live, "succeeded")
    assert [event["event"] for event in found] == ["started", "succeeded"]
    end = found[-1]
    assert end["taskId"] == "t" and end["segmentCount"] == 2 and end["rows"]["processed"] == 3
    assert len(end["segments"]) == 2 and len(end["intervals"]) == 2

    again = until(listen(narrow, "?taskId=t", last=0), "succeeded")
    assert [event["event"] for event in again] == ["submitted", "locked", "started", "succeeded"]
    after = until(listen(narrow, "?taskId=t", last=again[1]["id"]), "succeeded")
    assert after == again[2:]

    spec = {"type": "autocompact", "spec": {"dataSource": "ds"}, "suspended": True}
    watching = listen(narrow, "?kind=supervisor")
    narrow.post("/supervisor", spec)
    narrow.post("/supervisor/autocompact__ds/resume")
    narrow.post("/supervisor/autocompact__ds/terminate")
    assert [event["event"] for event in until(watching, "terminated")] == ["created", "resumed", "terminated"]

    assert narrow.get("/events?lastEventId=x").status_code == 400
    for each in crowd:
        each.close()
    narrow.until(lambda: narrow.get("/tasks?state=complete").status_code == 200, 10)
