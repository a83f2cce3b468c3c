"""Segments marked used and unused, configurations and their history, over real rows."""

from __future__ import annotations

import orjson
import psycopg
import pytest

from overlord.model.audit import AuditInfo
from overlord.model.interval import Interval
from overlord.store import config, datasources

NOW = "2024-06-01T00:00:00.000Z"


@pytest.fixture
def put(dsn):
    """Insert a segment: `put("2024-01-01/2024-01-02", "v1")`; gives its id."""

    def insert(interval, version="v1", *, used=True, partition=0):
        start, end = str(Interval.parse(interval)).split("/")
        name = f"ds_{start}_{end}_{version}" + (f"_{partition}" if partition else "")
        payload = {
            "dataSource": "ds",
            "interval": f"{start}/{end}",
            "version": version,
            "loadSpec": {},
            "dimensions": "",
            "metrics": "",
            "shardSpec": {"type": "numbered", "partitionNum": partition, "partitions": 1},
            "binaryVersion": 9,
            "size": 1,
            "identifier": name,
        }
        with psycopg.connect(dsn, autocommit=True) as db:
            db.execute(
                'INSERT INTO druid_segments (id, datasource, created_date, start, "end", partitioned, version, used,'
                " payload, used_status_last_updated) VALUES (%s, 'ds', %s, %s, %s, true, %s, %s, %s, %s)",
                (name, NOW, start, end, version, used, orjson.dumps(payload), "2024-01-01T00:00:00.000Z"),
            )
        return name

    return insert


@pytest.fixture
def used(dsn):
    def names():
        with psycopg.connect(dsn) as db:
            return {row[0] for row in db.execute("SELECT id FROM druid_segments WHERE used")}

    return names


def test_only_whole_segments_inside_are_marked_unused(db, put, used):
    day, hour = put("2024-01-01/P1D"), put("2024-01-02/PT1H")
    eternity = put("-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z")
    with db.transaction() as tx:
        assert datasources.mark_unused(tx, "ds", NOW, Interval.parse("2024-01-01/PT12H")) == 0
        assert datasources.mark_unused(tx, "ds", NOW, Interval.parse("2024-01-01/2024-01-02T02:00")) == 2
        assert datasources.mark_unused(tx, "ds", NOW, Interval.parse("2024-01-01/2024-01-02T02:00")) == 0
    assert used() == {eternity}
    assert day != hour


def test_versions_narrow_and_an_empty_list_matches_nothing(db, put, used):
    put("2024-01-01/P1D", "v1")
    put("2024-01-01/P1D", "v2")
    with db.transaction() as tx:
        everything = Interval.parse("2000/3000")
        assert datasources.mark_unused(tx, "ds", NOW, everything, []) == 0
        assert datasources.mark_unused(tx, "ds", NOW, everything, ["v2"]) == 1
        assert datasources.mark_unused(tx, "ds", NOW) == 1
    assert used() == set()


def test_what_is_overshadowed_is_not_marked_used(db, put, used):
    newer = put("2024-01-01/P1D", "v2")
    put("2024-01-01/P1D", "v1", used=False)
    alone = put("2024-01-02/P1D", "v1", used=False)
    with db.transaction() as tx:
        assert datasources.mark_used(tx, "ds", NOW) == 1
    assert used() == {newer, alone}


def test_with_versions_only_these_are_weighed(db, put, used):
    newer, older = put("2024-01-01/P1D", "v2"), put("2024-01-01/P1D", "v1", used=False)
    with db.transaction() as tx:
        assert datasources.mark_used(tx, "ds", NOW, Interval.parse("2024/2025"), ["v1"]) == 1
    assert used() == {newer, older}


def test_by_ids_an_unknown_one_stops_the_rest(db, put, used):
    name = put("2024-01-01/P1D", used=False)
    with db.transaction() as tx:
        assert datasources.mark_used_ids(tx, "ds", NOW, [name, "ds_x"]) == (0, ["ds_x"])
        assert datasources.mark_used_ids(tx, "ds", NOW, [name]) == (1, [])
        assert datasources.mark_unused_ids(tx, "ds", NOW, [name, "ds_x"]) == 1
    assert used() == set()


def test_one_segment_counts_whether_or_not_it_changes(db, put, used):
    name = put("2024-01-01/P1D")
    with db.transaction() as tx:
        assert datasources.touch(tx, "ds", name, NOW, used=True) == 1
        assert datasources.touch(tx, "ds", name, NOW, used=False) == 1
        assert datasources.touch(tx, "ds", "ds_x", NOW, used=False) == 0
    assert used() == set()


def test_pending_segments_go_by_when_they_were_created(db, dsn):
    with psycopg.connect(dsn, autocommit=True) as raw:
        for number, created in enumerate(("2024-01-01", "2024-01-02", "2024-01-03")):
            raw.execute(
                "INSERT INTO druid_pendingsegments VALUES (%s, 'ds', %s, '2020', '2021', 's', '', %s, '')",
                (f"p{number}", f"{created}T00:00:00.000Z", f"{number}"),
            )
    with db.transaction() as tx:
        assert datasources.delete_pending_segments(tx, "ds", Interval.parse("2024-01-01/2024-01-02")) == 1
        assert datasources.delete_pending_segments(tx, "other", Interval.parse("2000/3000")) == 0
        eternity = Interval.parse("-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z")
        assert datasources.delete_pending_segments(tx, "ds", eternity) == 2


def test_history_of_a_configuration(db):
    with db.transaction() as tx:
        assert config.get(tx, "n") is None
        for number in (1, 2, 3):
            at = f"2024-01-0{number}T00:00:00.000Z"
            config.put(tx, "n", {"x": number}, AuditInfo(author="me", comment="c", ip="127.0.0.1"), at)
        assert config.get(tx, "n") == {"x": 3}
        assert [orjson.loads(e["payload"])["x"] for e in config.newest(tx, "n", 2)] == [3, 2]
        between = config.history(tx, "n", "2024-01-01T00:00:00.000Z", "2024-01-03T00:00:00.000Z")
    assert between[0] == {
        "key": "n",
        "type": "n",
        "auditInfo": {"author": "me", "identity": "allowAll", "comment": "c", "ip": "127.0.0.1"},
        "request": None,
        "payload": '{"x":1}',
        "auditTime": "2024-01-01T00:00:00.000Z",
    }
    assert len(between) == 2
