"""A Postgres of our own, so that nobody has to set one up.

A folder holds everything::

    owner.lock      flock of the process that runs the server; others with the same folder are guests of it
    access.json     port and password, mode 0600: the connection string stays the same
    postgres.log    what the server says
    data/           Postgres's own

The server is a child of one thread of ours, which starts it again when it dies, and dies with the process: the
kernel then sends SIGINT, a fast shutdown. After a SIGKILL of the process, the server may still be about to stop when
the next process starts; `_wait_for_remains` sees to that by looking for processes that work in `data/` (Postgres's
do, all of them), since a pid in `postmaster.pid` may be a stranger's by now, or a zombie's.

A guest takes over when the owner goes away. Loopback TCP with a password, no socket: paths may be long, and JDBC
can connect.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from overlord.errors import OverlordError, Unavailable
from overlord.store.programs import Programs, Way, choose_way, find
from overlord.store.queries import statements

_log = logging.getLogger(__name__)

HOST = "127.0.0.1"
USER = DATABASE = "overlord"

_START_S = 300.0  # recovery after a crash may take a while
_REMAINS_S = 30.0  # a fast shutdown writes a checkpoint
_STOP_S = 30.0
_TICK_S = 0.02
_GUEST_TICK_S = 0.5
_BACK_OFF_S = (0.1, 5.0)
_LOG_BYTES = 10 * 1024 * 1024
_LOWEST_PORT, _PORTS_TRIED = 15000, 200
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class EmbeddedPostgres:
    """The server of one data folder.

    Parameters
    ----------
    data_dir : Path
        Its subfolder `postgres` is used.
    options : Mapping of str to str, optional
        Server parameters on top of ours (`fsync` stays on unless a test says otherwise).
    """

    def __init__(self, data_dir: Path, *, options: Mapping[str, str] | None = None) -> None:
        self._folder = data_dir.resolve() / "postgres"
        self._data = self._folder / "data"
        self._options = dict(options or {})
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._access: dict[str, Any] = {}

    # ---- for everybody ----

    def start(self) -> str:
        """Start the server, or find the one that another process runs on this folder; returns the DSN.

        Raises
        ------
        OverlordError
            It cannot be started; says why.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stopping.clear()
        self._ready.clear()
        self._fault = None
        self._thread = threading.Thread(target=self._supervise, name="postgres", daemon=True)
        self._thread.start()
        self._ready.wait()
        self._raise_fault()
        return self.dsn

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    @property
    def dsn(self) -> str:
        """Connection string; the port changes only if somebody took it while the server was down."""
        if not self.owner:
            self._access = self._read_access() or self._access
        access = self._access
        return f"postgresql://{USER}:{quote(access['password'])}@{HOST}:{access['port']}/{DATABASE}"

    @property
    def owner(self) -> bool:
        """Whether this process runs the server; else it is a guest."""
        return self._lock is not None

    @property
    def pid(self) -> int | None:
        """Process id of the server, when this process runs it."""
        return self._process.pid if self._process is not None else None

    def stop(self) -> None:
        """Stop the server if it is ours, in order; connections are closed by it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # ---- the thread; the server is its child, and ends with it ----

    def _supervise(self) -> None:
        try:
            if self._own_or_visit():
                self._keep_running()
        except BaseException as error:
            if self._ready.is_set():
                _log.exception("The embedded Postgres is given up")
            self._fault = error
        finally:
            self._end()
            self._ready.set()

    def _own_or_visit(self) -> bool:
        """Become the owner; until then a guest. False when we are to stop before that."""
        visiting = False
        while not self._stopping.is_set():
            self._lock = _flock(self._folder / "owner.lock")
            if self._lock is not None:
                if visiting:
                    _log.warning("the owner of the embedded Postgres is gone; taking it over")
                self._launch()
                return True
            if not visiting and self._answers(self._read_access()):
                visiting = True
                self._ready.set()
            self._stopping.wait(_GUEST_TICK_S if visiting else _TICK_S)
        return False

    def _keep_running(self) -> None:
        least, most = _BACK_OFF_S
        pause = least
        while not self._stopping.is_set():
            process = self._process
            assert process is not None
            began = time.monotonic()
            while process.poll() is None and not self._stopping.wait(_TICK_S * 5):
                pass
            if self._stopping.is_set():
                return
            _log.error("Postgres ended by itself status=%d; starting it again. %s", process.returncode, self._tail())
            pause = least if time.monotonic() - began > 60 else min(pause * 2, most)
            if self._stopping.wait(pause):
                return
            self._relaunch()

    def _relaunch(self) -> None:
        try:
            self._launch()
        except OverlordError as error:  # a full disk, say: tried again until it works, users see 503
            _log.error("Postgres does not start: %s", error.message)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            for number, wait_s in ((signal.SIGINT, _STOP_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                process.send_signal(number)
                try:
                    process.wait(wait_s)
                    break
                except subprocess.TimeoutExpired:
                    _log.warning("Postgres does not stop by %s", number.name)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # ---- starting ----

    def _launch(self) -> None:
        """Start the server and wait until it answers."""
        _wait_for_remains(self._data, self._stopping)
        programs = find(self._data_version())
        way, programs = choose_way(programs, self._folder)
        self._access = self._read_access() or {"password": secrets.token_urlsafe(24), "port": _free_port()}
        if self._data_version() is None:
            self._make_data(way, programs)
        _give_to(self._data, way.uid)
        if not _is_free(self._access["port"]):
            self._access["port"] = _free_port()
        self._write_access()
        self._turn_log()
        with (self._folder / "postgres.log").open("ab") as log:
            command = way.command(self._data, programs.path("postgres"), *self._parameters())
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_it_answers()
        self._ready.set()
        _log.info("postgres runs pid=%d port=%d way=%s", self._process.pid, self._access["port"], way.name)

    def _parameters(self) -> list[str]:
        parameters = {
            "listen_addresses": HOST,
            "port": str(self._access["port"]),
            "unix_socket_directories": "",
            "logging_collector": "off",
            "log_timezone": "UTC",
            "timezone": "UTC",
        } | self._options
        return ["-D", str(self._data), *(f"--{name}={value}" for name, value in parameters.items())]

    def _make_data(self, way: Way, programs: Programs) -> None:
        """`initdb` into a draft that becomes `data/` only when it is whole."""
        draft = self._folder / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        secret = draft / "secret"
        secret.touch(mode=0o600)
        secret.write_text(self._access["password"], encoding="ascii")
        made = draft / "made"
        made.mkdir(mode=0o700)
        _give_to(draft, way.uid)
        arguments = ["-D", str(made), "-U", USER, f"--pwfile={secret}", "-A", "scram-sha-256", "-E", "UTF8"]
        command = way.command(draft, programs.path("initdb"), *arguments, "--locale=C", "--no-instructions")
        run = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if run.returncode != 0:
            raise OverlordError(f"Postgres's data cannot be made in {draft}: {run.stderr.strip()}")
        if self._data.exists():  # without PG_VERSION it holds no data, but what does it hold?
            raise OverlordError(f"{self._data} exists, but is no data folder of Postgres", hint="move it away")
        made.rename(self._data)
        shutil.rmtree(draft)

    def _wait_until_it_answers(self) -> None:
        process = self._process
        assert process is not None
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and not self._stopping.is_set():
            if process.poll() is not None:
                raise OverlordError(f"Postgres ended with status {process.returncode}: {self._tail()}")
            if self._answers(self._access):
                return
            time.sleep(_TICK_S)
        raise Unavailable(f"Postgres does not answer: {self._tail()}")

    def _answers(self, access: Mapping[str, Any] | None) -> bool:
        """Whether the server takes connections; makes our database if it lacks."""
        if access is None:
            return False
        server = {"host": HOST, "port": access["port"], "user": USER, "password": access["password"]}
        try:
            with psycopg.connect(dbname="postgres", autocommit=True, connect_timeout=5, **server) as conn:
                sql = statements("embedded")
                if conn.execute(sql["database_exists"].encode(), {"name": DATABASE}).fetchone() is None:
                    conn.execute(sql["make_database"].encode())
            return True
        except psycopg.OperationalError:
            return False

    # ---- files ----

    def _data_version(self) -> int | None:
        try:
            return int((self._data / "PG_VERSION").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def _read_access(self) -> dict[str, Any] | None:
        try:
            access = json.loads((self._folder / "access.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return {"port": int(access["port"]), "password": str(access["password"])}

    def _write_access(self) -> None:
        draft = self._folder / "access.json.draft"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(self._access, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / "access.json")

    def _turn_log(self) -> None:
        log = self._folder / "postgres.log"
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(self._folder / "postgres.log.1")

    def _tail(self) -> str:
        try:
            with (self._folder / "postgres.log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return "it has said nothing"
        return "; ".join(lines[-5:])


def _flock(path: Path) -> int | None:
    """An exclusive lock on a file, as its descriptor; None when somebody has it. It goes with the process."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _wait_for_remains(data: Path, stopping: threading.Event) -> None:
    """Return when no process works in `data` any more; then `postmaster.pid` means nothing and goes.

    Those that do not stop within their time are ended: first as Postgres likes it, at last by SIGKILL.
    """
    for number, wait_s in ((signal.SIGINT, _REMAINS_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + wait_s
        told: set[int] = set()
        while remains := _working_in(data):
            if stopping.is_set():
                raise Unavailable("asked to stop")
            if time.monotonic() > deadline:
                break
            for pid in remains - told:
                _signal(pid, number)
            told |= remains
            stopping.wait(_TICK_S)
        else:
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
    raise OverlordError(f"A Postgres that runs on {data} cannot be stopped: pids {sorted(_working_in(data))}")


def _working_in(folder: Path) -> set[int]:
    """Postgres's processes whose current folder this is; a zombie has none."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or not ours to look at
            if (entry / "cwd").readlink() == folder and (entry / "comm").read_bytes() == b"postgres\n":
                found.add(int(entry.name))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _give_to(folder: Path, uid: int) -> None:
    """Make a user the owner of a folder of ours and all in it; only root ever has to."""
    if not folder.exists() or folder.stat().st_uid == uid:
        return
    if os.geteuid() != 0:
        raise OverlordError(f"{folder} belongs to user {folder.stat().st_uid}, not to us ({os.geteuid()})")
    gid = 0 if uid == 0 else uid
    for at, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(Path(at, name), uid, gid, follow_symlinks=False)
    os.chown(folder, uid, gid)  # the last: if we die in between, the next start does it all again


def _free_port() -> int:
    """A port nobody listens on, below those that the kernel hands out, so that it is still free after a restart."""
    try:
        highest = int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        highest = 32768
    if highest - _LOWEST_PORT > _PORTS_TRIED:
        for _ in range(_PORTS_TRIED):
            port = random.randrange(_LOWEST_PORT, highest)
            if _is_free(port):
                return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
