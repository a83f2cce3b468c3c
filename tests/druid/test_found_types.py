"""Columns whose types we found, nested ones, and other encodings: Druid SQL over them equals polars and Python."""

from __future__ import annotations

import gzip
import json
import random

import polars as pl
import pytest

from .asking import FLIGHTS, LONGS, ROWS, ingest, spec

pytestmark = pytest.mark.druid

ENCODINGS = {
    "front_coded": {"stringDictionaryEncoding": {"type": "frontCoded", "bucketSize": 16, "formatVersion": 1}},
    "packed_otherwise": {"dimensionCompression": "zstd", "metricCompression": "zstd"},
    "not_packed": {
        "dimensionCompression": "uncompressed",
        "metricCompression": "none",
        "jsonCompression": "uncompressed",
    },
}


@pytest.fixture(scope="module")
def flights(overlord):
    """nycflights13 with all columns found, once in each encoding; the same as polars reads it."""
    granularity = {"segmentGranularity": "MONTH", "queryGranularity": "NONE", "rollup": False}
    schema = {
        "timestampSpec": {"column": "time_hour", "format": "iso"},
        "dimensionsSpec": {"useSchemaDiscovery": True},
        "granularitySpec": granularity,
    }
    form = {"type": "csv", "findColumnsFromHeader": True, "tryParseNumbers": True}
    source = {"type": "local", "baseDir": str(FLIGHTS.parent), "filter": FLIGHTS.name}
    # NA is text, as in the file: those columns hold numbers and text
    for name, index_spec in ENCODINGS.items():
        task = spec(name, source, schema, form)
        task["spec"]["tuningConfig"]["indexSpec"] = index_spec
        ingest(overlord, task)
    return pl.read_csv(gzip.decompress(FLIGHTS.read_bytes()), null_values="NA", infer_schema_length=None)


def document(pick, number):
    return {
        "id": number,
        "name": pick.choice(["ann", "bob", "é", "\U0001f600", None]),
        "score": pick.choice([1, 2.5, None]),
        "tags": [pick.choice("xyz") for _ in range(pick.randrange(3))],
        "sizes": pick.choice([None, [1, 2], [2], [3, None]]),
        "address": pick.choice([{"city": "Rome", "geo": {"lat": 41.9, "n": number % 7}}, {"city": "Oslo"}, {}, None]),
        "items": [{"sku": f"s{pick.randrange(4)}", "count": pick.randrange(5)} for _ in range(pick.randrange(3))],
        "mixed": pick.choice([1, "one", [1, "one"], None, True]),
    }


@pytest.fixture(scope="module")
def documents(overlord):
    pick = random.Random(1)
    rows = [document(pick, number) for number in range(3000)]
    schema = {
        "timestampSpec": {"column": "t", "missingValue": "2024-01-01"},
        "dimensionsSpec": {"useSchemaDiscovery": True, "dimensions": [{"type": "json", "name": "items"}]},
        "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": False},
    }
    source = {"type": "inline", "data": "\n".join(map(json.dumps, rows))}
    ingest(overlord, spec("documents", source, schema, {"type": "json"}))
    compacting = {
        "type": "compact",
        "dataSource": "documents",
        "ioConfig": {"type": "compact", "inputSpec": {"type": "interval", "interval": "2024-01-01/2024-01-02"}},
        "tuningConfig": {"type": "compaction", "indexSpec": ENCODINGS["front_coded"]},
    }
    ingest(overlord, compacting)
    return rows


@pytest.fixture(scope="module")
def sql(flights, documents, loaded):
    """Druid SQL, once the Historical has everything."""
    for name in ENCODINGS:
        loaded(name)
    return loaded("documents")


@pytest.mark.parametrize("name", ENCODINGS)
def test_found_columns_answer_as_polars_on_the_file(sql, flights, name):
    assert sql(f"SELECT COUNT(*), SUM(distance), MIN(flight) FROM {name}") == [
        [ROWS, flights["distance"].sum(), flights["flight"].min()]
    ]
    by_carrier = sql(f"SELECT carrier, COUNT(*), SUM(distance) FROM {name} WHERE dest = 'ORD' GROUP BY 1 ORDER BY 1")
    wanted = (
        flights.filter(pl.col("dest") == "ORD").group_by("carrier").agg(pl.len(), pl.sum("distance")).sort("carrier")
    )
    assert [tuple(row) for row in by_carrier] == wanted.rows()
    assert sql(f"SELECT COUNT(*) FROM {name} WHERE tailnum = 'N14228' AND \"month\" BETWEEN 3 AND 5") == [
        [flights.filter((pl.col("tailnum") == "N14228") & pl.col("month").is_between(3, 5)).height]
    ]
    assert sql(f"SELECT COUNT(*) FROM {name} WHERE dep_time = 'NA'") == [[flights["dep_time"].null_count()]]
    assert sql(f"SELECT COUNT(*) FROM (SELECT DISTINCT tailnum FROM {name} WHERE tailnum LIKE 'N1%')") == [
        [flights["tailnum"].drop_nulls().unique().str.starts_with("N1").sum()]
    ]


