"""Which server leads: the one that holds a session lock in Postgres, on a connection of its own.

The lock goes with the connection, so a dead leader is replaced within seconds. A leader that lost its connection
steps down at once; what it had begun fails at the fence, as the next leader has raised the epoch.
"""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg

from overlord.errors import OverlordError

if TYPE_CHECKING:
    from overlord.store.db import Database

_log = logging.getLogger(__name__)

_POLL_S = 1.0
_URL_FRESH_S = 1.0
_CLIENT = {
    "connect_timeout": 5,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "application_name": "overlord-leader",
}
_SESSION = "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3"


class Leader:
    """The election, from one server's side.

    Parameters
    ----------
    db : Database
    dsn : callable
        Connection string of now.
    url : callable
        Where this server is reached; shown to others while it leads.
    on_elected : callable
        Called with the new epoch; this server leads when it returns.
    on_deposed : callable
        Called once when it leads no more.
    delay_s : float
        Wait between winning and `on_elected`.
    """

    def __init__(
        self,
        *,
        db: Database,
        dsn: Callable[[], str],
        url: Callable[[], str],
        on_elected: Callable[[int], None],
        on_deposed: Callable[[], None],
        delay_s: float = 0.0,
    ) -> None:
        self._db = db
        self._dsn = dsn
        self._own_url = url
        self._on_elected = on_elected
        self._on_deposed = on_deposed
        self._delay_s = delay_s
        self._leading = threading.Event()
        self._closing = threading.Event()
        self._doubt = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen_url: tuple[float, str | None] = (float("-inf"), None)
        self.epoch: int | None = None

    def start(self) -> None:
        """Stand for election, for as long as the server lives."""
        self._thread = threading.Thread(target=self._run, name="leader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Step down and stand no more."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def is_leader(self) -> bool:
        """Whether this server leads, its queue included."""
        return self._leading.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until this server leads."""
        return self._leading.wait(timeout_s)

    def url(self) -> str | None:
        """URL of whoever leads; None while nobody is known to."""
        if self._leading.is_set():
            return self._own_url()
        asked_at, url = self._seen_url
        if time.monotonic() - asked_at > _URL_FRESH_S:
            try:
                with self._db.transaction() as tx:
                    row = tx.one("leader.holder", key=self._db.tables["ovl_leader"])
                url = None if row is None else str(row["url"])
            except OverlordError:
                url = None
            self._seen_url = (time.monotonic(), url)
        return None if url == self._own_url() else url

    # ---- the thread ----

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with psycopg.connect(self._dsn(), autocommit=True, **_CLIENT) as connection:  # type: ignore[arg-type]
                    connection.execute(_SESSION)
                    self._stand(connection)
            except (psycopg.Error, OverlordError) as error:
                _log.info("No election now: %s", str(error).strip())
            except Exception:
                _log.exception("The election stumbled")
            self._step_down()
            self._closing.wait(_POLL_S / 2)

    def _stand(self, connection: psycopg.Connection[Any]) -> None:
        """Wait for the lock, lead while it is held."""
        key = self._db.tables["ovl_leader"]
        lock = self._db.sql("leader.try_lock")
        while not self._closing.is_set():
            row = connection.execute(lock, {"key": key}).fetchone()
            if row is not None and row[0]:
                break
            if self._closing.wait(_POLL_S):
                return
        if self._closing.is_set() or self._closing.wait(self._delay_s):
            return
        row = connection.execute(self._db.sql("queue.lead"), {"url": self._own_url()}).fetchone()
        assert row is not None
        self.epoch = int(row[0])
        _log.info("leading epoch=%d", self.epoch)
        self._on_elected(self.epoch)
        self._leading.set()
        self._hold(connection)

    def _hold(self, connection: psycopg.Connection[Any]) -> None:
        """Return when the epoch is over; raise when the connection is."""
        query = self._db.sql("queue.leader")
        while not self._closing.is_set():
            row = connection.execute(query).fetchone()
            if row is None or row[0] != self.epoch:
                _log.warning("Another leader has raised the epoch")
                return
            # The socket is readable when the server says good-bye; so a crash is seen at once.
            readable, _, _ = select.select([connection.fileno()], [], [], _POLL_S)
            if readable:
                connection.execute("SELECT 1")

    def _step_down(self) -> None:
        if self.epoch is None:
            return
        _log.warning("not leading any more epoch=%d", self.epoch)
        self._leading.clear()
        self.epoch = None
        self._on_deposed()
