"""The embedded HTTP server: cheroot, with bounded bodies, gzip both ways and a bound on calls that wait.

Why more than cheroot's own classes:

* A body is read whole before the application sees it, in pieces, at most `max_body_bytes` of it after
  gunzip, chunked or not. So no request can make the server hold more, and a kept connection never starts
  its next request in the middle of an unread body.
* Answers go out in pieces; cheroot copies what is left of a piece at every partial send.
* Threads are started when all are busy, up to a bound. A call that waits (for a lock, for more of a log)
  needs a permit of the `WaitingPool`. There are as many threads on top of the normal ones as there are
  permits, so waiting calls never starve the others.
"""

from __future__ import annotations

import logging
import queue
import select
import socket
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import orjson
from cheroot import wsgi
from cheroot.server import HTTPConnection
from cheroot.workers import threadpool

from overlord.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

PIECE = 64 * 1024
REQUEST = "ovl.request"  # environ key: cheroot's request, for what WSGI has no words for
LINGER_MS = 5  # a thread waits so long for the next request of its connection
ENCODED_SLASH = "\uf8fe"  # of private use: no name has it
WORTH_GZIP = 2048  # bytes; below, the header costs more than the body saves


class BodyTooLarge(Exception):
    """The body is over the limit, as sent or after gunzip."""


class BadBody(Exception):
    """The body breaks off, or is not in the encoding it claims."""


class WaitingPool:
    """Permits for calls that wait; without one a call is turned away, never queued.

    Parameters
    ----------
    size : int
        How many calls may wait at the same time.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.closed = threading.Event()
        self._free = threading.Semaphore(size)

    @contextmanager
    def permit(self) -> Iterator[None]:
        """Hold one permit.

        Raises
        ------
        Unavailable
            All are held, or the server is about to stop.
        """
        if self.closed.is_set() or not self._free.acquire(blocking=False):
            raise Unavailable(f"All {self.size} places for waiting calls are taken. Try again later.", retry_after_s=2)
        try:
            yield
        finally:
            self._free.release()

    def close(self) -> None:
        """Tell who waits that the server is about to stop; whoever waits looks at `closed`."""
        self.closed.set()


def client_gone(environ: WSGIEnvironment) -> bool:
    """Whether the client has hung up. Always False under a server that is not ours."""
    request = environ.get(REQUEST)
    if request is None:
        return False
    poll = select.poll()
    poll.register(request.conn.socket, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def can_take_over(environ: WSGIEnvironment) -> bool:
    """Whether `take_over` works: only under a server of ours."""
    return environ.get(REQUEST) is not None


def take_over(environ: WSGIEnvironment) -> socket.socket:
    """A request's connection, for whoever will answer it without a thread of this server.

    To be called when the application's answer is iterated over, so that the server has its status and headers, and
    has sent none of them; it sends nothing from here on. Whoever takes the connection writes the head as well.
    """
    request = environ[REQUEST]
    connection: socket.socket = request.conn.socket.dup()
    request.sent_headers = True
    request.close_connection = True
    request.conn.linger = True  # closing what the server holds does not end the connection
    return connection


# ---------------------------------------------------------------- request bodies


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Pieces of a body in chunked transfer coding, its trailers read and dropped."""
    while True:
        line = stream.readline(256)
        try:
            size = int(line.split(b";", 1)[0].strip(), 16)
        except ValueError:
            raise BadBody("the chunked transfer coding is broken") from None
        if size < 0:
            raise BadBody("the chunked transfer coding is broken")
        if not size:
            break
        yield from _exactly(stream, size)
        if stream.readline(3) != b"\r\n":
            raise BadBody("the chunked transfer coding is broken")
    for _ in range(100):
        if stream.readline(8192) in (b"\r\n", b"\n", b""):
            return
    raise BadBody("too many trailers")


def _exactly(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, PIECE))
        if not piece:
            raise BadBody("the body breaks off")
        size -= len(piece)
        yield piece


def _pieces(environ: WSGIEnvironment) -> Iterator[bytes]:
    """The body as it was sent."""
    if environ.get("wsgi.input_terminated"):
        request = environ.get(REQUEST)
        yield from _chunks(request.conn.rfile if request is not None else environ["wsgi.input"])
    else:
        yield from _exactly(environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0))


