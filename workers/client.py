"""How a task speaks to its Overlord: HTTP alone, and with patience.

A call that finds no Overlord, or one that cannot answer now (503, 429, a redirect of a standby), is tried again as
Druid's peon does: about 60 times, ever slower. Before each new try `overlord.url` is read again, as a new Overlord
that has adopted the task leaves its address there.
"""

from __future__ import annotations

import http.client
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

import orjson

from overlord.errors import TaskFailed

_log = logging.getLogger("overlord.client")

_LATER = frozenset({408, 425, 429, 502, 503, 504})
_REDIRECT = frozenset({301, 302, 307, 308})


class Actions(Protocol):
    """Whoever performs task actions."""

    def submit(self, action: dict[str, Any], /) -> Any:
        """Have an action performed and return its result."""


class StaleAttempt(Exception):
    """The Overlord says that this attempt is not the one that runs: it must end without a trace."""


class NoOverlord(TaskFailed):
    """No Overlord answered, for as long as we may wait."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often and how fast a call is tried again.

    Attributes
    ----------
    tries : int
    first_s, most_s : float
        The first wait and the longest; each is about twice the one before.
    """

    tries: int = 60
    first_s: float = 0.1
    most_s: float = 10.0

    def wait_s(self, failed: int, retry_after: str | None) -> float:
        """Seconds to wait after so many failures, or what the server asked for if that is longer."""
        own = min(self.most_s, self.first_s * 2.0 ** min(failed - 1, 20)) * random.uniform(0.75, 1.25)
        asked = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
        return max(own, min(asked, 60.0))


@dataclass(frozen=True)
class Answer:
    """A response that is neither a redirect nor a "later"."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Its JSON; None for an empty body."""
        return orjson.loads(self.body) if self.body else None


