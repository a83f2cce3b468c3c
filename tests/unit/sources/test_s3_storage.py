"""S3 as deep storage and as store of logs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from overlord.errors import TaskFailed
from overlord.logs import open_store
from overlord.model.segment import DataSegment
from workers.publish.base import open_for, open_pusher
from workers.publish.fetch import fetch


def segment(load_spec=None):
    return DataSegment.from_json(
        {
            "dataSource": "wiki",
            "interval": "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z",
            "version": "2024-02-02T00:00:00.000Z",
            "loadSpec": load_spec,
            "dimensions": "page",
            "metrics": "",
            "shardSpec": {"type": "numbered", "partitionNum": 3, "partitions": 4},
            "binaryVersion": 9,
            "size": 1,
            "identifier": "x",
        }
    )


@pytest.fixture
def settings(s3):
    name = s3.pop("bucket")
    return {**s3, "druid.storage.type": "s3", "druid.storage.bucket": name, "druid.storage.baseKey": "deep/storage"}


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "version.bin").write_bytes(b"\0\0\0\x09")
    (folder / "00000.smoosh").write_bytes(b"columns" * 1000)
    return folder


KEY = "wiki/2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z/2024-02-02T00:00:00.000Z/3/index.zip"


def test_a_segment_lies_where_druid_puts_it_and_comes_back(settings, files, tmp_path):
    pusher = open_pusher(settings)
    load_spec = pusher.push(files, segment())
    bucket = settings["druid.storage.bucket"]
    assert load_spec == {"type": "s3_zip", "bucket": bucket, "key": f"deep/storage/{KEY}", "S3Schema": "s3n"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built"]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with zipfile.ZipFile(fetch(segment(load_spec), settings, scratch)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in files.iterdir()
        }
    assert open_for("s3_zip", settings).push(files, segment()) == load_spec


def test_segments_are_copied_to_the_archive_and_removed(settings, files):
    settings |= {"druid.storage.archiveBucket": settings["druid.storage.bucket"], "druid.storage.archiveBaseKey": "old"}
    pusher = open_pusher(settings)
    load_spec = pusher.push(files, segment())
    moved = pusher.copy(segment(load_spec), pusher.archive())
    assert moved["key"] == f"old/{KEY}"
    pusher.remove(load_spec)
    pusher.remove(load_spec)
    assert pusher.copy(segment(moved), pusher.home()) == load_spec
    assert pusher.copy(segment(load_spec), pusher.home()) == load_spec


def test_a_bucket_that_is_not_there_is_named(settings, files, tmp_path):
    settings["druid.storage.bucket"] = "nobody-has-this"
    with pytest.raises(TaskFailed, match=r"cannot be written: .*nobody-has-this.*no such bucket"):
        open_pusher(settings).push(files, segment())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built"]
    del settings["druid.storage.bucket"]
    with pytest.raises(TaskFailed, match=r"druid.storage.bucket is not set"):
        open_pusher(settings).push(files, segment())


def test_a_load_spec_that_names_no_zip_deletes_nothing(settings):
    wrong = {"type": "s3_zip", "bucket": settings["druid.storage.bucket"], "key": ""}
    with pytest.raises(TaskFailed, match="does not name"):
        open_pusher(settings).remove(wrong)


@pytest.fixture
def store(s3):
    return open_store(
        {
            **s3,
            "druid.indexer.logs.type": "s3",
            "druid.indexer.logs.s3Bucket": s3["bucket"],
            "druid.indexer.logs.s3Prefix": "logs/",
        }
    )


def put(folder: Path, text: str) -> Path:
    path = folder / "file"
    path.write_text(text)
    return path


def test_logs_and_reports_are_kept_and_found(store, bucket, tmp_path):
    assert store.open_log("t1") is None and store.report("t1") is None
    store.put_log("t1", put(tmp_path, "a log"))
    store.put_log("t1", tmp_path / "file")  # which is gone
    store.put_report("t1", put(tmp_path, "{}"))
    with store.open_log("t1") as log:
        assert log.seek(0, 2) == 5
        log.seek(2)
        assert log.read() == b"log"
    assert store.report("t1") == b"{}"
    assert [each.key for each in bucket.list("")] == ["logs/t1/log", "logs/t1/report.json"]
    store.delete("t1")
    store.delete("t1")
    assert store.report("t1") is None


def test_old_logs_are_counted_and_deleted(store, tmp_path):
    store.put_log("t1", put(tmp_path, "a"))
    store.put_log("t2", put(tmp_path, "b"))
    assert (store.count_older(0), store.count_older(2**50)) == (0, 2)
    assert store.delete_older(2**50) == 2
    assert store.open_log("t1") is None
