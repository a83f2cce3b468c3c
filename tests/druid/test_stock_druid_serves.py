"""A stock Druid 33.0.0 over our Postgres and our deep storage: what we published, it loads and answers from."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest

from .asking import FLIGHTS, LONGS, ROWS, STRINGS, ingest, spec

pytestmark = pytest.mark.druid


@pytest.fixture(scope="module")
def flights(overlord):
    """nycflights13 by day, published by us; the same as polars reads it."""
    path = FLIGHTS
    schema = {
        "timestampSpec": {"column": "time_hour", "format": "iso"},
        "dimensionsSpec": {"dimensions": [*({"type": "long", "name": name} for name in LONGS), *STRINGS]},
        "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": False},
    }
    source = {"type": "local", "baseDir": str(path.parent), "filter": path.name}
    ingest(overlord, spec("flights", source, schema, {"type": "csv", "findColumnsFromHeader": True}))
    return pl.read_csv(gzip.decompress(path.read_bytes()), null_values="NA", infer_schema_length=None)


@pytest.fixture(scope="module")
def kinds(overlord):
    """Every kind of column, rolled up, with nulls and a multi-value string."""
    rows = [
        {"t": "2024-01-01T00:10:00Z", "s": "a", "m": ["x", "y"], "l": 1, "d": 0.5, "f": 1.5, "v": 3},
        {"t": "2024-01-01T00:20:00Z", "s": "a", "m": ["x", "y"], "l": 1, "d": 0.5, "f": 1.5, "v": 4},
        {"t": "2024-01-01T05:00:00Z", "s": None, "m": [], "l": None, "d": None, "f": None, "v": None},
        {"t": "2024-01-01T06:00:00Z", "s": "😀", "m": "z", "l": -(2**60), "d": -1e300, "f": 0.1, "v": 7},
    ]
    schema = {
        "timestampSpec": {"column": "t", "format": "iso"},
        "dimensionsSpec": {
            "dimensions": ["s", "m", *({"type": kind, "name": kind[0]} for kind in ("long", "double", "float"))]
        },
        "metricsSpec": [
            {"type": "count", "name": "n"},
            {"type": "longSum", "name": "sum", "fieldName": "v"},
            {"type": "doubleMax", "name": "most", "fieldName": "v"},
            {"type": "floatMin", "name": "least", "fieldName": "v"},
        ],
        "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "HOUR", "rollup": True},
    }
    source = {"type": "inline", "data": "\n".join(map(json.dumps, rows))}
    ingest(overlord, spec("kinds", source, schema, {"type": "json"}))


@pytest.fixture(scope="module")
def sql(flights, kinds, loaded):
    """Druid SQL, once the Historical has everything."""
    loaded("kinds")
    return loaded("flights")


def test_all_rows_are_there(sql, flights):
    assert flights.height == ROWS
    assert sql("SELECT COUNT(*) FROM flights") == [[ROWS]]


def test_sums_are_those_of_the_file(sql, flights):
    (row,) = sql("SELECT SUM(distance), SUM(arr_delay), SUM(air_time), MIN(dep_delay), MAX(dep_delay) FROM flights")
    expected = flights.select(
        pl.sum("distance"),
        pl.sum("arr_delay"),
        pl.sum("air_time"),
        pl.min("dep_delay").alias("least"),
        pl.max("dep_delay").alias("most"),
    )
    assert tuple(row) == expected.row(0)


def test_groups_with_a_filter_are_those_of_the_file(sql, flights):
    found = sql(
        "SELECT carrier, COUNT(*), SUM(distance) FROM flights WHERE origin = 'JFK' AND distance > 500"
        " GROUP BY carrier ORDER BY carrier"
    )
    kept = flights.filter((pl.col("origin") == "JFK") & (pl.col("distance") > 500))
    expected = kept.group_by("carrier").agg(pl.len(), pl.sum("distance")).sort("carrier")
    assert [tuple(row) for row in found] == expected.rows()


def test_nulls_are_those_of_the_file(sql, flights):
    names = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
    counts = ", ".join(f"COUNT(*) FILTER (WHERE {name} IS NULL)" for name in names)
    (row,) = sql(f"SELECT {counts}, COUNT(*) FILTER (WHERE tailnum = 'NA') FROM flights")
    assert row == [flights[name].null_count() for name in (*names, "tailnum")]


def test_months_are_those_of_the_file(sql, flights):
    found = sql("SELECT TIME_FLOOR(__time, 'P1M'), COUNT(*), SUM(distance) FROM flights GROUP BY 1 ORDER BY 1")
    month = pl.col("time_hour").str.slice(0, 7)
    expected = flights.group_by(month.alias("month")).agg(pl.len(), pl.sum("distance")).sort("month")
    assert [(row[0][:7], row[1], row[2]) for row in found] == expected.rows()


def test_every_kind_of_column_is_read_as_it_was_given(sql):
    found = sql("SELECT s, MV_TO_STRING(m, ','), l, d, f, n, \"sum\", most, least FROM kinds ORDER BY __time")
    assert found == [
        ["a", "x,y", 1, 0.5, 1.5, 2, 7, 4.0, 3.0],
        [None, None, None, None, None, 1, None, None, None],
        ["😀", "z", -(2**60), -1e300, pytest.approx(0.1), 1, 7, 7.0, 7.0],
    ]


def test_a_multi_value_string_is_filtered_by_each_of_its_values(sql):
    assert sql("SELECT SUM(n) FROM kinds WHERE m = 'y'") == [[2]]
