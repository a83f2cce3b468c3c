"""Bodies, parameters, answers and errors, on an application of a few routes."""

from __future__ import annotations

import gzip
import threading
from types import SimpleNamespace
from urllib.parse import quote

import orjson
import pytest
from flask import Flask

from overlord.api import leader, status, wire
from overlord.api.flow import flowing
from overlord.errors import BadRequest, BareText, DruidException, NoBody, Unavailable
from overlord.http import ENCODED_SLASH, PIECE

V = "/druid/indexer/v1"


ended = threading.Event()


def flow(size, fails):
    try:
        for number in range(size):
            if number == fails:
                raise BadRequest("in the middle")
            yield b"x" * 1000
    finally:
        ended.set()


def make_app(is_leader=True, url="http://other:8090"):
    app = Flask("test", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.extensions["services"] = SimpleNamespace(
        leader=SimpleNamespace(is_leader=lambda: is_leader, url=lambda: url),
        settings=SimpleNamespace(public_properties=lambda: {"druid.plaintextPort": "8090"}),
    )
    wire.install(app)
    app.before_request(leader.to_leader)
    app.register_blueprint(leader.bp)
    app.register_blueprint(status.bp)

    @app.post(f"{V}/echo")
    def echo():
        return wire.answer(wire.json_body())

    @app.get(f"{V}/numbers")
    def numbers():
        return wire.answer([wire.int_param("max"), wire.int_param("offset", largest=wire.LONG_MAX)])

    @app.get(f"{V}/named/<name:text>")
    def named(text):
        return wire.answer(text)

    @app.get(f"{V}/big/<int:size>")
    def big(size):
        return wire.spooled(b"x" * 1000 for _ in range(size))

    @app.get(f"{V}/flows/<int:size>")
    def flows(size):
        return flowing(flow(size, int(wire.request.args.get("fails", size))))

    @app.get(f"{V}/fails")
    def fails():
        raise {
            "plain": BareText("bare", status=404),
            "raw": BareText("bare", content_type=wire.JSON),
            "none": NoBody(415),
            "away": Unavailable("the database is away", retry_after_s=3),
            "long": DruidException("Task[x] already exists", code="entryAlreadyExists"),
            "where": BadRequest("bad", where="spec.x", hint="try\nthis"),
            "crash": ZeroDivisionError("oh"),
        }[wire.request.args["how"]]

    return app


@pytest.fixture
def client():
    return make_app().test_client()


def test_an_unknown_path_is_an_empty_404_without_content_type(client):
    answer = client.get(f"{V}/nope")
    assert (answer.status_code, answer.data, answer.content_type) == (404, b"", None)


@pytest.mark.parametrize(("path", "allowed"), [("numbers", "GET"), ("nope", "")])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE"])
def test_a_method_that_druid_does_not_know_is_an_empty_405_whatever_the_path(client, method, path, allowed):
    answer = client.open(f"{V}/{path}", method=method)
    assert (answer.status_code, answer.data) == (405, b"")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["", "/datasources", "/compaction/"])
def test_the_root_of_a_group_of_routes_allows_no_method(client, path):
    answer = client.get(V + path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_another_method_is_an_empty_405_that_says_which(client, method):
    answer = client.open(f"{V}/numbers", method=method)
    assert (answer.status_code, answer.data) == (405, b"")
    assert answer.headers["Allow"] == "HEAD,GET,OPTIONS"


def test_a_post_route_allows_post_and_options(client):
    assert client.get(f"{V}/echo").headers["Allow"] == "POST,OPTIONS"


@pytest.mark.parametrize(
    ("content_type", "wanted"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("text/plain", 415),
        (None, 415),
        ("garbage", 400),
    ],
)
def test_only_json_is_taken(client, content_type, wanted):
    assert client.post(f"{V}/echo", data=b"[1]", content_type=content_type).status_code == wanted


@pytest.mark.parametrize("body", [b"hello", b'{"a":', b"[1,]", b'"\xff"', b"NaN", b"[" * 5000])
def test_what_is_not_json_is_400_and_says_so(client, body):
    answer = client.post(f"{V}/echo", data=body, content_type="application/json")
    assert answer.status_code == 400 and "JSON" in answer.json["error"]


@pytest.mark.parametrize(
    "body", [b'{"a": [1]} trailing', b' {"a":[1]}{"b":2}', b'\xef\xbb\xbf{"a":[1]}]', b'{"a":[1]} \xc3\xa9']
)
def test_what_follows_the_first_value_is_not_looked_at(client, body):
    assert client.post(f"{V}/echo", data=body, content_type="application/json").json == {"a": [1]}


@pytest.mark.parametrize("body", [b"", b"  ", b"null"])
def test_no_body_is_null(client, body):
    assert client.post(f"{V}/echo", data=body, content_type="application/json").data == b"null"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", [None, None]),
        ("max=&offset=", [None, None]),
        ("max=7&max=8", [7, None]),
        ("max=%2B5&offset=-3", [5, -3]),
        ("offset=9999999999", [None, 9999999999]),
    ],
)
def test_integer_parameters(client, query, wanted):
    assert client.get(f"{V}/numbers?{query}").json == wanted


@pytest.mark.parametrize("text", ["abc", "1.5", "2147483648", "1e3", "%2B", "99999999999999999999999999"])
def test_what_is_no_integer_is_400(client, text):
    answer = client.get(f"{V}/numbers?max={text}")
    assert answer.status_code == 400 and "max" in answer.json["error"]


