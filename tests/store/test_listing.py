"""Listings over real rows: which, in which order, in which shape."""

from __future__ import annotations

import re

import orjson
import psycopg
import pytest

from overlord.store import listing
from overlord.store.queries import Queries, Tables

NOWHERE = {"host": None, "port": -1, "tlsPort": -1}
ALL = "2000-01-01T00:00:00.000Z"


@pytest.fixture
def put(dsn):
    """Insert a task: `put(id, minute, state, ...)`; created at that minute of 2024-01-01."""

    def insert(task_id, minute, state="SUCCESS", *, datasource="ds", task_type="noop", ours=True, **more):
        created = f"2024-01-01T00:{minute:02d}:00.000Z"
        ended = state in ("SUCCESS", "FAILED")
        status = {
            "id": task_id,
            "status": state if ended else "RUNNING",
            "duration": more.get("duration", -1),
            "errorMsg": more.get("error"),
            "location": {"host": None, "port": -1, "tlsPort": -1},
        }
        payload = {"type": task_type, "id": task_id, "groupId": "g_" + task_id, "dataSource": datasource}
        columns = (None, None) if more.get("old") else (task_type, "g_" + task_id)
        stock = (task_id, created, datasource, orjson.dumps(payload), orjson.dumps(status), not ended, *columns)
        own = (task_id, created, datasource, task_type, "g_" + task_id, task_id, 50, state)
        place = (more.get("queued"), more.get("host"), more.get("port"))
        with psycopg.connect(dsn, autocommit=True) as db:
            db.execute(
                "INSERT INTO druid_tasks (id, created_date, datasource, payload, status_payload, active, type,"
                " group_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                stock,
            )
            if ours:
                db.execute(
                    "INSERT INTO ovl_tasks (id, created_date, datasource, type, group_id, availability_group, priority,"
                    " state, queue_insertion_time, host, port) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (*own, *place),
                )

    return insert


def ids(db, **wanted):
    wanted.setdefault("ended_since", ALL)
    with db.transaction() as tx:
        return [row["id"] for row in orjson.loads(b"".join(listing.dump(tx, listing.Wanted(**wanted))))]


def test_nothing_is_an_empty_array(db):
    assert ids(db) == []


def test_ended_tasks_newest_first_then_active_ones_oldest_first(db, put):
    put("run1", 3, "RUNNING")
    put("end1", 1)
    put("wait", 2, "WAITING")
    put("end2", 5, "FAILED")
    assert ids(db) == ["end2", "end1", "wait", "run1"]


def test_most_cuts_ended_tasks_only(db, put):
    for minute in range(5):
        put(f"end{minute}", minute)
    put("run", 9, "RUNNING")
    assert ids(db, most=2) == ["end4", "end3", "run"]
    assert ids(db, most=0) == ["run"]


def test_datasource_applies_before_most_and_type_after(db, put):
    put("a", 1, datasource="x")
    put("b", 2, datasource="y")
    put("c", 3, datasource="x", task_type="kill")
    assert ids(db, datasource="x", most=1) == ["c"]
    assert ids(db, type="noop", most=1) == []
    assert ids(db, type="noop", most=2) == ["b"]
    assert ids(db, datasource="X") == []
    assert ids(db, type="") == []


def test_states_and_how_far_back(db, put):
    put("w", 1, "WAITING")
    put("p", 2, "PENDING")
    put("r", 3, "RUNNING")
    put("e", 4)
    assert ids(db, active=("PENDING",), ended_since=None) == ["p"]
    assert ids(db, active=()) == ["e"]
    assert ids(db, active=(), ended_since="2024-01-01T00:05:00.000Z") == []


def test_active_rows_of_another_overlord_are_not_listed_its_ended_ones_are(db, put):
    put("theirs", 1, "RUNNING", ours=False)
    put("old", 2, ours=False, old=True)
    assert ids(db) == ["old"]
    with db.transaction() as tx:
        (row,) = orjson.loads(b"".join(listing.dump(tx, listing.Wanted(ended_since=ALL))))
    assert (row["type"], row["groupId"]) == ("noop", "g_old")


def test_many_rows_come_in_pieces_that_make_one_array(db, put, dsn):
    put("first", 1)
    with psycopg.connect(dsn, autocommit=True) as raw:
        raw.execute(
            "INSERT INTO druid_tasks SELECT 't' || n, created_date, datasource, payload, status_payload, active, type,"
            " group_id FROM druid_tasks, generate_series(1, 2345) n"
        )
    assert len(set(ids(db))) == 2346
    assert len(ids(db, type="noop", most=1001)) == 1001
    assert ids(db, type="other") == []