def _gunzip(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Decompress, never more than a piece beyond `limit` bytes at a time."""
    inflate, begun = zlib.decompressobj(31), False
    for piece in pieces:
        begun = True
        while piece:
            yield inflate.decompress(piece, limit)
            piece = inflate.unconsumed_tail or (inflate.unused_data if inflate.eof else b"")
            if inflate.eof:
                if piece[:1] != b"\x1f":  # what follows the last member is ignored, as Java does
                    piece = b""
                else:
                    inflate = zlib.decompressobj(31)
    if begun and not inflate.eof:
        raise BadBody("the gzip stream breaks off")


def read_body(environ: WSGIEnvironment, limit: int) -> bytes:
    """The whole request body, gunzipped.

    Raises
    ------
    BodyTooLarge
        More than `limit` bytes, as sent or after gunzip.
    BadBody
        It breaks off or is not what it claims to be.
    """
    if int(environ.get("CONTENT_LENGTH") or 0) > limit:
        raise BodyTooLarge
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    pieces = _pieces(environ)
    if encoding in ("gzip", "x-gzip"):
        pieces = _gunzip(_limited(pieces, limit), PIECE)
    try:
        return b"".join(_limited(pieces, limit))
    except zlib.error:
        raise BadBody("the body is not gzip although Content-Encoding says so") from None


def _limited(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit:
            raise BodyTooLarge
        yield piece


def _discard(environ: WSGIEnvironment, limit: int, seconds: float = 10.0) -> None:
    """Read what a client still sends, so that it comes to read its answer; within reason."""
    deadline, total = time.monotonic() + seconds, 0
    try:
        for piece in _pieces(environ):
            total += len(piece)
            if total > limit or time.monotonic() > deadline:
                return
    except (BadBody, OSError):
        return


# ---------------------------------------------------------------- around the application


def _plain_error(start_response: StartResponse, status: str, message: str) -> list[bytes]:
    body = orjson.dumps({"error": message})
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def bounded_bodies(app: WSGIApplication, limit: int) -> WSGIApplication:
    """Give `app` the whole body as bytes, gunzipped; answer 413 or 400 when there is none to give."""

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            body = read_body(environ, limit)
        except (BodyTooLarge, BadBody) as error:
            _close_after(environ)
            if isinstance(error, BadBody):
                return _plain_error(start_response, "400 Bad Request", f"Cannot read the request body: {error}")
            _discard(environ, 4 * limit)
            return _plain_error(
                start_response,
                "413 Request Entity Too Large",
                f"The request body is larger than [{limit}] bytes, the limit set by ovl.http.maxBodyBytes"
                " (counted after gunzip).",
            )
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("wsgi.input_terminated", None)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("HTTP_CONTENT_ENCODING", None)
        return app(environ, start_response)

    return wrapped


def _close_after(environ: WSGIEnvironment) -> None:
    request = environ.get(REQUEST)
    if request is not None:
        request.close_connection = True


def without_trailing_slash(app: WSGIApplication) -> WSGIApplication:
    """`/a/b/` is `/a/b`."""

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if len(path) > 1 and path.endswith("/"):
            environ["PATH_INFO"] = path.rstrip("/") or "/"
        return app(environ, start_response)

    return wrapped


def cut_paths(app: WSGIApplication) -> WSGIApplication:
    """Decode a path segment by segment: a `%2F` in a name stays apart from the slashes between names.

    What follows a `;` in a segment are parameters, which no route has; they are dropped, as Druid's server does.
    """

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raw = environ.get("REQUEST_URI", "").partition("?")[0]
        if raw.startswith("/") and (";" in raw or "%2" in raw):
            names = (unquote_to_bytes(segment.partition(";")[0]) for segment in raw.split("/"))
            path = b"/".join(name.replace(b"/", ENCODED_SLASH.encode()) for name in names)
            environ["PATH_INFO"] = path.decode("latin-1")
        return app(environ, start_response)

    return wrapped


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` header allows gzip."""
    for part in accept_encoding.lower().split(","):
        name, _, rest = part.strip().partition(";")
        if name.strip() in ("gzip", "x-gzip", "*"):
            quality = rest.replace(" ", "").removeprefix("q=")
            return quality.strip("0.") != "" if rest else True
    return False


# ---------------------------------------------------------------- cheroot


class _Gateway(wsgi.Gateway_10):
    """Hands the request itself to the application, and sends big pieces in small ones."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ[REQUEST] = self.req
        return environ

    def write(self, chunk: bytes) -> None:
        if len(chunk) <= PIECE:
            super().write(chunk)
            return
        for start in range(0, len(chunk), PIECE):
            super().write(chunk[start : start + PIECE])


class _Connection(HTTPConnection):
    """Stays with its thread for a moment after an answer: whoever keeps asking is not handed from thread to thread."""

    def communicate(self) -> bool:
        while super().communicate():  # type: ignore[no-untyped-call]
            if not self._asks_again():
                return True
        return False

    def _asks_again(self) -> bool:
        """Whether the next request is here within `LINGER_MS`; not waited for when others need the thread."""
        threads = self.server.requests
        if not self.server.ready or threads.wanted():
            return False
        if self.rfile.has_data():
            return True
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(LINGER_MS)) and not threads.wanted()


class _Threads(threadpool.ThreadPool):
    """Starts another thread when all are busy, up to `max`; cheroot's own never grows.

    `_spare` is the threads that are free, or on their way to it, less the connections that wait for one.
    """

    if TYPE_CHECKING:  # cheroot's annotations leave these out
        _threads: list[threading.Thread]
        _queue: queue.Queue[Any]

        def _spawn_worker(self) -> threading.Thread: ...

    def __init__(self, server: Any, *, smallest: int, normal: int, largest: int) -> None:
        super().__init__(server, min=smallest, max=largest)
        self._normal = normal
        self._spare = 0
        self._counting = threading.Lock()
        self.get = self._next

    def _next(self) -> Any:
        with self._counting:
            self._spare += 1
        return self._queue.get()

    def start(self) -> None:
        self._threads.extend(self._spawn_worker() for _ in range(int(self.min)))

    def wanted(self) -> bool:
        """Whether no thread is free, and a new one would be one too many for calls that do not wait."""
        return self._spare < 1 and len(self._threads) >= self._normal

    def put(self, obj: Any) -> None:
        with self._counting:
            self._spare -= 1
            if self._spare < 0 and len(self._threads) < self.max:
                self._threads.append(self._spawn_worker())
        self._queue.put(obj)


class _Server(wsgi.Server):
    ConnectionClass = _Connection

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(level, "http: %s", msg, exc_info=traceback)


class HttpServer:
    """A server for one WSGI application, running in threads of this process.

    Parameters
    ----------
    app : WSGI application
    host, port : str, int
        Where to listen; port 0 takes a free one, which `port` then says.
    threads : int
        How many normal calls are worked on at the same time.
    waiting : WaitingPool
        Permits for waiting calls; as many threads more.
    max_body_bytes : int
        Limit of a request body after gunzip.
    drain_s : int
        How long `stop` waits for calls in work.
    """

    def __init__(
        self,
        app: WSGIApplication,
        host: str,
        port: int,
        *,
        threads: int = 16,
        waiting: WaitingPool | None = None,
        max_body_bytes: int = 100 * 1024 * 1024,
        max_header_bytes: int = 64 * 1024,
        idle_timeout_s: int = 60,
        drain_s: int = 30,
    ) -> None:
        self.waiting = waiting or WaitingPool(1)
        self._server = _Server(
            (host, port),
            cut_paths(without_trailing_slash(bounded_bodies(app, max_body_bytes))),
            server_name="overlord",
            request_queue_size=512,
            timeout=idle_timeout_s,
            shutdown_timeout=drain_s,
        )
        self._server.requests = _Threads(
            self._server, smallest=min(4, threads), normal=threads, largest=threads + self.waiting.size
        )
        self._server.gateway = _Gateway
        self._server.max_request_header_size = max_header_bytes
        self._server.keep_alive_conn_limit = 10_000
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on, known once it was started."""
        address: Any = self._server.bind_addr
        return int(address[1])

    def start(self) -> None:
        """Listen and serve. Returns once connections are accepted.

        Raises
        ------
        OSError
            The address is taken or not ours.
        """
        self._server.prepare()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self._server.serve()
        except Exception:
            log.exception("http: the server ended")

    def stop(self) -> None:
        """Accept no more, let calls in work finish (waiting ones are told to), then return."""
        self.waiting.close()
        self._server.stop()
        if self._thread is not None:
            self._thread.join()