class OverlordClient:
    """Connections to whichever Overlord leads; one a thread, kept open.

    Parameters
    ----------
    url_file : Path
        Holds the Overlord's base URL.
    headers : dict
        Sent with each call.
    """

    def __init__(self, url_file: Path, headers: dict[str, str], *, patience: Patience | None = None) -> None:
        self._url_file = url_file
        self._headers = {"Content-Type": "application/json", **headers}
        self._patience = patience or Patience()
        self._mine = threading.local()

    def post(
        self,
        path: str,
        body: bytes,
        *,
        timeout_s: float = 300.0,
        patience: Patience | None = None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> Answer:
        """POST until there is an answer.

        Parameters
        ----------
        timeout_s : float
            Of one try, from connecting to the last byte.
        given_up : callable
            Asked between tries; True ends them.

        Raises
        ------
        NoOverlord
            Nobody answered.
        """
        patience = patience or self._patience
        why = ""
        for failed in range(1, patience.tries + 1):
            retry_after = None
            try:
                answer, retry_after = self._once(path, body, timeout_s)
                if answer is not None:
                    return answer
                why = "it is not ready"
            except (OSError, http.client.HTTPException) as error:
                why = f"{type(error).__name__}: {error}"
                self._disconnect()
            if failed == patience.tries or given_up():
                break
            wait_s = patience.wait_s(failed, retry_after)
            if failed % 5 == 1:
                _log.info("Overlord at %s does not answer (%s); next try in %.1f s", self._url(), why, wait_s)
            time.sleep(wait_s)
        raise NoOverlord(f"The Overlord at {self._url()} did not answer POST {path}: {why}")

    def _once(self, path: str, body: bytes, timeout_s: float) -> tuple[Answer | None, str | None]:
        """One try, redirects followed: the answer, or None and the Retry-After header."""
        url = self._url()
        for _ in range(5):
            response = self._send(urlsplit(url), path, body, timeout_s)
            data = response.read()
            if response.status in _REDIRECT:
                target = urlsplit(response.headers.get("Location", ""))
                self._disconnect()
                if not target.netloc:
                    return None, None
                url = f"{target.scheme}://{target.netloc}"
                continue
            if response.status in _LATER:
                return None, response.headers.get("Retry-After")
            return Answer(response.status, data), None
        return None, None

    def _send(self, url: SplitResult, path: str, body: bytes, timeout_s: float) -> http.client.HTTPResponse:
        connection, reused = self._connection(url, timeout_s)
        try:
            connection.request("POST", path, body, self._headers)
            return connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not reused:
                raise
        # The server closed an idle connection under our hands: that is not a failure yet.
        self._disconnect()
        connection, _ = self._connection(url, timeout_s)
        connection.request("POST", path, body, self._headers)
        return connection.getresponse()

    def _connection(self, url: SplitResult, timeout_s: float) -> tuple[http.client.HTTPConnection, bool]:
        known: tuple[str, http.client.HTTPConnection] | None = getattr(self._mine, "connection", None)
        if known is not None and known[0] == url.netloc:
            connection, reused = known[1], True
        else:
            self._disconnect()
            kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
            connection, reused = kind(url.netloc, timeout=timeout_s), False
            self._mine.connection = (url.netloc, connection)
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        return connection, reused

    def _disconnect(self) -> None:
        known: tuple[str, http.client.HTTPConnection] | None = getattr(self._mine, "connection", None)
        if known is not None:
            known[1].close()
            self._mine.connection = None

    def address(self) -> tuple[str, int]:
        """Host and port of the Overlord."""
        url = urlsplit(self._url())
        return url.hostname or "localhost", url.port or (443 if url.scheme == "https" else 80)

    def _url(self) -> str:
        return self._url_file.read_text(encoding="utf-8").strip().rstrip("/")


class ActionClient:
    """The action API as a task sees it.

    Parameters
    ----------
    client : OverlordClient
    task : bytes
        The task as JSON text; it travels with each action, as Druid has it.
    """

    def __init__(self, client: OverlordClient, task: bytes, *, patience: Patience | None = None) -> None:
        self._client = client
        self._task = orjson.Fragment(task)
        self._patience = patience

    def submit(self, action: dict[str, Any]) -> Any:
        """Have an action performed and return its result.

        Raises
        ------
        TaskFailed
            The Overlord refused, in its own words; or there is none.
        """
        body = orjson.dumps({"task": self._task, "action": action})
        wait_s = 300.0 + float(action.get("timeoutMs") or 0) / 1000.0
        answer = self._client.post("/druid/indexer/v1/action", body, timeout_s=wait_s, patience=self._patience)
        if answer.status != 200:
            raise TaskFailed(f"{action.get('type')}: {_reason(answer)}")
        result = answer.json()
        return result.get("result") if isinstance(result, dict) else result


class AttemptClient:
    """The routes of one attempt: started, heartbeat, end."""

    def __init__(self, client: OverlordClient, task_id: str, attempt: int) -> None:
        from urllib.parse import quote

        self._client = client
        self._base = f"/ovl/v1/tasks/{quote(task_id, safe='')}/attempts/{attempt}"

    def started(self, identity: dict[str, Any]) -> None:
        """Report in; raises StaleAttempt when another attempt, or none, is wanted."""
        self._tell("started", identity)

    def heartbeat(self, progress: dict[str, Any] | None, *, timeout_s: float = 10.0) -> None:
        """One sign of life, tried once."""
        self._tell("heartbeat", {"progress": progress}, timeout_s=timeout_s, patience=Patience(tries=1))

    def end(self, outcome: dict[str, Any]) -> None:
        """Tell the end. A few tries are enough: the Overlord finds the end file as well."""
        self._tell("end", outcome, patience=Patience(tries=4))

    def _tell(self, what: str, value: Any, **how: Any) -> None:
        answer = self._client.post(f"{self._base}/{what}", orjson.dumps(value), **how)
        if answer.status in (401, 403, 404, 409, 410):
            raise StaleAttempt(_reason(answer))
        if answer.status >= 400:
            raise TaskFailed(f"{what}: {_reason(answer)}")


def _reason(answer: Answer) -> str:
    """The text of an error body, whichever of Druid's shapes it has."""
    try:
        body = answer.json()
    except orjson.JSONDecodeError:
        body = answer.body.decode("utf-8", "replace")
    if isinstance(body, dict):
        return str(body.get("errorMessage") or body.get("error") or body)
    return str(body) if body else f"HTTP status {answer.status}"
