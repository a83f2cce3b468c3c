"""Data larger than a task's memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from workers.segment.reader import SegmentReader

from .harness import Server

MEMORY_BYTES = 300_000_000
FLIGHTS = Path(__file__).parents[2] / "examples" / "flights.csv.gz"


@pytest.mark.long
def test_a_gigabyte_of_csv_is_ingested_under_300_mb(tmp_path):
    """The watcher ends a task that takes more: its success shows that it never did."""
    rows = _write_a_gigabyte(tmp_path / "in" / "flights.csv")
    server = Server(tmp_path / "data", {"ovl_task_memoryBytes": str(MEMORY_BYTES)})
    server.start()
    try:
        server.submit(_task(tmp_path / "in"))
        status = server.until_state("large", "SUCCESS", "FAILED", timeout_s=300)
        assert status["statusCode"] == "SUCCESS", status["errorMsg"]
        stats = server.get("/task/large/reports").json()["ingestionStatsAndErrors"]["payload"]["rowStats"]
        assert stats["buildSegments"]["processed"] == rows
        found = server.sql("SELECT convert_from(payload, 'UTF8')::jsonb #>> '{loadSpec,path}' FROM druid_segments")
        assert sum(SegmentReader(Path(path)).num_rows for (path,) in found) == rows
    finally:
        server.clean_up()


def _write_a_gigabyte(file: Path) -> int:
    """The shipped flights again and again; their number."""
    head, _, body = gzip.decompress(FLIGHTS.read_bytes()).partition(b"\n")
    file.parent.mkdir()
    times = (1 << 30) // len(body) + 1
    with file.open("wb") as out:
        out.write(head + b"\n")
        for _ in range(times):
            out.write(body)
    return times * body.count(b"\n")


def _task(folder: Path) -> dict:
    dimensions = ["carrier", "tailnum", "origin", "dest", "dep_time", "arr_time", "dep_delay", "arr_delay"]
    return {
        "type": "index_parallel",
        "id": "large",
        "spec": {
            "dataSchema": {
                "dataSource": "large",
                "timestampSpec": {"column": "time_hour", "format": "iso"},
                "dimensionsSpec": {"dimensions": [*dimensions, {"type": "long", "name": "flight"}]},
                "granularitySpec": {"segmentGranularity": "YEAR", "queryGranularity": "NONE", "rollup": False},
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "local", "baseDir": str(folder), "filter": "*.csv"},
                "inputFormat": {"type": "csv", "findColumnsFromHeader": True},
            },
            "tuningConfig": {"type": "index_parallel"},
        },
    }