def test_the_status_object(db, put):
    put("w", 1, "WAITING", queued="2024-01-01T00:09:00.000Z")
    put("r", 2, "RUNNING", queued="2024-01-01T00:03:00.000Z", host="h", port=8100)
    put("e", 4, "FAILED", error="oh", duration=5)
    with db.transaction() as tx:
        ended, waiting, running = orjson.loads(b"".join(listing.dump(tx, listing.Wanted(ended_since=ALL))))
        assert listing.status(tx, "r") == {**running, "queueInsertionTime": listing.NEVER}
        assert listing.status(tx, "nope") is None
        brief = listing.brief(tx, ["e", "r", "nope"])
    assert list(ended) == [
        "id",
        "groupId",
        "type",
        "createdTime",
        "queueInsertionTime",
        "statusCode",
        "status",
        "runnerStatusCode",
        "duration",
        "location",
        "dataSource",
        "errorMsg",
    ]
    assert (ended["runnerStatusCode"], ended["errorMsg"], ended["duration"]) == ("NONE", "oh", 5)
    assert (waiting["queueInsertionTime"], waiting["location"]) == (listing.NEVER, NOWHERE)
    assert running["queueInsertionTime"] == "2024-01-01T00:03:00.000Z"
    assert running["location"] == {"host": "h", "port": 8100, "tlsPort": -1}
    assert set(brief) == {"e", "r"}
    assert brief["e"] == {"id": "e", "status": "FAILED", "duration": 5, "errorMsg": "oh", "location": NOWHERE}


def test_a_status_that_cannot_be_read_is_shown_as_a_failure_and_hides_no_other(db, put, dsn):
    put("good", 1)
    put("bad", 2)
    put("odd", 3)
    with psycopg.connect(dsn, autocommit=True) as raw:
        raw.execute("UPDATE druid_tasks SET status_payload = 'nonsense' WHERE id = 'bad'")
        raw.execute("""UPDATE druid_tasks SET status_payload = '{"status": "FAILED"}' WHERE id = 'odd'""")
    with db.transaction() as tx:
        odd, bad, good = orjson.loads(b"".join(listing.dump(tx, listing.Wanted(ended_since=ALL))))
    assert (good["statusCode"], odd["statusCode"], odd["location"]) == ("SUCCESS", "FAILED", NOWHERE)
    assert bad["statusCode"] == "FAILED" and "cannot be read" in bad["errorMsg"]


def plan(dsn, name, **parameters):
    given = {
        **listing.Wanted().narrowing(),
        **dict.fromkeys(("most", "type", "after_key", "after_id", "limit")),
        **{"sort": "createdTime", "descending": True, **parameters},
    }
    statement = b"EXPLAIN " + Queries(Tables())[name]
    with psycopg.connect(dsn) as raw:
        raw.execute(Queries(Tables())["listing.by_index"])
        return "\n".join(line for (line,) in raw.execute(statement, given, prepare=False))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("listing.ended", {"most": 100}),
        ("listing.ended", {"most": 100, "datasource": "ds3"}),
        ("listing.ended_page", {"limit": 101}),
        ("listing.ended_page", {"limit": 101, "descending": False}),
        ("listing.ended_page", {"limit": 101, "after_key": "2024-01-01T00:30:00.000Z", "after_id": "t5"}),
        ("listing.ended_page", {"limit": 101, "datasource": "ds3", "after_key": "2024-01-01T05:30", "after_id": "t5"}),
        ("listing.ended_page", {"limit": 101, "sort": "id", "descending": False}),
        ("listing.ended_page", {"limit": 101, "sort": "id", "after_key": "t5", "after_id": "t5"}),
    ],
)
def test_a_page_is_read_from_an_index_without_a_scan_or_a_sort_of_all(long_history, name, parameters):
    text = plan(long_history, name, **parameters)
    assert "Index Scan" in text and not re.search(r"Seq Scan|Bitmap|(^|-> +)Sort ", text), text


@pytest.fixture(scope="module", params=["analyzed", "never_analyzed"])
def long_history(postgres, request):
    """Connection string of a database with 20,000 ended tasks of 20 datasources."""
    with psycopg.connect(postgres.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE history_{request.param} TEMPLATE migrated")
    dsn = postgres.dsn.rsplit("/", 1)[0] + f"/history_{request.param}"
    with psycopg.connect(dsn, autocommit=True) as raw:
        raw.execute("ALTER TABLE druid_tasks SET (autovacuum_enabled = false)")
        raw.execute(
            "INSERT INTO druid_tasks (id, created_date, datasource, payload, status_payload, active, type, group_id)"
            " SELECT 't' || n, to_char(date '2024-01-01' + n * interval '1 s', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
            ", 'ds' || n % 20, '{}', '{}', false, 'noop', 't' || n FROM generate_series(1, 20000) n"
        )
        if request.param == "analyzed":
            raw.execute("ANALYZE druid_tasks")
    return dsn


def test_the_oldest_active_task_of_a_datasource_may_be_another_overlords(db, put):
    put("ours", 2, "RUNNING")
    put("theirs", 1, "RUNNING", ours=False)
    with db.transaction() as tx:
        assert listing.oldest_active(tx, "ds")["id"] == "theirs"
        assert listing.oldest_active(tx, "other") is None
