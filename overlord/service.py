"""One server: its Postgres, its workers, its queue and its HTTP, started and stopped in order.

Stopping. A server that is asked to stop takes no more tasks and starts none, and gives those that run `ovl.stop.grace`
to end. What still runs then is left alone: its worker keeps asking for an Overlord, and the next one that starts on the
same folder, or database, adopts it. WAITING and PENDING tasks are rows and simply go on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import overlord.runners.local  # noqa: F401 - files itself under its name
from overlord.app import create_server
from overlord.duties.schedule import Duties
from overlord.duties.schedule import check as check_duties
from overlord.leader import Leader
from overlord.logs import TaskLogs, open_store
from overlord.model.host import ProcessIdentity
from overlord.model.task import Location
from overlord.notify import EventHub, Webhooks
from overlord.queue import TaskQueue
from overlord.runners.base import Runner, runners
from overlord.services import Services
from overlord.signals import Signals
from overlord.store.db import Database
from overlord.store.embedded import EmbeddedPostgres
from overlord.store.migrate import migrate
from overlord.supervisors.manager import SupervisorManager
from workers.files import read_json, write_json

if TYPE_CHECKING:
    from overlord.http import HttpServer
    from overlord.settings import Settings

_log = logging.getLogger(__name__)

_EVERYWHERE = ("0.0.0.0", "::", "")


class OverlordServer:
    """A server of this process.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.data_dir = Path(settings["ovl.data.dir"])
        self._postgres: EmbeddedPostgres | None = None
        self._runner: Runner | None = None
        self._db: Database | None = None
        self._leader: Leader | None = None
        self._http: HttpServer | None = None
        self._services: Services | None = None
        self._webhooks = Webhooks(lambda: self.services)
        self._asked_to_stop = threading.Event()
        self._signals_seen = 0

    @property
    def services(self) -> Services:
        """The parts, once started."""
        assert self._services is not None
        return self._services

    @property
    def leader(self) -> Leader:
        """The election, once started."""
        assert self._leader is not None
        return self._leader

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        assert self._http is not None
        return self._http.port

    @property
    def url(self) -> str:
        """Where others reach it."""
        where = self._location()
        return f"http://{where.host}:{where.port}"

    # ---- start and stop ----

    def start(self) -> None:
        """Start everything; returns when HTTP is answered. Leading may come a moment later.

        Raises
        ------
        OverlordError
            The database cannot be reached or started.
        OSError
            The address is taken, or a folder cannot be made.
        """
        try:
            self._start()
        except BaseException:
            self.stop(grace_s=0)
            raise

    def _start(self) -> None:
        began = time.monotonic()
        settings = self.settings
        check_duties(settings)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._runner = runners[settings["druid.indexer.runner.type"]](settings, self._location, self._local_url)
        self._runner.open()  # its imports take their time while Postgres starts
        db = self._open_database()
        signals = Signals()
        logs = TaskLogs(open_store(settings), self._runner)
        queue = TaskQueue(settings=settings, db=db, signals=signals, runner=self._runner, logs=logs)
        self._leader = Leader(
            db=db,
            dsn=self.dsn,
            url=lambda: self.url,
            on_elected=self._lead,
            on_deposed=self._follow,
            delay_s=settings["druid.indexer.queue.startDelay"] / 1000,
        )
        self._services = Services(
            settings=settings,
            db=db,
            queue=queue,
            leader=self._leader,
            signals=signals,
            logs=logs,
            runner=self._runner,
            supervisors=SupervisorManager(lambda: self.services),
            events=EventHub(lambda: self.services),
            duties=Duties(lambda: self.services),
        )
        self._http = create_server(self._services)
        self._http.start()
        self._write_server_file()
        self._leader.start()
        _log.info("listening url=%s after=%.2fs", self.url, time.monotonic() - began)

    def _lead(self, epoch: int) -> None:
        self.services.queue.start(epoch)
        self.services.supervisors.start(epoch)
        self.services.events.start()
        self._webhooks.start(epoch)
        self.services.duties.start(epoch)

    def _follow(self) -> None:
        self.services.duties.stop()
        self._webhooks.stop()
        self.services.events.stop()
        self.services.supervisors.stop()
        self.services.queue.stop()

    def _open_database(self) -> Database:
        settings = self.settings
        if settings.dsn() is None:
            self._postgres = EmbeddedPostgres(self.data_dir)
            self._postgres.start()
        self._db = Database(
            self.dsn,
            base=settings["druid.metadata.storage.tables.base"],
            tables=settings.tables(),
            max_size=settings["ovl.metadata.poolSize"],
        )
        migrate(self._db)
        return self._db

    def stop(self, grace_s: float | None = None) -> None:
        """Stop everything in order; running tasks get `grace_s` (`ovl.stop.grace`) to end, and then live on alone."""
        self._asked_to_stop.set()
        if grace_s is None:
            grace_s = self.settings["ovl.stop.grace"] / 1000
        if self._services is not None:
            self._drain(grace_s)
        if self._http is not None:
            self._http.stop()
        if self._leader is not None:
            self._leader.stop()
        if self._runner is not None:
            self._runner.close()
        if self._db is not None:
            self._db.close()
        if self._postgres is not None:
            self._postgres.stop()
        self._remove_server_file()
        self._http = self._leader = self._runner = self._db = self._postgres = self._services = None

    def _drain(self, grace_s: float) -> None:
        """Wait for running tasks to end; a second signal ends the wait."""
        services = self.services
        services.queue.drain()
        deadline = time.monotonic() + grace_s
        while services.runner.used() and time.monotonic() < deadline and self._signals_seen < 2:
            time.sleep(0.05)
        if left := services.runner.used():
            _log.warning("%d tasks still run; the next Overlord adopts them", left)

    def wait(self) -> None:
        """Return when SIGTERM or SIGINT asks to stop, or another thread does; from the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_signal)
        while not self._asked_to_stop.wait(1.0):
            pass
        _log.info("stopping")

    def ask_to_stop(self) -> None:
        """Let `wait` return."""
        self._asked_to_stop.set()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals_seen += 1
        # Not Event.set() right here: this may have interrupted the main thread inside the event's own lock.
        threading.Thread(target=self._asked_to_stop.set, daemon=True).start()

    # ---- addresses ----

    def dsn(self) -> str:
        """Connection string of now; the embedded one's may change."""
        if self._postgres is not None:
            return self._postgres.dsn
        dsn = self.settings.dsn()
        assert dsn is not None
        return dsn

    def _location(self) -> Location:
        listens = self.settings["ovl.http.port"]
        announced = self.settings["druid.plaintextPort"]
        given = listens != 0 and announced != 0 and "druid.plaintextPort" in self.settings.given
        port = announced if given else (self._http.port if self._http is not None else listens)
        return Location(host=self.settings["druid.host"], port=port)

    def _local_url(self) -> str:
        host = self.settings["ovl.http.host"]
        return f"http://{'127.0.0.1' if host in _EVERYWHERE else host}:{self.port}"

    # ---- for `overlord doctor` ----

    def _server_file(self) -> Path:
        return self.data_dir / "server.json"

    def _write_server_file(self) -> None:
        other = read_json(self._server_file())
        if isinstance(other, dict) and _is_running(other):
            return  # the folder's first server; this one is its guest
        identity = ProcessIdentity.of(os.getpid())
        assert identity is not None
        write_json(self._server_file(), {"url": self.url, "dsn": self.dsn(), **identity.to_json()})

    def _remove_server_file(self) -> None:
        known = read_json(self._server_file())
        if isinstance(known, dict) and known.get("pid") == os.getpid():
            with contextlib.suppress(OSError):
                self._server_file().unlink()


def _is_running(server: dict[str, Any]) -> bool:
    try:
        identity = ProcessIdentity.from_json(server)
    except (KeyError, TypeError, ValueError):
        return False
    return identity.pid != os.getpid() and identity.is_alive()
