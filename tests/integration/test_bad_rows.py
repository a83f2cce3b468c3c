"""Rejected rows as data, progress, and input that breaks in the middle."""

from __future__ import annotations

import gzip
import io
import json
import logging

import polars as pl
import pytest

from workers.ingest.bad_rows import FILE
from workers.ingest.pace import Pace

from .ingesting import ingest, inline

KEEP = {"forceTimeChunkLock": True, "keepBadRows": True}
DATA = '{"ts":"2024-01-01","page":"A","added":1}\n{broken\n{"ts":"yesterday", "page":"é"}\n'


def kept(folder):
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


@pytest.mark.parametrize("more", [{}, {"intervals": ["2024-01-01/2024-01-02"]}, {"io": {"appendToExisting": True}}])
def test_rejected_rows_are_kept_once_with_place_cause_and_their_own_text(tmp_path, more):
    result = ingest(inline(DATA, context=KEEP, **more), tmp_path)
    assert result.error is None
    broken, timeless = kept(tmp_path)
    assert (broken["file"], broken["line"], broken["raw"]) == ("inline", 2, "{broken")
    assert "Unable to parse row" in broken["cause"]
    assert (timeless["line"], timeless["raw"]) == (3, '{"ts":"yesterday", "page":"é"}')
    assert "Timestamp[yesterday] is unparseable" in timeless["cause"]
    assert result.stats["badRowsKept"] == 2


def test_nothing_is_kept_or_told_unless_asked_for(tmp_path):
    result = ingest(inline(DATA), tmp_path)
    assert "badRowsKept" not in result.stats
    assert not (tmp_path / FILE).exists()


def test_mended_rows_can_be_posted_again(tmp_path):
    text = 'when,"a,b",x\n2024-01-02,"say ""hi"", now",1\n'
    form = {"type": "csv", "columns": ["ts", "page", "added"]}
    ingest(inline(text, context=KEEP, io={"inputFormat": form}), tmp_path)
    (row,) = kept(tmp_path)
    assert row["raw"] == 'when,"a,b",x'
    mended = row["raw"].replace("when", "2024-01-01")
    (tmp_path / "again").mkdir()
    again = ingest(inline(mended, context=KEEP, io={"inputFormat": form}), tmp_path / "again")
    assert again.stats["rowStats"]["buildSegments"]["unparseable"] == 0
    assert again.stats["badRowsKept"] == 0


def test_a_task_that_fails_for_its_bad_rows_has_kept_them(tmp_path):
    result = ingest(inline(DATA, context=KEEP, tuning={"maxParseExceptions": 0}), tmp_path)
    assert "Max parse exceptions" in result.error
    assert kept(tmp_path)[0]["raw"] == "{broken"


def test_one_bad_row_in_a_hundred_is_counted_and_the_rest_is_published(tmp_path):
    lines = [f"2024-01-01T00:00:{i % 60:02d}Z,p{i % 7},{i}" if i % 100 else "garbage" for i in range(5000)]
    form = {"type": "csv", "columns": ["ts", "page", "added"]}
    result = ingest(inline("\n".join(lines), context=KEEP, io={"inputFormat": form}), tmp_path)
    stats = result.stats["rowStats"]["buildSegments"]
    assert (stats["processed"], stats["unparseable"], result.stats["badRowsKept"]) == (4950, 50, 50)
    assert [row["line"] for row in kept(tmp_path)] == list(range(1, 5000, 100))
    assert len(result.published) == 1


# ---- faults ----


def local(path, form):
    io = {"inputSource": {"type": "local", "files": [str(path)]}, "inputFormat": form}
    return inline("", io=io)


def rows(count):
    return [{"ts": f"2024-01-01T00:{i % 60:02d}:00Z", "page": f"p{i}", "added": i} for i in range(count)]


def fails(task, folder, text):
    result = ingest(task, folder)
    assert text in result.error
    assert result.overlord.segments == {} and result.files() == []
    assert result.stats["errorMsg"] == result.error
    left = list(folder.rglob("input-*"))
    assert left == []


