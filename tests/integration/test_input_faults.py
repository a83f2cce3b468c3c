"""Input that is damaged, or goes away: the task says what and where, publishes nothing, and leaves no copies."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import fastavro
import polars as pl
import pyorc
import pytest
import zstandard

from tests.integration.ingesting import ingest, inline
from workers.ingest.sources import local

ROWS = [{"ts": "2024-01-01", "page": f"page {n} " * 3, "lang": "x", "added": n} for n in range(5000)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def parquet():
    out = io.BytesIO()
    pl.DataFrame(ROWS).write_parquet(out, row_group_size=500)
    return out.getvalue()


def orc():
    out = io.BytesIO()
    schema = "struct<ts:string,page:string,lang:string,added:bigint>"
    with pyorc.Writer(out, schema, struct_repr=pyorc.StructRepr.DICT) as writer:
        writer.writerows(ROWS)
    return out.getvalue()


def avro():
    out = io.BytesIO()
    kinds = {"ts": "string", "page": "string", "lang": "string", "added": "long"}
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    fastavro.writer(out, {"type": "record", "name": "r", "fields": fields}, ROWS, sync_interval=2000)
    return out.getvalue()


FILES = {
    "json.gz": ("json", lambda: gzip.compress(LINES)),
    "json.zst": ("json", lambda: zstandard.compress(LINES)),
    "parquet": ("parquet", parquet),
    "orc": ("orc", orc),
    "avro": ("avro_ocf", avro),
    "parquet.gz": ("parquet", lambda: gzip.compress(parquet())),
}


def run(folder, kind, *files, **more):
    source = {"type": "local", "files": [str(file) for file in files]}
    return ingest(inline("x", io={"inputSource": source, "inputFormat": {"type": kind}} | more), folder)


def assert_nothing_left(done, folder, copies):
    assert done.published == [] and done.files() == []
    assert [path for path in copies.rglob("*") if path.is_file()] == []
    assert [path for path in Path(folder).glob("scratch-*/**/*") if path.is_file()] == []


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [0.6, -5, 2])
def test_a_torn_file_fails_the_task_and_leaves_nothing(name, keep, tmp_path, copies):
    kind, make = FILES[name]
    data = make()
    good, torn = tmp_path / f"a.{name}", tmp_path / f"b.{name}"
    good.write_bytes(data)
    torn.write_bytes(data[: int(len(data) * keep)] if isinstance(keep, float) else data[:keep])
    done = run(tmp_path / "work", kind, good, torn)
    if keep == 2 and kind == "json":  # too short to be known as compressed: one bad row
        assert done.error is None and done.stats["rowStats"]["buildSegments"]["unparseable"] == 1
        return
    assert done.error is not None and f"Cannot read {torn}" in done.error.replace("Cannot read file ", "Cannot read ")
    assert_nothing_left(done, tmp_path / "work", copies)


@pytest.mark.parametrize("name", FILES)
def test_whole_files_leave_no_copies_either(name, tmp_path, copies):
    kind, make = FILES[name]
    file = tmp_path / f"a.{name}"
    file.write_bytes(make())
    done = run(tmp_path / "work", kind, file)
    assert done.error is None and done.stats["rowStats"]["buildSegments"]["processed"] == len(ROWS)
    assert [path for path in copies.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["json.gz", "parquet", "orc", "avro", "plain"])
def test_a_file_that_goes_away_before_its_turn_is_named(name, tmp_path, copies, monkeypatch):
    kind, make = FILES.get(name, ("json", lambda: LINES))
    first, second = tmp_path / "1", tmp_path / "2"
    for file in (first, second):
        file.write_bytes(make())
    found = local.LocalSource.objects

    def objects(self):
        for number, item in enumerate(list(found(self))):
            if number:
                second.unlink(missing_ok=True)
            yield item

    monkeypatch.setattr(local.LocalSource, "objects", objects)
    done = run(tmp_path / "work", kind, first, second)
    assert done.error is not None and str(second) in done.error and "No such file or directory" in done.error
    assert_nothing_left(done, tmp_path / "work", copies)


def test_a_file_that_becomes_shorter_while_it_is_read_is_named(tmp_path, copies, monkeypatch):
    file = tmp_path / "in.json"
    file.write_bytes(LINES)
    reading = local._Whole.read

    def read(self, size=-1, /):
        os.truncate(file, len(LINES) // 2)
        return reading(self, size)

    monkeypatch.setattr(local._Whole, "read", read)
    done = run(tmp_path / "work", "json", file)
    assert done.error == f"Cannot read file {file}: it became shorter while it was read"
    assert_nothing_left(done, tmp_path / "work", copies)


def test_a_wrong_delimiter_shows_in_the_counts_and_in_the_rows_that_are_kept(tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("ts,page,lang,added\n" + "2024-01-01,a,b,1\n" * 9)
    form = {"type": "tsv", "findColumnsFromHeader": True}
    source = {"type": "local", "files": [str(file)]}
    task = inline("x", io={"inputSource": source, "inputFormat": form}, tuning={"maxSavedParseExceptions": 1})
    done = ingest(task, tmp_path / "work")
    assert done.error is None and done.published == []
    assert done.stats["rowStats"]["buildSegments"]["unparseable"] == 9
    (bad,) = done.stats["unparseableEvents"]["buildSegments"]
    assert "{ts,page,lang,added=2024-01-01,a,b,1}" in bad["details"][0]
    strict = inline("x", io={"inputSource": source, "inputFormat": form}, tuning={"maxParseExceptions": 0})
    done = ingest(strict, tmp_path / "strict")
    assert done.error is not None and "Max parse exceptions" in done.error and done.files() == []
