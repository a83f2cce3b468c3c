"""The embedded server with small applications: bodies, gzip, kept connections, waiting calls, draining."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
import zlib
from contextlib import contextmanager

import pytest

from overlord.http import ENCODED_SLASH, HttpServer, WaitingPool, accepts_gzip, client_gone

LIMIT = 100_000


def echo(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


@contextmanager
def serving(app, **options):
    server = HttpServer(app, "127.0.0.1", 0, **{"max_body_bytes": LIMIT, "threads": 4, "drain_s": 5, **options})
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server():
    with serving(echo) as running:
        yield running


@pytest.fixture
def connection(server):
    opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
    yield opened
    opened.close()


def post(connection, body, **headers):
    connection.request("POST", "/x", body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read()


def in_chunks(data, size):
    return (data[start : start + size] for start in range(0, len(data), size))


def test_a_body_comes_back_whole(connection):
    assert post(connection, b"hello") == (200, b"hello")


def test_a_gzipped_body_is_unpacked(connection):
    assert post(connection, gzip.compress(b"hello"), Content_Encoding="gzip") == (200, b"hello")


def test_all_members_of_a_gzipped_body_are_unpacked(connection):
    assert post(connection, gzip.compress(b"a" * 70_000) + gzip.compress(b"b"), Content_Encoding="gzip") == (
        200,
        b"a" * 70_000 + b"b",
    )


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"hello", mtime=0)[:-5]])
def test_a_body_that_is_not_gzip_is_refused(connection, body):
    status, text = post(connection, body, Content_Encoding="gzip")
    assert status == 400 and b"gzip" in text


def test_a_chunked_body_comes_back_whole_and_the_connection_goes_on(connection):
    data = bytes(range(256)) * 300
    connection.request("POST", "/x", in_chunks(data, 1000), encode_chunked=True)
    assert connection.getresponse().read() == data
    assert post(connection, b"next") == (200, b"next")


def test_a_body_over_the_limit_is_413_and_says_so(server):
    for body, headers in (
        (b"x" * (LIMIT + 1), {}),
        (gzip.compress(b"x" * (LIMIT + 1)), {"Content-Encoding": "gzip"}),
        (in_chunks(b"x" * (LIMIT + 1), 5000), {"Transfer-Encoding": "chunked"}),
        (gzip.compress(b"x" * 300_000_000), {"Content-Encoding": "gzip"}),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
        connection.request("POST", "/x", body, headers, encode_chunked="Transfer-Encoding" in headers)
        answer = connection.getresponse()
        assert answer.status == 413 and b"ovl.http.maxBodyBytes" in answer.read()
        connection.close()


def test_a_body_of_exactly_the_limit_is_taken(connection):
    assert post(connection, b"x" * LIMIT)[0] == 200


@pytest.mark.parametrize("chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"-5\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n"])
def test_broken_chunks_are_refused(server, chunks):
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as raw:
        raw.sendall(b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert b" 400 " in raw.recv(1000).split(b"\r\n")[0]


def test_a_big_answer_arrives_whole():
    data = zlib.compress(bytes(range(256)) * 100) * 50_000

    def big(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(data)))])
        return [data]

    with serving(big) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
        connection.request("GET", "/")
        assert connection.getresponse().read() == data
        connection.close()


@pytest.mark.parametrize(
    ("header", "wanted"),
    [("gzip", True), ("", False), ("identity", False), ("deflate, GZIP;q=0.5", True), ("gzip;q=0", False), ("*", True)],
)
def test_accept_encoding(header, wanted):
    assert accepts_gzip(header) is wanted


def waiting_app(pool, begun, release):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            with pool.permit():
                begun.release()
                release.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    return app


def test_health_answers_at_once_while_forty_calls_wait():
    pool, begun, release = WaitingPool(40), threading.Semaphore(0), threading.Event()
    with serving(waiting_app(pool, begun, release), waiting=pool, threads=4) as server:

        def get(path):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
            connection.request("GET", path)
            answer = connection.getresponse().read()
            connection.close()
            return answer

        waiters = [threading.Thread(target=get, args=("/wait",)) for _ in range(40)]
        for waiter in waiters:
            waiter.start()
        for _ in waiters:
            assert begun.acquire(timeout=90)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            assert get("/health") == b"ok"
            times.append(time.perf_counter() - start)
        release.set()
        for waiter in waiters:
            waiter.join()
    assert sorted(times)[2] < 0.05


def test_a_waiting_call_without_a_permit_is_turned_away():
    from overlord.errors import Unavailable

    pool = WaitingPool(1)
    with pool.permit(), pytest.raises(Unavailable) as refused, pool.permit():
        pass
    assert refused.value.status == 503 and "Retry-After" in refused.value.headers
    with pool.permit():
        pass


def test_a_call_in_work_is_finished_when_the_server_stops():
    begun = threading.Event()

    def slow(environ, start_response):
        begun.set()
        time.sleep(0.5)
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]

    answers = []
    with serving(slow) as server:
        port = server.port

        def get():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
            connection.request("GET", "/")
            answers.append(connection.getresponse().read())

        caller = threading.Thread(target=get)
        caller.start()
        assert begun.wait(5)
    caller.join()
    assert answers == [b"done"]
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


def test_a_client_that_hangs_up_is_noticed():
    seen = threading.Event()

    def patient(environ, start_response):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not client_gone(environ):
            time.sleep(0.02)
        if client_gone(environ):
            seen.set()
        start_response("200 OK", [("Content-Length", "0")])
        return []

    with serving(patient) as server:
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.2)
        raw.close()
        assert seen.wait(5)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/a%2Fb/c", f"/a{ENCODED_SLASH}b/c"),
        ("/a%252Fb", "/a%2Fb"),
        ("/a;x=1/b;y/?q=;", "/a/b"),
        ("/a%3Bx/b", "/a;x/b"),
        ("/%C3%A9%20%2f/", f"/é {ENCODED_SLASH}"),
    ],
)
def test_names_in_a_path_are_cut_before_they_are_decoded(path, seen):
    def app(environ, start_response):
        body = environ["PATH_INFO"].encode("latin-1")
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    with serving(app) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", path)
        assert connection.getresponse().read().decode() == seen
        connection.close()


def test_a_connection_that_keeps_asking_is_served_beside_more_of_them_than_threads():
    with serving(echo, threads=2) as server:
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(6)]
        for number in range(60):
            connection = connections[number % 6] if number < 30 else connections[0]
            connection.request("POST", "/", str(number))
            assert connection.getresponse().read() == str(number).encode()
        for connection in connections:
            connection.close()