def test_a_torn_gzip_publishes_nothing(tmp_path):
    path = tmp_path / "rows.json.gz"
    packed = gzip.compress("\n".join(map(json.dumps, rows(20000))).encode())
    path.write_bytes(packed[:-20])
    fails(local(path, {"type": "json"}), tmp_path, f"Cannot read {path}: the gzip data ends too early")


@pytest.mark.parametrize("packed", [False, True])
def test_a_torn_parquet_file_publishes_nothing(tmp_path, packed, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path, out = tmp_path / "rows.parquet", io.BytesIO()
    pl.DataFrame(rows(2000)).write_parquet(out)
    torn = out.getvalue()[:-100]
    path.write_bytes(gzip.compress(torn) if packed else torn)
    fails(local(path, {"type": "parquet"}), tmp_path, f"Cannot read {path}: damaged Parquet data")


def test_a_wrong_delimiter_rejects_every_row_and_says_where(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("".join(f"{r['ts']};{r['page']};{r['added']}\n" for r in rows(20)))
    task = local(path, {"type": "csv", "columns": ["ts", "page", "added"]})
    task["spec"]["tuningConfig"]["maxParseExceptions"] = 3
    fails(task, tmp_path, f"in {path}, line 4")


def test_a_file_that_vanishes_before_it_is_opened_is_named(tmp_path, monkeypatch):
    from workers.ingest.sources import local as source

    path = tmp_path / "rows.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(3)))
    open_it = source._open
    monkeypatch.setattr(source, "_open", lambda path, *more: (path.unlink(), open_it(path, *more))[1])
    fails(local(path, {"type": "json"}), tmp_path, f"Cannot read file {path}: No such file or directory")


def test_a_bucket_that_cannot_be_reached_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("workers.object_store._RETRIES", 0)
    task = local("x", {"type": "json"})
    task["spec"]["ioConfig"]["inputSource"] = {
        "type": "s3",
        "uris": ["s3://far/away.json"],
        "endpointConfig": {"url": "http://127.0.0.1:1"},
        "properties": {"accessKeyId": "a", "secretAccessKey": "b"},
    }
    fails(task, tmp_path, "Cannot read s3://far/away.json")


# ---- formats from end to end ----


@pytest.mark.parametrize("memory_bytes", [1 << 20, 1 << 30])
def test_parquet_gives_the_rows_that_json_gives(tmp_path, memory_bytes):
    data = rows(3000)
    path = tmp_path / "rows.parquet"
    pl.DataFrame(data).write_parquet(path, row_group_size=500)
    one = ingest(local(path, {"type": "parquet"}), tmp_path / "one", memory_bytes=memory_bytes)
    two = ingest(inline("\n".join(map(json.dumps, data))), tmp_path / "two", memory_bytes=memory_bytes)
    assert one.error is None and two.error is None
    assert [s["size"] for s in one.published] == [s["size"] for s in two.published]
    stats = one.stats["rowStats"]["buildSegments"]
    assert (stats["processed"], stats["processedBytes"]) == (3000, path.stat().st_size)


# ---- progress ----


def test_the_pace_tells_rate_and_time_left_and_now_and_then_logs_it(caplog):
    now = [100.0]
    pace = Pace(1000, clock=lambda: now[0])
    now[0] = 102.0
    assert pace.numbers(50, 250) == {
        "bytesRead": 250,
        "totalBytes": 1000,
        "rowsPerSecond": 25,
        "bytesPerSecond": 125,
        "timeLeftMs": 6000,
    }
    now[0] = 112.0
    with caplog.at_level(logging.INFO, logger="overlord.ingest"):
        pace.numbers(300, 600)
    assert caplog.messages == ["Read [300] rows, [600] of [1000] bytes (60 %), [25] rows/s, about [8] s left"]
    assert Pace(None, clock=lambda: now[0]).numbers(0, 0)["timeLeftMs"] is None
