"""Input source sql against a real Postgres; what values become is what stock Druid's driver and JSON made of them."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
import pytest

from overlord.errors import TaskFailed
from tests.integration.ingesting import ingest, inline
from workers.ingest import Input
from workers.ingest.sources import SplitHint, input_sources
from workers.sampling.sampler import sample


@pytest.fixture(scope="module")
def dsn(postgres):
    """A database for all tests here."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE sql_source")
        yield postgres.dsn.rsplit("/", 1)[0] + "/sql_source"
        connection.execute("DROP DATABASE sql_source WITH (FORCE)")


@pytest.fixture
def source(dsn):
    """The inputSource of some queries."""
    parts = urlsplit(dsn)

    def of(*sqls, password=parts.password, place=f"//{parts.hostname}:{parts.port}{parts.path}", **more):
        config = {"connectURI": f"jdbc:postgresql:{place}", "user": parts.username, "password": password}
        return {
            "type": "sql",
            "sqls": list(sqls),
            "database": {"type": "postgresql", "connectorConfig": config},
            **more,
        }

    return of


def chunks(json, chunk_bytes=1 << 20, wanted=None):
    return input_sources["sql"].from_json(json, {}).rows(chunk_bytes=chunk_bytes, wanted=wanted)


def rows(json, chunk_bytes=1 << 20):
    """All rows by columns, which must be the rows as events."""
    found = []
    for chunk in chunks(json, chunk_bytes):
        lists = {name: column.to_list() for name, column in chunk.batch.columns.items()}
        for at in range(len(chunk.batch)):
            found.append({name: values[at] for name, values in lists.items()})
            assert chunk.batch.rows.event(at) == found[-1]
    return found


