"""Time chunks of every kind of granularity, and what tells whether published segments are served."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlord.model.granularity import Granularity
from overlord.model.instant import parse_instant
from overlord.model.interval import Interval
from workers.ingest.building.buckets import Buckets, FixedBuckets
from workers.segment.reader import SegmentReader

from .ingesting import ingest, inline

BERLIN = {"type": "period", "period": "P1D", "timeZone": "Europe/Berlin"}


def data(*times):
    return "\n".join(json.dumps({"ts": time, "page": "A", "added": 1}) for time in times)


def spec(granularity, *times, **more):
    task = inline(data(*times), **more)
    task["spec"]["dataSchema"]["granularitySpec"] |= granularity
    return task


def intervals(result):
    assert result.error is None
    return [s["interval"] for s in result.published]


@pytest.mark.parametrize(
    ("granularity", "times", "expected"),
    [
        (
            "ALL",
            ["2024-01-01T01:00Z", "2026-01-01T01:00Z"],
            ["-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"],
        ),
        ("EIGHT_HOUR", ["2024-01-01T09:00Z"], ["2024-01-01T08:00:00.000Z/2024-01-01T16:00:00.000Z"]),
        ("QUARTER", ["2024-05-01T09:00Z"], ["2024-04-01T00:00:00.000Z/2024-07-01T00:00:00.000Z"]),
        ("WEEK", ["2024-05-01T09:00Z"], ["2024-04-29T00:00:00.000Z/2024-05-06T00:00:00.000Z"]),
        (
            {"type": "duration", "duration": 5_400_000, "origin": "2024-01-01T00:30:00Z"},
            ["2024-01-01T02:10Z", "2024-01-01T00:10Z"],
            [
                "2023-12-31T23:00:00.000Z/2024-01-01T00:30:00.000Z",
                "2024-01-01T02:00:00.000Z/2024-01-01T03:30:00.000Z",
            ],
        ),
        (  # the day on which the clocks go forward has 23 hours, that on which they go back 25
            BERLIN,
            ["2024-03-31T05:00Z", "2024-10-27T12:00Z", "2024-07-01T22:30Z"],
            [
                "2024-03-30T23:00:00.000Z/2024-03-31T22:00:00.000Z",
                "2024-07-01T22:00:00.000Z/2024-07-02T22:00:00.000Z",
                "2024-10-26T22:00:00.000Z/2024-10-27T23:00:00.000Z",
            ],
        ),
    ],
)
def test_rows_lie_in_the_chunks_of_their_granularity(granularity, times, expected, tmp_path):
    assert intervals(ingest(spec({"segmentGranularity": granularity}, *times), tmp_path)) == expected


def test_arbitrary_chunks_stay_as_they_are_given_though_they_touch(tmp_path):
    given = ["2024-01-01/2024-01-01T06:00", "2024-01-01T06:00/2024-01-03", "2024-02-01/2024-02-02"]
    task = inline(data("2024-01-01T05:59Z", "2024-01-01T06:00Z", "2024-01-02T23:00Z", "2024-01-20T00:00Z"))
    task["spec"]["dataSchema"]["granularitySpec"] = {"type": "arbitrary", "intervals": given, "rollup": False}
    result = ingest(task, tmp_path)
    assert intervals(result) == [str(Interval.parse(each)) for each in given[:2]]
    assert [len(list(SegmentReader(Path(s["loadSpec"]["path"])).rows())) for s in result.published] == [1, 2]
    assert result.stats["rowStats"]["buildSegments"]["thrownAway"] == 1


def test_arbitrary_chunks_without_rows_get_tombstones(tmp_path):
    given = ["2024-01-01/2024-01-01T06:00", "2024-01-01T06:00/2024-01-03"]
    first = ingest(inline(data("2024-01-01T05:59Z", "2024-01-01T07:00Z")), tmp_path)
    task = inline(data("2024-01-01T05:59Z"), io={"dropExisting": True})
    task["spec"]["dataSchema"]["granularitySpec"] = {"type": "arbitrary", "intervals": given}
    first.overlord.locks.clear()
    result = ingest(task, tmp_path, overlord=first.overlord)
    assert [s["shardSpec"]["type"] for s in result.published] == ["numbered", "tombstone"]
    assert result.published[1]["interval"] == str(Interval.parse(given[1]))
    assert result.stats["segmentsPublished"] == 1


def test_arbitrary_chunks_cannot_be_appended_to(tmp_path):
    task = inline(data("2024-01-01T05:59Z"), io={"appendToExisting": True})
    task["spec"]["dataSchema"]["granularitySpec"] = {"type": "arbitrary", "intervals": ["2024-01-01/2024-01-03"]}
    assert "arbitrary" in ingest(task, tmp_path).error


def test_arbitrary_without_intervals_fails(tmp_path):
    task = inline(data("2024-01-01T05:59Z"))
    task["spec"]["dataSchema"]["granularitySpec"] = {"type": "arbitrary", "intervals": []}
    assert "type arbitrary has no chunks" in ingest(task, tmp_path).error


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "+05:30"])
PERIODS = st.sampled_from(["P1D", "P1W", "P1M", "P3M", "P1Y", "PT1H", "PT6H", "P2D", "PT90M"])
TIMES = st.lists(st.integers(parse_instant("1995-01-01"), parse_instant("2037-01-01")), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(PERIODS, ZONES, TIMES)
def test_chunks_of_a_period_hold_their_rows_and_do_not_overlap(period, zone, times):
    granularity = Granularity.parse({"type": "period", "period": period, "timeZone": zone})
    buckets = Buckets(granularity)
    starts = buckets.starts(np.array(times, np.int64))
    chunks = sorted({buckets.interval(int(start)) for start in starts})
    for time, start in zip(times, starts.tolist(), strict=True):
        assert buckets.interval(start).contains_instant(time)
        assert granularity.bucket(time).start == start
    assert not any(before.overlaps(after) for before, after in pairwise(chunks))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=9, unique=True), st.lists(st.integers(-5, 45), max_size=20))
def test_fixed_chunks_keep_what_one_of_them_holds(bounds, times):
    bounds.sort()
    chunks = [Interval(a, b) for a, b in pairwise(bounds)][::2]
    buckets = FixedBuckets(chunks)
    array = np.array(times, np.int64)
    keep = buckets.keep(array)
    expected = [any(c.contains_instant(t) for c in chunks) for t in times]
    assert all(expected) if keep is None else keep.tolist() == expected
    for time, start, kept in zip(times, buckets.starts(array).tolist(), expected, strict=True):
        if kept:
            assert buckets.interval(start) in chunks and buckets.interval(start).contains_instant(time)


# ---- availability ----


class Coordinator(BaseHTTPRequestHandler):
    """Says no a few times, then yes."""

    asked: list = []
    noes = 1

    def do_GET(self):
        self.asked.append(self.path)
        body = b"false" if len(self.asked) <= self.noes else b"true"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def coordinator():
    handler = type("Handler", (Coordinator,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def waiting(timeout_ms):
    return inline(data("2024-01-01T05:59Z"), tuning={"awaitSegmentAvailabilityTimeoutMillis": timeout_ms})


def test_the_coordinator_is_asked_until_segments_are_served(tmp_path, coordinator, monkeypatch):
    monkeypatch.setattr("workers.publish.availability.EVERY_S", 0.01)
    handler, url = coordinator
    result = ingest(waiting(60_000), tmp_path, settings={"ovl.coordinator.url": url})
    (segment,) = result.published
    assert result.stats["segmentAvailabilityConfirmed"] is True
    assert result.stats["ingestionState"] == "COMPLETED"
    assert len(handler.asked) == 2
    asked = urlsplit(handler.asked[0])
    assert asked.path == "/druid/coordinator/v1/datasources/wiki/handoffComplete"
    assert parse_qs(asked.query) == {
        "interval": [segment["interval"]],
        "partitionNumber": ["0"],
        "version": [segment["version"]],
    }


def test_segments_that_are_not_served_in_time_do_not_fail_the_task(tmp_path, coordinator):
    handler, url = coordinator
    handler.noes = 10**9
    result = ingest(waiting(30), tmp_path, settings={"ovl.coordinator.url": url})
    assert result.error is None
    assert result.stats["segmentAvailabilityConfirmed"] is False
    assert result.stats["segmentAvailabilityWaitTimeMs"] >= 30


def test_without_a_coordinator_nothing_is_waited_for(tmp_path, caplog):
    with caplog.at_level("INFO"):
        result = ingest(waiting(10**9), tmp_path)
    assert result.error is None
    assert result.stats["segmentAvailabilityConfirmed"] is False
    assert result.stats["segmentAvailabilityWaitTimeMs"] == 0
    assert sum("ovl.coordinator.url" in message for message in caplog.messages) == 1