def test_a_slash_in_a_name_may_be_encoded():
    client = make_app().test_client()
    assert client.get(f"{V}/named/a{quote(ENCODED_SLASH)}b").json == "a/b"
    assert client.get(f"{V}/named/a%252Fb").json == "a%2Fb"
    assert client.get(f"{V}/named/a%00b").json == "a\ufffdb"  # Postgres has no NUL: a name that nothing has


@pytest.mark.parametrize(
    ("how", "status_code", "body", "content_type"),
    [
        ("plain", 404, b"bare", "text/plain"),
        ("raw", 400, b"bare", "application/json"),
        ("none", 415, b"", None),
        ("away", 503, b'{"error":"the database is away"}', "application/json"),
    ],
)
def test_shapes_of_errors(client, how, status_code, body, content_type):
    answer = client.get(f"{V}/fails?how={how}")
    assert (answer.status_code, answer.data) == (status_code, body)
    assert (answer.content_type or "").partition(";")[0] == (content_type or "")


def test_the_long_shape(client):
    assert client.get(f"{V}/fails?how=long").json == {
        "error": "druidException",
        "errorCode": "entryAlreadyExists",
        "persona": "USER",
        "category": "INVALID_INPUT",
        "errorMessage": "Task[x] already exists",
        "context": {},
    }


def test_where_and_hint_stand_in_headers(client):
    answer = client.get(f"{V}/fails?how=where")
    assert answer.json == {"error": "bad"}
    assert (answer.headers["X-Ovl-Where"], answer.headers["X-Ovl-Hint"]) == ("spec.x", "try?this")


def test_retry_after(client):
    assert client.get(f"{V}/fails?how=away").headers["Retry-After"] == "3"


def test_a_crash_is_500_in_druids_shape_and_named_in_the_log(client, caplog):
    answer = client.get(f"{V}/fails?how=crash")
    assert answer.status_code == 500
    name = answer.json["error"].partition("(error ")[2][:8]
    assert name in caplog.text and "ZeroDivisionError" in caplog.text


def test_get_answers_are_not_to_be_cached(client):
    for path in (f"{V}/numbers", f"{V}/nope", "/status/health"):
        headers = client.get(path).headers
        assert headers["Cache-Control"] == "no-cache, no-store, max-age=0"
        assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"


@pytest.mark.parametrize("way", ["big", "flows"])
@pytest.mark.parametrize("size", [0, 1, 100, 20_000])
@pytest.mark.parametrize("accept", ["gzip", "identity"])
def test_spooled_and_flowing_answers_of_any_size(client, way, size, accept):
    answer = client.get(f"{V}/{way}/{size}", headers={"Accept-Encoding": accept})
    packed = answer.headers.get("Content-Encoding") == "gzip"
    assert packed == (accept == "gzip" and size > 2)
    assert (gzip.decompress(answer.data) if packed else answer.data) == b"x" * 1000 * size
    if way == "big" or size * 1000 <= PIECE:
        assert int(answer.headers["Content-Length"]) == len(answer.data)
    else:
        assert "Content-Length" not in answer.headers


def test_what_fails_at_the_beginning_of_a_flow_is_an_error_answer(client):
    assert client.get(f"{V}/flows/100?fails=3").status_code == 400


def test_what_fails_in_the_middle_of_a_flow_cuts_it(client):
    with pytest.raises(BadRequest):
        client.get(f"{V}/flows/2000?fails=1500").data  # noqa: B018


def test_a_slow_client_keeps_nobody_waiting(client):
    ended.clear()
    answer = client.get(f"{V}/flows/20000", buffered=False)
    assert ended.wait(10)
    assert b"".join(answer.iter_encoded()) == b"x" * 20_000_000
    answer.close()


def test_a_client_that_leaves_ends_the_making(client):
    ended.clear()
    answer = client.get(f"{V}/flows/1000000", buffered=False)
    next(answer.iter_encoded())
    answer.close()
    assert ended.wait(10)


def test_a_standby_sends_calls_to_the_leader():
    client = make_app(is_leader=False).test_client()
    answer = client.get(f"{V}/numbers?max=1")
    assert (answer.status_code, answer.data) == (307, b"")
    assert answer.headers["Location"] == f"http://other:8090{V}/numbers?max=1"
    assert client.post(f"{V}/echo", json={}).status_code == 307
    assert client.get(f"{V}/nope").status_code == 404
    assert client.get("/status/health").data == b"true"
    assert client.get(f"{V}/leader").data == b"http://other:8090"
    answer = client.get(f"{V}/isLeader")
    assert (answer.status_code, answer.json) == (404, {"leader": False})


def test_without_a_leader_calls_are_told_to_come_again():
    answer = make_app(is_leader=False, url=None).test_client().get(f"{V}/numbers")
    assert (answer.status_code, answer.data, answer.headers["Retry-After"]) == (503, b"", "1")


def test_status(client):
    body = orjson.loads(client.get("/status").data)
    assert set(body) == {"version", "modules", "memory"}
    assert all(module["name"] for module in body["modules"])
    assert 0 < body["memory"]["usedMemory"] <= body["memory"]["maxMemory"]
    assert client.get("/status/selfDiscovered/status").json == {"selfDiscovered": True}
    assert client.get("/status/selfDiscovered").data == b""
    assert client.get("/status/properties").json == {"druid.plaintextPort": "8090"}
