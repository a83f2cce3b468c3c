"""http against a server that cuts connections, stalls, refuses, changes its mind, and knows ranges or does not."""

from __future__ import annotations

import base64
import gzip
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from overlord.errors import TaskFailed
from tests.integration.ingesting import ingest, inline
from workers.ingest.sources import SplitHint, http, input_sources
from workers.ingest.sources.compression import plain

DATA = b"".join(b'{"ts": "2024-01-01", "page": "p%d", "lang": "x", "added": 1}\n' % n for n in range(3000))


class Site(ThreadingHTTPServer):
    """Serves `data`; `cut` says for each request how many bytes go out before the line breaks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = DATA
        self.etag: str | None = '"one"'
        self.ranges = self.length = True
        self.statuses: list[int] = []
        self.cuts: list[int] = []
        self.stalls: list[int] = []
        self.asked: list[dict[str, str]] = []
        self.before: Callable[[int], None] = lambda number: None
        self.done = threading.Event()
        self.moved: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.json"

    def handle_error(self, *_: object) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        site = self.server
        site.asked.append(dict(self.headers.items()))
        site.before(len(site.asked))
        if site.moved:
            self.send_response(302)
            self.send_header("Location", site.moved)
            self.end_headers()
            return
        status = site.statuses.pop(0) if site.statuses else 200
        if status != 200:
            self.send_response(status)
            self.end_headers()
            return
        first = 0
        if site.ranges and (wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            first = int(wanted[1])
        body = site.data[first:]
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(site.data) - 1}/{len(site.data)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if site.stalls:
            self.wfile.write(body[: site.stalls.pop(0)])
            self.wfile.flush()
            site.done.wait(30)
            return
        self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.001)
    server = Site()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.done.set()
    server.shutdown()
    server.server_close()


def read(uri, **more):
    source = input_sources["http"].from_json({"type": "http", "uris": [uri], **more}, {})
    (item,) = source.objects()
    stream = plain(item.open(), item.name)
    try:
        return b"".join(iter(lambda: stream.read(1 << 16), b""))
    finally:
        stream.close()


def ranges(site):
    return [headers.get("Range") for headers in site.asked]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_cut_connection_is_taken_up_where_it_broke(site, knows_ranges):
    site.ranges = knows_ranges
    site.cuts = [50_000, 70_000, 1000] if knows_ranges else [50_000, 70_000, 90_000]
    assert read(site.url) == DATA
    assert len(site.asked) == 4
    begins = [50_000, 120_000, 121_000] if knows_ranges else [50_000, 70_000, 90_000]
    assert ranges(site) == [None, *(f"bytes={begin}-" for begin in begins)]
    assert site.asked[1]["If-Range"] == '"one"'


def test_compressed_data_survives_cuts_too(site):
    site.data = gzip.compress(DATA, 1)
    site.cuts = [100, 1, 5000]
    assert read(site.url) == DATA


def test_a_line_that_breaks_again_and_again_without_a_byte_is_given_up(site):
    site.cuts = [1000] + [0] * 20
    with pytest.raises(TaskFailed, match=rf"closed after 1000 of {len(DATA)} bytes \(tried 5 times\)"):
        read(site.url)


def test_a_server_that_stalls_is_asked_again_for_the_rest(site, monkeypatch):
    monkeypatch.setattr(http, "TIMEOUT_S", 1.0)
    site.stalls = [60_000]
    assert read(site.url) == DATA
    assert ranges(site)[0] is None and ranges(site)[-1].startswith("bytes=")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(site, status):
    site.statuses = [status] * 4
    assert read(site.url) == DATA
    site.statuses = [status] * 5
    with pytest.raises(TaskFailed, match=rf"HTTP {status} .*\(tried 5 times\)"):
        read(site.url)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_lasting_fault_is_told_at_once(site, status):
    site.statuses = [status]
    with pytest.raises(TaskFailed, match=rf"Cannot read {re.escape(site.url)}: HTTP {status} \w+") as failed:
        read(site.url)
    assert len(site.asked) == 1
    assert ("httpAuthenticationPassword" in (failed.value.hint or "")) is (status in (401, 403))


@pytest.mark.parametrize("change", ["etag", "length"])
def test_a_file_that_changes_meanwhile_is_not_mixed(site, change):
    def before(number):
        if number == 2:
            site.etag, site.data = ('"two"', DATA) if change == "etag" else ('"one"', DATA + b"more")

    site.cuts, site.before = [50_000], before
    with pytest.raises(TaskFailed, match="it changed while it was read"):
        read(site.url)


def test_without_length_and_etag_a_whole_answer_is_read(site):
    site.length, site.etag = False, None
    assert read(site.url) == DATA


def test_the_login_goes_to_the_host_of_the_uri_alone(site):
    basic = "Basic " + base64.b64encode(b"me:p@ss").decode()
    password = {"type": "default", "password": "p@ss"}
    assert read(site.url, httpAuthenticationUsername="me", httpAuthenticationPassword=password) == DATA
    assert read(site.url.replace("http://", "http://me:p%40ss@")) == DATA
    assert [headers.get("Authorization") for headers in site.asked] == [basic, "Basic bWU6cCU0MHNz"]
    site.asked.clear()
    other = Site()
    threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
    try:
        site.moved = other.url
        assert read(site.url, httpAuthenticationUsername="me", httpAuthenticationPassword="p@ss") == DATA
        assert site.asked[0]["Authorization"] == basic and "Authorization" not in other.asked[0]
    finally:
        other.shutdown()
        other.server_close()


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("http://127.0.0.1:1/x", "Connection refused"),
        ("http://u:hush@no.invalid/x", "(Name|Temporary|No address|nodename)"),
    ],
)
def test_a_host_that_cannot_be_reached_is_named_without_the_password(site, uri, cause):
    with pytest.raises(TaskFailed, match=cause) as failed:
        read(uri)
    assert "hush" not in failed.value.message


def test_each_uri_is_a_split(site):
    given = {"type": "http", "uris": ["http://a/x", "http://b/y"], "requestHeaders": {"X": "1"}}
    splits = list(input_sources["http"].from_json(given, {}).splits(SplitHint()))
    assert splits == [{**given, "uris": [uri]} for uri in given["uris"]]


def test_a_task_whose_source_breaks_for_good_publishes_nothing(site, tmp_path):
    site.cuts = [100_000] + [0] * 20
    source = {"type": "http", "uris": [site.url]}
    done = ingest(inline("x", io={"inputSource": source}), tmp_path, settings={"ovl.task.memoryBytes": 1 << 28})
    assert "(tried 5 times)" in done.error
    assert done.published == [] and done.files() == []
    site.cuts = [50_000, 10]
    done = ingest(inline("x", io={"inputSource": source}), tmp_path / "again")
    assert done.error is None
    assert done.stats["rowStats"]["buildSegments"]["processed"] == 3000
