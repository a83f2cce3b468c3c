"""Webhooks: each event is posted to each URL, signed, until it is taken or given up.

An event's row is written in the transaction of the move it tells of; the leader makes deliveries of it in Postgres and
sends them from threads of its own. So no task ever waits for a webhook, or fails with it, and a restart loses none.
Deliveries come at least once; a receiver tells repeats by the id of the event.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import requests

from overlord.errors import Unavailable
from overlord.notify.describe import describe
from overlord.notify.tail import Tail
from overlord.store import events as store

if TYPE_CHECKING:
    from overlord.services import Services

_log = logging.getLogger(__name__)

_POLL_S = 0.5
_BATCH = 100
_LONGEST_WAIT_S = 600.0


class Webhooks:
    """The configured webhooks.

    Parameters
    ----------
    services : callable
        The parts of this server.
    """

    def __init__(self, services: Callable[[], Services]) -> None:
        self._services = services
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, epoch: int) -> None:
        """Begin to deliver, one thread a webhook."""
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(url, epoch, self._stopping), name=f"webhook-{url}", daemon=True)
            for url in self._services().settings["ovl.notify.webhooks"] or ()
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; what was not delivered stays in Postgres."""
        self._stopping.set()

    def _run(self, url: str, epoch: int, stopping: threading.Event) -> None:
        hook: Webhook | None = None
        while not stopping.is_set():
            try:
                hook = hook or Webhook(url, self._services(), epoch)
                if not hook.once(stopping):
                    stopping.wait(_POLL_S)
            except Unavailable:
                hook = None
                stopping.wait(_POLL_S)
            except Exception:
                hook = None
                _log.exception("webhook[%s] stumbled", url)
                stopping.wait(10 * _POLL_S)


class Webhook:
    """One URL.

    Parameters
    ----------
    url : str
    services : Services
    epoch : int
        Of this leadership.
    """

    def __init__(self, url: str, services: Services, epoch: int) -> None:
        self._url = url
        self._services = services
        self._epoch = epoch
        self._session = requests.Session()
        with services.db.transaction() as tx:
            self._tail = Tail(store.hook(tx, url))

    def once(self, stopping: threading.Event) -> bool:
        """Make deliveries of new events and send what is due; False if there was nothing to do."""
        worked = self._advance()
        with self._services.db.transaction() as tx:
            due = store.due(tx, self._url, _BATCH)
            events = describe(tx, self._services.logs, store.by_ids(tx, [row["event_id"] for row in due]))
        bodies = {event["id"]: event for event in events}
        for row in due:
            if stopping.is_set():
                break
            self._deliver(row, bodies.get(row["event_id"]))
        return worked or bool(due)

    def _advance(self) -> bool:
        wanted = self._services.settings["ovl.notify.events"]
        with self._services.db.transaction() as tx:
            before = self._tail.at
            rows = self._tail.read(tx, _BATCH)
            if not rows:
                return False
            ids = [row["id"] for row in rows if not wanted or row["event"] in wanted]
            if not store.advance(tx, self._url, after=before, to=self._tail.at, ids=ids, epoch=self._epoch):
                raise Unavailable("another server delivers now")
        return True

    def _deliver(self, row: dict[str, Any], event: dict[str, Any] | None) -> None:
        error = None if event is None else self._post(event)
        settings = self._services.settings
        age_s = (datetime.now(UTC) - row["made_at"]).total_seconds()
        with self._services.db.transaction() as tx:
            if error is None:
                store.delivered(tx, self._url, row["event_id"])
            elif age_s * 1000 > settings["ovl.notify.giveUpAfter"]:
                _log.error("webhook[%s]: event[%d] is given up: %s", self._url, row["event_id"], error)
                store.delivered(tx, self._url, row["event_id"])
            else:
                wait_s = min(settings["ovl.notify.retryAfter"] / 1000 * 2 ** min(row["attempts"], 20), _LONGEST_WAIT_S)
                store.postponed(tx, self._url, row["event_id"], wait_s, error)

    def _post(self, event: dict[str, Any]) -> str | None:
        """Send one event; what went wrong, or None."""
        settings = self._services.settings
        body, at = orjson.dumps(event), str(int(time.time()))
        headers = {"Content-Type": "application/json", "X-Ovl-Event-Id": str(event["id"]), "X-Ovl-Timestamp": at}
        if settings["ovl.notify.secret"]:
            headers["X-Ovl-Signature"] = signature(settings["ovl.notify.secret"], at, body)
        try:
            answer = self._session.post(
                self._url,
                data=body,
                headers=headers,
                timeout=settings["ovl.notify.timeout"] / 1000,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return None if 200 <= answer.status_code < 300 else f"HTTP {answer.status_code}: {answer.text[:200]}"


def signature(secret: str, at: str, body: bytes) -> str:
    """HMAC-SHA256 over the time stamp, a dot and the body."""
    return "sha256=" + hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