STOCK = [
    ("1::int2, 2::int4, 3::int8, 9::oid", [1, 2, 3, 9]),
    ("'x'::name, 'y'::\"char\", 'ab'::char(4), 'v'::varchar, null::int, ''::text", ["x", "y", "ab  ", "v", None, ""]),
    ("1.5::float4, 0.1::float4, 1e300::float8, 1::float8", [1.5, 0.1, 1e300, 1.0]),
    ("'NaN'::float8, '-Infinity'::float4", ["NaN", "-Infinity"]),
    ("1.50::numeric, 100::numeric, 'NaN'::numeric, 1e-12::numeric", [1.5, 100, "NaN", 1e-12]),
    ("12345678901234567890123::numeric, 100::numeric(10,2)", [1.2345678901234568e22, 100.0]),
    ("true, false, B'101', '12.34'::money", [True, False, "101", 12.34]),
    ("'2024-02-29'::date, '1960-01-01'::date, 'infinity'::date", [1709164800000, -315619200000, 9223372036825200000]),
    ("'-infinity'::date, '0044-03-15 BC'::date", [-9223372036832400000, -63517996800000]),
    ("'12024-01-01'::date, '0001-01-01'::date", [317273587200000, -62135769600000]),
    ("'2024-02-29 01:02:03.987654'::timestamp, '1960-01-01 00:00:00.9999'::timestamp", [1709168523987, -315619199001]),
    ("'infinity'::timestamp, '0044-03-15 12:00:00 BC'::timestamp", [9223372036825200000, -63517953600000]),
    ("'12024-01-01 00:00:01'::timestamp, '1500-01-01'::timestamp", [317273587201000, -14830992000000]),
    ("'2024-02-29 01:02:03.987654+02'::timestamptz", [1709161323987]),
    ("'01:02:03.987'::time, '24:00:00'::time, '01:02:03+02'::timetz", ["01:02:03", "00:00:00", "23:02:03"]),
    (
        "'\\x00ff10'::bytea, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
        ["AP8Q", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    ),
]
OURS = [
    ("array[1,2,null], array['a b','\"'], array[]::int[]", [[1, 2, None], ["a b", '"'], []]),
    ("'{\"a\": [1, 2]}'::json, '[1.5]'::jsonb", [{"a": [1, 2]}, [1.5]]),
    ("'1 day 02:00:00'::interval, '10.0.0.1'::inet, row(1,'a b')", ["1 day 02:00:00", "10.0.0.1", '(1,"a b")']),
]


@pytest.mark.parametrize("expressions, values", STOCK + OURS)
def test_values_are_those_that_stock_druid_reads(source, expressions, values):
    parts = [f"c{at}" for at in range(len(values))]
    query = f"SELECT * FROM (SELECT {expressions}) AS q({', '.join(parts)})"
    # A row of nulls beside it changes nothing.
    both = f"{query} UNION ALL SELECT {', '.join(['null'] * len(values))}" if "json" not in expressions else query
    found = rows(source(both))[0]
    assert [found[part] for part in parts] == values
    assert [type(found[part]) for part in parts] == list(map(type, values))


def test_one_bit_is_a_truth_value(source):
    assert rows(source("SELECT '1'::bit(1) AS a, '0'::bit(1) AS b")) == [{"a": True, "b": False}]


def test_numbers_of_one_column_keep_their_kinds(source):
    found = rows(source("SELECT n FROM (VALUES (1::numeric), (1.5), (NULL), ('NaN')) AS q(n)"))
    assert [row["n"] for row in found] == [1, 1.5, None, "NaN"]


TEXTS = ["", "a\tb", "c\\nd", "e\nf", "\\", "\\N", "𝄞", "\r\v\b\f", None, "\\\t", "{}", "%s"]


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_any_text_comes_through_in_pieces_of_any_size(source, dsn, chunk_bytes):
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP TABLE IF EXISTS texts")
        connection.execute("CREATE TABLE texts (n int, t text)")
        connection.cursor().executemany("INSERT INTO texts VALUES (%s, %s)", list(enumerate(TEXTS)))
    asked = source("SELECT t FROM texts ORDER BY n;\n", "SELECT n, t FROM texts WHERE n > 9 -- the last ones")
    found = rows(asked, chunk_bytes)
    assert [row["t"] for row in found] == TEXTS + TEXTS[10:]
    places = [
        (chunk.batch.files[at], int(line))
        for chunk in chunks(asked)
        for at, line in zip(chunk.batch.file, chunk.batch.line, strict=True)
    ]
    assert places[0] == ("sqls[0]", 1) and places[-1] == ("sqls[1]", 2)


def test_names_come_in_the_order_of_javas_table_and_the_last_of_two_counts(source):
    query = 'SELECT 1 AS "Zeta", 2 AS alpha, 3 AS mid, 4 AS ts, 5 AS page, 6 AS "user", 7 AS country, 8 AS mid'
    (chunk,) = chunks(source(query))
    assert list(chunk.batch.columns) == ["country", "Zeta", "alpha", "mid", "page", "user", "ts"]
    assert chunk.batch.rows.event(0)["mid"] == 8
    assert chunk.batch.rows.discover({"ts"}, [0]) == ["country", "Zeta", "alpha", "mid", "page", "user"]
    assert rows(source('SELECT 1 AS "A", 2 AS a', foldCase=True)) == [{"a": 2}]


def test_only_wanted_columns_are_read_and_memory_is_that_of_a_piece(source):
    query = "SELECT n, repeat('x', 1000) AS wide, array[n] AS many FROM generate_series(1, 2000) AS g(n)"
    found = list(chunks(source(query), 10_000, {"n"}))
    assert max(len(chunk.batch) for chunk in found) < 20
    assert all(list(chunk.batch.columns) == ["n"] for chunk in found)
    assert [n for chunk in found for n in chunk.batch.columns["n"]] == list(range(1, 2001))


def test_each_query_is_a_split(source):
    made = input_sources["sql"].from_json(source("SELECT 1", "SELECT 2", foldCase=True), {})
    assert made.splittable
    assert list(made.splits(SplitHint())) == [source("SELECT 1", foldCase=True), source("SELECT 2", foldCase=True)]


def test_a_task_ingests_queries(source, tmp_path):
    queries = [
        "SELECT timestamptz '2024-01-01 10:00+00' AS ts, 'a' AS page, 1 AS added UNION ALL SELECT '2024-01-01', 'b', 2",
        "SELECT timestamptz '2024-01-02' AS ts, array['x', 'y'] AS page, 3 AS added UNION ALL SELECT null, null, 4",
    ]
    task = inline("x", io={"inputSource": source(*queries), "inputFormat": None}, tuning={"maxSavedParseExceptions": 1})
    done = ingest(task, tmp_path)
    assert done.error is None
    assert [segment["interval"][:10] for segment in done.published] == ["2024-01-01", "2024-01-02"]
    assert done.stats["rowStats"]["buildSegments"] | {"processedBytes": 0} == {
        "processed": 3, "processedBytes": 0, "processedWithError": 0, "thrownAway": 0, "unparseable": 1,
    }  # fmt: skip
    (bad,) = done.stats["unparseableEvents"]["buildSegments"]
    assert bad["details"] == ["Timestamp[null] is unparseable! Event: {added=4, page=null, ts=null} (Record: 2)"]


def test_the_sampler_shows_rows_of_a_query(source):
    spec = {
        "dataSchema": {
            "dataSource": "d",
            "timestampSpec": {"column": "ts"},
            "dimensionsSpec": {},
            "granularitySpec": {"rollup": False},
        },
        "ioConfig": {
            "type": "index",
            "inputSource": source("SELECT 1704067200000 AS ts, n AS page FROM generate_series(1, 1000000) AS g(n)"),
        },
    }
    limits = {"numRows": 3, "timeoutMs": 30_000, "maxBytesInMemory": 2**63 - 1, "maxClientResponseBytes": 0}
    answer = sample(spec, limits, {})
    assert [row["input"] for row in answer["data"]] == [{"page": n, "ts": 1704067200000} for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "query, cause, where",
    [
        ("SELEC 1", 'Cannot run inputSource.sqls[1]: syntax error at or near "1"', "sqls[1]"),
        ("SELECT * FROM nowhere", 'Cannot run inputSource.sqls[1]: relation "nowhere" does not exist', "sqls[1]"),
        ("SELECT 1; SELECT 2", 'Cannot run inputSource.sqls[1]: syntax error at or near ";"', "sqls[1]"),
        (
            "SELECT 1 / (3 - n) AS a FROM generate_series(1, 9) AS g(n)",
            "Cannot run inputSource.sqls[1]: division by zero",
            "sqls[1]",
        ),
    ],
)  # fmt: skip
def test_a_wrong_query_is_named_with_its_cause(source, query, cause, where):
    with pytest.raises(TaskFailed) as failed:
        list(chunks(source("SELECT 1 AS a", query), 1))
    assert failed.value.message == cause
    assert failed.value.where == f"spec.ioConfig.inputSource.{where}"


def test_a_database_that_cannot_be_reached_is_named_without_the_password(source, monkeypatch):
    monkeypatch.setattr("workers.ingest.sources.sql.FIRST_WAIT_S", 0.0)
    for asked in (source("SELECT 1", place="//127.0.0.1:1/db", password="hush"), source("SELECT 1", password="hush")):
        with pytest.raises(TaskFailed, match=r"Cannot reach the database 127\.0\.0\.1:") as failed:
            list(chunks(asked))
        assert "hush" not in str(failed.value)
        assert failed.value.where == "spec.ioConfig.inputSource.database.connectorConfig"


def test_a_connection_that_breaks_ends_the_task_with_that_cause(source, dsn, tmp_path):
    victim = "SELECT pg_terminate_backend(pg_backend_pid()), n FROM generate_series(1, 3) AS g(n)"
    done = ingest(inline("x", io={"inputSource": source(victim), "inputFormat": None}), tmp_path)
    assert done.error.startswith("Cannot run inputSource.sqls[0]: terminating connection")
    assert done.published == [] and done.files() == []


def test_a_reader_that_stops_early_lets_go_of_its_connection(source, dsn):
    reading = chunks(source("SELECT n FROM generate_series(1, 10000000) AS g(n)"), 1000)
    next(reading)
    reading.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(1000):
            (busy,) = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND pg_sleep(0.01) IS NOT NULL"
            ).fetchone()
            if not busy:
                return
    raise AssertionError("the connection is still open")


def test_input_gives_typed_rows(source):
    spec = {
        "dataSchema": {
            "dataSource": "d",
            "timestampSpec": {"column": "ts"},
            "dimensionsSpec": {"dimensions": ["page"]},
        },
        "ioConfig": {"inputSource": source("SELECT date '2024-01-01' AS ts, 1.50 AS page")},
    }
    (chunk,) = Input(spec, {}).read(1000)
    assert chunk.batch.columns["page"].to_list() == ["1.5"]
