"""Metrics with states of their own: what we published, and compacted, a stock Druid merges and answers from."""

from __future__ import annotations

import gzip

import polars as pl
import pytest

from .asking import FLIGHTS, ROWS, call, ingest, spec
from .conftest import BASE

pytestmark = pytest.mark.druid

METRICS = [
    {"type": "count", "name": "n"},
    {"type": "hyperUnique", "name": "hyper", "fieldName": "tailnum"},
    {"type": "thetaSketch", "name": "theta", "fieldName": "tailnum"},
    {"type": "HLLSketchBuild", "name": "hll", "fieldName": "tailnum"},
    {"type": "quantilesDoublesSketch", "name": "quantiles", "fieldName": "distance"},
    {"type": "longFirst", "name": "early", "fieldName": "flight"},
    {"type": "doubleLast", "name": "late", "fieldName": "air_time"},
    {"type": "stringLast", "name": "tail", "fieldName": "tailnum"},
    {"type": "filtered", "aggregator": {"type": "longSum", "name": "far", "fieldName": "distance"}, "filter": {
        "type": "range", "column": "distance", "matchValueType": "LONG", "lower": 1000}},
    {"type": "doubleSum", "name": "hours", "expression": "air_time / 60.0"},
]  # fmt: skip
ORIGINS = ("EWR", "JFK", "LGA")


@pytest.fixture(scope="module")
def flights(overlord):
    """nycflights13 by day and airport, and the same compacted to months; the rows as polars reads them."""
    schema = {
        "timestampSpec": {"column": "time_hour", "format": "iso"},
        "dimensionsSpec": {"dimensions": ["origin"]},
        "metricsSpec": METRICS,
        "granularitySpec": {"segmentGranularity": "MONTH", "queryGranularity": "DAY", "rollup": True},
    }
    source = {"type": "local", "baseDir": str(FLIGHTS.parent), "filter": FLIGHTS.name}
    for name in ("sketched", "compacted"):
        ingest(overlord, spec(name, source, schema, {"type": "csv", "findColumnsFromHeader": True}))
    months = {"segmentGranularity": "MONTH", "queryGranularity": "MONTH", "rollup": True}
    given = {"type": "interval", "interval": "2013-01-01/2014-01-01"}
    task = {"type": "compact", "dataSource": "compacted", "granularitySpec": months}
    ingest(overlord, task | {"ioConfig": {"type": "compact", "inputSpec": given}})
    rows = pl.read_csv(gzip.decompress(FLIGHTS.read_bytes()), infer_schema_length=None)
    return rows.with_columns(tailnum=pl.col("tailnum").replace("", None), time=pl.col("time_hour").str.head(13))


@pytest.fixture(params=["sketched", "compacted"])
def datasource(request, flights, loaded):
    loaded(request.param)
    return request.param


@pytest.fixture(scope="module")
def texts(overlord, loaded):
    """The same rows with what went into the sketches as a column of texts."""
    schema = {
        "timestampSpec": {"column": "time_hour", "format": "iso"},
        "dimensionsSpec": {"dimensions": ["text"]},
        "transformSpec": {"transforms": [{"type": "expression", "name": "text", "expression": "tailnum"}]},
        "granularitySpec": {"segmentGranularity": "YEAR", "queryGranularity": "YEAR", "rollup": True},
    }
    source = {"type": "local", "baseDir": str(FLIGHTS.parent), "filter": FLIGHTS.name}
    ingest(overlord, spec("texts", source, schema, {"type": "csv", "findColumnsFromHeader": True}))
    loaded("texts")
    return "texts"


def ask(query):
    return call(f"http://127.0.0.1:{BASE + 5}/druid/v2/sql", {"query": query, "resultFormat": "array"})


def native(datasource, aggregations):
    """Their results over all rows of an airport, by airport."""
    query = {
        "queryType": "groupBy", "dataSource": datasource, "granularity": "all", "dimensions": ["origin"],
        "intervals": ["2013-01-01/2015-01-01"], "aggregations": aggregations,
    }  # fmt: skip
    answers = call(f"http://127.0.0.1:{BASE + 5}/druid/v2", query)
    return {answer["event"]["origin"]: answer["event"] for answer in answers}


