"""Server-sent events: one thread for all listeners.

A listener's connection is taken from the HTTP server and written to from here without blocking, so that hundreds of
them keep no request thread. One that reads too slowly is dropped; it comes back with `Last-Event-ID` and misses
nothing.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from overlord.errors import Unavailable
from overlord.notify.describe import describe
from overlord.notify.tail import Tail
from overlord.store import events as store

if TYPE_CHECKING:
    from overlord.services import Services

_log = logging.getLogger(__name__)

Json = dict[str, Any]

_POLL_S = 0.25
_PAGE = 500
_RECENT = 2000
_ENOUGH = 256 * 1024  # bytes that wait for a listener before more is read for it
_TOO_MUCH = 4 * 1024 * 1024
_SIGN_OF_LIFE_S = 15.0
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-store\r\n"
    b"Connection: close\r\nX-Accel-Buffering: no\r\n\r\nretry: 2000\n\n"
)


class Listener:
    """One connection.

    Parameters
    ----------
    connection : socket
    wanted : Mapping
        Keys of an event to the values that are let through.
    after : int or None
        The event it has seen last; None for the newest.
    """

    def __init__(self, connection: socket.socket, wanted: Mapping[str, frozenset[str]], after: int | None) -> None:
        self.connection = connection
        self.wanted = wanted
        self.after = after
        self.waiting = bytearray(HEAD)

    def feed(self, events: Iterable[Json]) -> None:
        """Take events into account: those it wants wait to be sent."""
        for event in events:
            self.after = event["id"]
            if all(str(event.get(key)) in values for key, values in self.wanted.items()):
                self.waiting += b"id: %d\nevent: %s\ndata: %s\n\n" % (
                    event["id"],
                    str(event["kind"]).encode(),
                    orjson.dumps(event),
                )

    def send(self) -> bool:
        """Send what the connection takes; False when the listener is gone, or hopelessly behind."""
        try:
            while self.waiting:
                sent = self.connection.send(memoryview(self.waiting)[: 64 * 1024])
                del self.waiting[:sent]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return len(self.waiting) < _TOO_MUCH


class EventHub:
    """All listeners.

    Parameters
    ----------
    services : callable
        The parts of this server.
    """

    def __init__(self, services: Callable[[], Services]) -> None:
        self._services = services
        self._guard = threading.Lock()
        self._arriving: list[Listener] = []
        self._count = 0
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def listeners(self) -> int:
        """How many there are."""
        return self._count

    def start(self) -> None:
        """Take listeners from here on; the thread starts with the first."""
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Send everybody away."""
        self._stopping.set()
        thread = self._thread
        if thread is not None:
            thread.join(5)

    def place(self) -> None:
        """Whether there is one more place.

        Raises
        ------
        Unavailable
            There is none, or the server is about to stop.
        """
        most = self._services().settings["ovl.events.maxListeners"]
        if self._stopping.is_set() or self._count >= most:
            raise Unavailable(f"All {most} places for listeners are taken. Try again later.", retry_after_s=5)

    def add(self, listener: Listener) -> None:
        """Take over a connection."""
        listener.connection.setblocking(False)
        with self._guard:
            self._count += 1
            self._arriving.append(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="events", daemon=True)
                self._thread.start()

    # ---- the thread ----

    def _run(self, stopping: threading.Event) -> None:
        _Round(self, self._services(), stopping).run()

    def arrived(self) -> list[Listener]:
        """Those who have come since it was asked last."""
        with self._guard:
            found, self._arriving = self._arriving, []
            return found

    def left(self, count: int) -> bool:
        """Note that some have gone; True when nobody is left and the thread has to end."""
        with self._guard:
            self._count -= count
            if self._count or self._arriving:
                return False
            self._thread = None
            return True


class _Round:
    """The work of the thread, for as long as anybody listens."""

    def __init__(self, hub: EventHub, services: Services, stopping: threading.Event) -> None:
        self._hub = hub
        self._services = services
        self._stopping = stopping
        self._selector = selectors.DefaultSelector()
        self._listeners: list[Listener] = []
        self._recent: deque[Json] = deque(maxlen=_RECENT)
        self._tail: Tail | None = None
        self._alive_at = time.monotonic()

    def run(self) -> None:
        while True:
            gone = [] if not self._stopping.is_set() else list(self._listeners)
            gone += self._hang_ups()
            for listener in self._hub.arrived():
                self._listeners.append(listener)
                self._selector.register(listener.connection, selectors.EVENT_READ, listener)
            try:
                self._read()
            except Unavailable:
                time.sleep(_POLL_S)
            except Exception:
                _log.exception("events stumbled")
                gone = list(self._listeners)
            gone += [each for each in self._listeners if each not in gone and not each.send()]
            if self._drop(gone):
                return

    def _hang_ups(self) -> list[Listener]:
        """Wait a moment; who hung up meanwhile. What listeners send is thrown away."""
        if not self._listeners:
            return []
        gone = []
        for key, _ in self._selector.select(_POLL_S):
            listener: Listener = key.data
            try:
                if not listener.connection.recv(4096):
                    gone.append(listener)
            except BlockingIOError:
                pass
            except OSError:
                gone.append(listener)
        return gone

    def _read(self) -> None:
        """Give every listener what is new to it."""
        with self._services.db.transaction() as tx:
            if self._tail is None:
                self._tail = Tail(store.last(tx))
            while rows := self._tail.read(tx, _PAGE):
                self._recent.extend(describe(tx, self._services.logs, rows))
                if len(rows) < _PAGE:
                    break
            at = self._tail.at
            for listener in self._listeners:
                if listener.after is None:
                    listener.after = at
                if listener.after < at and len(listener.waiting) < _ENOUGH:
                    if self._recent and listener.after >= self._recent[0]["id"] - 1:
                        listener.feed(each for each in list(self._recent) if each["id"] > (listener.after or 0))
                    else:
                        rows = [row for row in store.after(tx, listener.after, _PAGE) if row["id"] <= at]
                        listener.feed(describe(tx, self._services.logs, rows))
                        listener.after = listener.after if rows else at
        if time.monotonic() - self._alive_at > _SIGN_OF_LIFE_S:
            self._alive_at = time.monotonic()
            for listener in self._listeners:
                listener.waiting += b":\n\n"

    def _drop(self, gone: list[Listener]) -> bool:
        """Part with these; True when nobody is left."""
        leaving = {id(each): each for each in gone}
        for listener in leaving.values():
            self._listeners.remove(listener)
            self._selector.unregister(listener.connection)
            with contextlib.suppress(OSError):
                listener.connection.shutdown(socket.SHUT_RDWR)
            listener.connection.close()
        if not leaving or not self._hub.left(len(leaving)):
            return False
        self._selector.close()
        return True