def test_columns_have_the_types_of_their_values(sql):
    found = dict(sql("SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'documents'"))
    assert {name: found[name] for name in ("id", "name", "score")} == {
        "id": "BIGINT", "name": "VARCHAR", "score": "DOUBLE",
    }  # fmt: skip
    assert {found["tags"], found["sizes"], found["mixed"]} == {"ARRAY"}
    assert {found["address"], found["items"]} == {"COMPLEX<json>"}
    of_flights = dict(
        sql("SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'front_coded'")
    )
    assert {of_flights[name] for name in ("year", "distance", "hour")} == {"BIGINT"} <= {"BIGINT", *LONGS}


def test_scalars_and_arrays_answer_as_the_rows_do(sql, documents):
    def count(condition):
        return sql(f"SELECT COUNT(*) FROM documents WHERE {condition}")[0][0]

    assert count("name = U&'\\D83D\\DE00'") == sum(row["name"] == "\U0001f600" for row in documents)
    assert count("name IS NULL") == sum(row["name"] is None for row in documents)
    assert count("score > 1") == sum((row["score"] or 0) > 1 for row in documents)
    assert count("ARRAY_CONTAINS(tags, 'x')") == sum("x" in row["tags"] for row in documents)
    assert count("ARRAY_OVERLAP(sizes, ARRAY[1, 3])") == sum(
        bool({1, 3} & set(row["sizes"] or ())) for row in documents
    )
    assert count("sizes = ARRAY[1, 2]") == sum(row["sizes"] == [1, 2] for row in documents)
    assert count("ARRAY_LENGTH(tags) = 2") == sum(len(row["tags"]) == 2 for row in documents)
    grouped = sql("SELECT name, SUM(score), COUNT(*) FROM documents GROUP BY 1 ORDER BY 3, 1")
    names = {row["name"] for row in documents}
    wanted = {
        name: (
            sum(float(row["score"] or 0) for row in documents if row["name"] == name),
            sum(row["name"] == name for row in documents),
        )
        for name in names
    }
    assert {row[0]: (row[1], row[2]) for row in grouped} == wanted


def test_paths_into_nested_columns_answer_as_the_rows_do(sql, documents):
    def at(row, *path):
        for step in path:
            if isinstance(step, int):
                row = row[step] if isinstance(row, list) and len(row) > step else None
            else:
                row = (row or {}).get(step)
        return row

    assert sql("SELECT COUNT(*) FROM documents WHERE JSON_VALUE(address, '$.city') = 'Rome'") == [
        [sum(at(row, "address", "city") == "Rome" for row in documents)]
    ]
    assert sql("SELECT SUM(JSON_VALUE(address, '$.geo.n' RETURNING BIGINT)) FROM documents") == [
        [sum(at(row, "address", "geo", "n") or 0 for row in documents)]
    ]
    assert sql("SELECT MAX(JSON_VALUE(address, '$.geo.lat' RETURNING DOUBLE)) FROM documents") == [[41.9]]
    found = sql("SELECT JSON_VALUE(items, '$[0].sku'), COUNT(*) FROM documents GROUP BY 1")
    firsts = [at(row, "items", 0, "sku") for row in documents]
    assert dict(found) == {sku: firsts.count(sku) for sku in set(firsts)}
    assert sql("SELECT COUNT(*) FROM documents WHERE JSON_VALUE(items, '$[1].count' RETURNING BIGINT) >= 3") == [
        [sum((at(row, "items", 1, "count") or 0) >= 3 for row in documents)]
    ]
    whole = sql("SELECT id, TO_JSON_STRING(address), TO_JSON_STRING(items) FROM documents WHERE id < 50")
    for number, address, items in whole:
        row = documents[number]
        assert json.loads(address) == row["address"] if address not in (None, "null") else row["address"] is None
        assert json.loads(items) == row["items"]


def test_mixed_values_stay_what_they_are(sql, documents):
    def shown(value):
        value = json.loads(value) if isinstance(value, str) and value.startswith("[") else value
        return [str(item) for item in value] if isinstance(value, list) else str(value)

    found = sql("SELECT id, mixed FROM documents WHERE id < 200")
    wanted = {number: documents[number]["mixed"] for number in range(200)}
    assert {number: shown(value) for number, value in found} == {
        number: shown(1 if value is True else value) for number, value in wanted.items()
    }
