"""What the Overlord asks of a task that reads, and tells it: HTTP, on a port that it was told of with a password."""

from __future__ import annotations

import hmac
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from overlord.errors import TaskFailed
from overlord.model.instant import format_instant
from workers.context import TaskContext
from workers.streaming.sequences import Plan

_log = logging.getLogger("overlord.chat")

Answer = tuple[int, Any]
_PAUSE_S = 2.0


class Chat:
    """Answers about a plan, and changes it.

    Parameters
    ----------
    numbers : mapping of str to callable
        What `rowStats`, `unparseableEvents` and `liveReports` answer.
    """

    def __init__(self, ctx: TaskContext, plan: Plan, numbers: Mapping[str, Callable[[], Any]]) -> None:
        self._ctx = ctx
        self._plan = plan
        self._numbers = numbers
        self._started = int(time.time() * 1000)
        self._password = secrets.token_hex(16)
        self._server: ThreadingHTTPServer | None = None

    def open(self) -> None:
        """Listen, and tell the Overlord where."""
        if self._ctx.overlord is None:
            return
        host = _own_address(self._ctx.overlord.address())
        self._server = _server(host, self)
        threading.Thread(target=self._server.serve_forever, name="chat", daemon=True).start()
        place = {"host": host, "port": self._server.server_address[1], "password": self._password}
        path = f"/ovl/v1/tasks/{quote(self._ctx.task_id, safe='')}/attempts/{self._ctx.attempt}/chat"
        answer = self._ctx.overlord.post(path, orjson.dumps(place))
        if answer.status != 200:
            raise TaskFailed(f"The Overlord does not want to talk: {answer.status}")

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def knows(self, password: str) -> bool:
        """Whether that is the Overlord."""
        return hmac.compare_digest(password.encode(), f"Bearer {self._password}".encode())

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> Answer:
        """Status and JSON for a call."""
        plan = self._plan
        if method == "GET" and path in self._numbers:
            return 200, self._numbers[path]()
        if method == "GET" and path == "time/start":
            return 200, format_instant(self._started)
        with plan.changed:
            reads: dict[str, Callable[[], Any]] = {
                "status": lambda: plan.status,
                "offsets/current": lambda: dict(plan.current),
                "offsets/end": lambda: dict(plan.end),
                "checkpoints": lambda: plan.checkpoints,
            }
            if method == "GET":
                return (200, reads[path]()) if path in reads else (404, None)
            if path == "pause":
                return self._pause()
            if path == "resume":
                plan.pause = False
                plan.changed.notify_all()
                return 200, None
            if path == "stop":
                plan.stop = True
                plan.pause = False
                plan.changed.notify_all()
                return 200, None
            if path == "offsets/end":
                return self._set_end(query, body)
        return 404, None

    def _pause(self) -> Answer:
        plan = self._plan
        if plan.status == "PUBLISHING" and len(plan.sequences) > 1:
            plan.pause = True  # it pauses once that is published
            return 202, "Request accepted but task has not yet paused"
        if plan.status not in ("PAUSED", "READING"):
            return 400, {"error": f"Can't pause, task is not in a pausable state (state: [{plan.status}])"}
        plan.pause = True
        plan.changed.notify_all()
        if plan.changed.wait_for(lambda: plan.status != "READING", _PAUSE_S):
            if plan.status == "PAUSED":
                return 200, dict(plan.current)
            return 400, {"error": f"Can't pause, task is not in a pausable state (state: [{plan.status}])"}
        return 202, "Request accepted but task has not yet paused"

    def _set_end(self, query: Mapping[str, list[str]], body: Any) -> Answer:
        if not isinstance(body, dict) or not all(type(offset) is int for offset in body.values()):
            return 400, {"error": "Request body must contain a map of { partition:endOffset }"}
        finish = (query.get("finish") or ["true"])[0].lower() != "false"
        problem = self._plan.set_end({str(name): offset for name, offset in body.items()}, finish=finish)
        if problem is not None:
            return 400, {"error": problem}
        self._plan.pause = False
        self._plan.changed.notify_all()
        return 200, dict(body)


def _own_address(overlord: tuple[str, int]) -> str:
    """Our address on the way to the Overlord."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(overlord)
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return "127.0.0.1"


def _server(host: str, chat: Chat) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self, method: str) -> None:
            url = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not chat.knows(self.headers.get("Authorization") or ""):
                return self._send(401, None)
            try:
                body = orjson.loads(data) if data.strip() else None
                status, answer = chat.answer(method, url.path.strip("/"), parse_qs(url.query), body)
            except orjson.JSONDecodeError as error:
                status, answer = 400, {"error": f"The body is no JSON: {error}"}
            except Exception as error:
                _log.exception("%s %s", method, self.path)
                status, answer = 500, {"error": f"{type(error).__name__}: {error}"}
            self._send(status, answer)
            return None

        def _send(self, status: int, answer: Any) -> None:
            text = orjson.dumps(answer) if answer is not None else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(text)
            self.close_connection = True

        def do_GET(self) -> None:
            self._handle("GET")

        def do_POST(self) -> None:
            self._handle("POST")

        def log_message(self, format: str, *args: Any) -> None:
            _log.debug(format, *args)

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    return server