def test_distinct_values_are_counted_as_near_as_each_sketch_can(datasource, flights):
    found = ask(
        "SELECT origin, APPROX_COUNT_DISTINCT_DS_THETA(theta), APPROX_COUNT_DISTINCT_DS_HLL(hll), "
        f'APPROX_COUNT_DISTINCT_BUILTIN(hyper), SUM(n) FROM "{datasource}" GROUP BY 1 ORDER BY 1'
    )
    truth = flights.group_by("origin").agg(pl.col("tailnum").drop_nulls().n_unique(), pl.len()).sort("origin").rows()
    for (origin, theta, hll, hyper, rows), (expected_origin, expected, expected_rows) in zip(found, truth, strict=True):
        assert (origin, theta, rows) == (expected_origin, expected, expected_rows)
        assert hll == pytest.approx(expected, rel=0.05)
        assert hyper == pytest.approx(expected, rel=0.1)
    assert sum(row[4] for row in found) == ROWS


def test_sketches_of_ours_and_of_druids_own_over_the_texts_are_of_the_same_values(datasource, texts, flights):
    """Were texts hashed differently here and there, their union would hold twice as many."""
    ready = [
        {"type": "HLLSketchMerge", "name": "hll", "fieldName": "hll", "shouldFinalize": False},
        {"type": "thetaSketch", "name": "theta", "fieldName": "theta", "shouldFinalize": False},
        {"type": "HLLSketchBuild", "name": "druids hll", "fieldName": "text", "shouldFinalize": False},
        {"type": "thetaSketch", "name": "druids theta", "fieldName": "text", "shouldFinalize": False},
    ]
    hll, theta = ([{"type": "fieldAccess", "fieldName": name} for name in (kind, f"druids {kind}")]
                  for kind in ("hll", "theta"))  # fmt: skip
    query = {
        "queryType": "timeseries", "granularity": "all", "intervals": ["2013-01-01/2015-01-01"],
        "dataSource": {"type": "union", "dataSources": [datasource, texts]},
        "aggregations": ready,
        "postAggregations": [
            {"type": "HLLSketchEstimate", "name": "by hll", "field": {
                "type": "HLLSketchUnion", "name": "a", "fields": hll}},
            {"type": "thetaSketchEstimate", "name": "by theta", "field": {
                "type": "thetaSketchSetOp", "name": "b", "func": "UNION", "fields": theta}},
        ],
    }  # fmt: skip
    (answer,) = call(f"http://127.0.0.1:{BASE + 5}/druid/v2", query)
    exactly = flights["tailnum"].drop_nulls().n_unique()
    assert answer["result"]["by theta"] == exactly
    assert answer["result"]["by hll"] == pytest.approx(exactly, rel=0.05)


def test_quantiles_are_near_those_of_the_rows(datasource, flights):
    ((low, middle, high),) = ask(
        "SELECT APPROX_QUANTILE_DS(quantiles, 0.1), APPROX_QUANTILE_DS(quantiles, 0.5), "
        f'APPROX_QUANTILE_DS(quantiles, 0.9) FROM "{datasource}"'
    )
    for found, share in ((low, 0.1), (middle, 0.5), (high, 0.9)):
        below, upto = (flights["distance"] < found).mean(), (flights["distance"] <= found).mean()
        assert below - 0.05 <= share <= upto + 0.05


def test_first_and_last_are_those_of_the_rows(datasource, flights):
    found = native(
        datasource,
        [
            {"type": "longFirst", "name": "early", "fieldName": "early"},
            {"type": "doubleLast", "name": "late", "fieldName": "late"},
            {"type": "stringLast", "name": "tail", "fieldName": "tail"},
        ],
    )
    in_time = flights.sort("time_hour", maintain_order=True)
    for origin in ORIGINS:
        rows = in_time.filter(pl.col("origin") == origin)
        event = found[origin]
        assert event["early"] == rows["flight"][0]
        assert event["late"] == rows["air_time"].cast(pl.Float64, strict=False)[-1]
        assert event["tail"] == rows["tailnum"].drop_nulls()[-1]


def test_filtered_and_computed_sums_are_those_of_the_rows(datasource, flights):
    ((far, hours),) = ask(f'SELECT SUM(far), SUM(hours) FROM "{datasource}"')
    assert far == flights.filter(pl.col("distance") >= 1000)["distance"].sum()
    assert hours == pytest.approx(flights["air_time"].cast(pl.Float64, strict=False).sum() / 60)
