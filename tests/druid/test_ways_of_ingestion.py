"""nycflights13 by every way into segments: a stock Historical serves them, and Druid SQL equals polars on the file."""

from __future__ import annotations

import gzip

import polars as pl
import pytest

from .asking import FLIGHTS, LONGS, ROWS, STRINGS, ingest

pytestmark = pytest.mark.druid

INTERVAL = "2013-01-01/2014-01-02"


def schema(name, granularity="MONTH"):
    return {
        "dataSource": name,
        "timestampSpec": {"column": "time_hour", "format": "iso"},
        "dimensionsSpec": {"dimensions": [*({"type": "long", "name": each} for each in LONGS), *STRINGS]},
        "granularitySpec": {
            "segmentGranularity": granularity,
            "queryGranularity": "NONE",
            "rollup": False,
            "intervals": [INTERVAL],
        },
    }


def task(name, source, form, *, tuning=None, granularity="MONTH"):
    io = {"type": "index_parallel", "inputSource": source, **({"inputFormat": form} if form else {})}
    spec = {"dataSchema": schema(name, granularity), "ioConfig": io}
    return {
        "type": "index_parallel",
        "spec": {**spec, "tuningConfig": {"type": "index_parallel", **(tuning or {})}},
    }


@pytest.fixture(scope="module")
def raw():
    """The file as polars reads it."""
    return pl.read_csv(gzip.decompress(FLIGHTS.read_bytes()), null_values="NA", infer_schema_length=None)


@pytest.fixture(scope="module")
def files(raw, tmp_path_factory):
    """The same rows as CSV, JSON lines and Parquet, each in two files."""
    folder = tmp_path_factory.mktemp("flights")
    for number in range(2):
        half = raw.slice(number * ROWS // 2, ROWS // 2)
        half.write_csv(folder / f"{number}.csv", null_value="")
        half.write_ndjson(folder / f"{number}.json")
        half.write_parquet(folder / f"{number}.parquet")
    return folder


def local(files, ending):
    return {"type": "local", "baseDir": str(files), "filter": f"*.{ending}"}


CSV = {"type": "csv", "findColumnsFromHeader": True}
PERFECT = {"forceGuaranteedRollup": True, "maxNumConcurrentSubTasks": 2}
HASHED = {**PERFECT, "partitionsSpec": {"type": "hashed", "numShards": 3, "partitionDimensions": ["tailnum"]}}
RANGE = {
    **PERFECT,
    "partitionsSpec": {"type": "range", "targetRowsPerSegment": 9000, "partitionDimensions": ["carrier", "tailnum"]},
}


@pytest.fixture(scope="module")
def published(overlord, files):
    """Every way, one datasource each."""
    ingest(overlord, task("by_csv", local(files, "csv"), CSV))
    ingest(overlord, task("by_json", local(files, "json"), {"type": "json"}))
    ingest(overlord, task("by_parquet", local(files, "parquet"), {"type": "parquet"}))
    ingest(overlord, task("by_hash", local(files, "csv"), CSV, tuning=HASHED))
    ingest(overlord, task("by_range", local(files, "csv"), CSV, tuning=RANGE))
    ingest(
        overlord, task("by_sub_tasks", local(files, "json"), {"type": "json"}, tuning={"maxNumConcurrentSubTasks": 2})
    )
    reindexing = task("by_reindexing", {"type": "druid", "dataSource": "by_csv", "interval": INTERVAL}, None)
    reindexing["spec"]["dataSchema"]["timestampSpec"] = {"column": "__time", "format": "millis"}
    ingest(overlord, reindexing)
    ingest(overlord, task("by_compaction", local(files, "parquet"), {"type": "parquet"}, granularity="DAY"))
    ingest(
        overlord,
        {
            "type": "compact",
            "dataSource": "by_compaction",
            "ioConfig": {"type": "compact", "inputSpec": {"type": "interval", "interval": "2013-01-01/2014-02-01"}},
            "granularitySpec": {"segmentGranularity": "MONTH"},
        },
    )


WAYS = [
    "by_csv", "by_json", "by_parquet", "by_hash", "by_range", "by_sub_tasks", "by_reindexing", "by_compaction",
]  # fmt: skip


@pytest.fixture(scope="module")
def served(published, loaded):
    """Druid SQL once everything is on the Historical."""
    return {way: loaded(way) for way in WAYS}


@pytest.mark.parametrize("way", WAYS)
def test_druid_sql_answers_as_polars_on_the_file(served, raw, way):
    sql = served[way]
    assert sql(f"SELECT COUNT(*), SUM(distance), COUNT(*) FILTER (WHERE dep_time IS NULL) FROM {way}") == [
        [ROWS, raw["distance"].sum(), raw["dep_time"].null_count()]
    ]
    found = sql(
        f"SELECT carrier, COUNT(*), SUM(arr_delay) FROM {way} WHERE dest = 'ORD' GROUP BY carrier ORDER BY carrier"
    )
    wanted = raw.filter(pl.col("dest") == "ORD").group_by("carrier").agg(pl.len(), pl.sum("arr_delay")).sort("carrier")
    assert [tuple(row) for row in found] == wanted.rows()
    by_month = sql(f"SELECT TIME_FLOOR(__time, 'P1M'), COUNT(*) FROM {way} GROUP BY 1 ORDER BY 1")
    months = raw.group_by(pl.col("time_hour").str.slice(0, 7)).agg(pl.len()).sort("time_hour")
    assert [(row[0][:7], row[1]) for row in by_month] == months.rows()


def test_a_filter_on_the_partition_dimension_finds_its_rows(served, raw):
    wanted = raw.filter(pl.col("tailnum") == "N14228").height
    for way in ("by_hash", "by_range"):
        assert served[way](f"SELECT COUNT(*) FROM {way} WHERE tailnum = 'N14228'") == [[wanted]]
