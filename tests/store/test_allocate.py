"""segmentAllocate over a real Postgres."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from overlord.actions.allocate import allocate_all, read
from overlord.actions.base import Call
from overlord.errors import BadRequest
from overlord.model.interval import Interval
from overlord.store.pending import unique_key

from .acting import act, submit

RECORDED = json.loads((Path(__file__).parent / "fixtures/pendingsegments.json").read_text())
ROWS = [row for rows in RECORDED.values() for row in rows]
# The requests of these rows said skipSegmentLineageCheck.
WITHOUT_LINEAGE = {"seq1", "sem_alloc_2", "sem_alloc_3"}


def allocate(db, task, **more):
    given = {
        "dataSource": task.datasource,
        "timestamp": "2024-01-01T05:00:00.000Z",
        "queryGranularity": "none",
        "preferredSegmentGranularity": "DAY",
        "sequenceName": "s",
        "previousSegmentId": None,
        "skipSegmentLineageCheck": False,
        **more,
    }
    return act(db, task, "segmentAllocate", **given)


def pending_rows(dsn):
    with psycopg.connect(dsn, row_factory=dict_row) as conn:
        return conn.execute("SELECT * FROM druid_pendingsegments ORDER BY created_date, id").fetchall()


def number(found):
    return found["shardSpec"]["partitionNum"]


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row['datasource']}-{row['sequence_name'][-8:]}-{row['id'][-1]}"
)
def test_a_row_is_hashed_as_the_stock_overlord_hashed_it(row):
    version = row["payload"]["version"]
    interval = Interval.parse(f"{row['start']}/{row['end']}")
    by_lineage = unique_key(row["sequence_name"], version, previous=row["sequence_prev_id"])
    by_interval = unique_key(row["sequence_name"], version, interval=interval)
    without_lineage = row["sequence_name"] in WITHOUT_LINEAGE
    assert row["sequence_name_prev_id_sha1"] == (by_interval if without_lineage else by_lineage)


@pytest.mark.parametrize("skip", [False, True])
def test_an_allocated_row_has_the_columns_of_a_stock_one(db, dsn, skip):
    task = submit(db, "t", group="g")
    got = allocate(db, task, skipSegmentLineageCheck=skip, previousSegmentId="before")
    (row,) = pending_rows(dsn)
    day = Interval.parse("2024-01-01/2024-01-02")
    middle = {"interval": day} if skip else {"previous": "before"}
    assert row["sequence_name_prev_id_sha1"] == unique_key("s", got["version"], **middle)
    assert (row["datasource"], row["sequence_name"], row["task_allocator_id"]) == ("ds", "s", "g")
    assert (row["start"], row["end"]) == ("2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z")
    assert json.loads(bytes(row["payload"])) == got


def test_numbers_count_up_under_one_version_and_core_count_zero(db):
    task = submit(db, "t")
    made = [allocate(db, task, sequenceName=f"s{n}") for n in range(4)]
    assert [number(each) for each in made] == [0, 1, 2, 3]
    assert len({each["version"] for each in made}) == 1
    assert {each["shardSpec"]["partitions"] for each in made} == {0}


def test_the_same_request_gets_the_same_segment(db, dsn):
    task = submit(db, "t")
    assert allocate(db, task) == allocate(db, task)
    assert len(pending_rows(dsn)) == 1


def test_lineage_makes_a_chain_and_a_retried_link_is_the_same(db, dsn):
    task = submit(db, "t")
    first = allocate(db, task)
    name = f"ds_2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z_{first['version']}"
    second = allocate(db, task, previousSegmentId=name)
    assert (number(first), number(second)) == (0, 1)
    assert allocate(db, task, previousSegmentId=name) == second
    assert len(pending_rows(dsn)) == 2


def test_without_lineage_a_sequence_has_one_segment_a_chunk(db):
    task = submit(db, "t")
    first = allocate(db, task, skipSegmentLineageCheck=True)
    again = allocate(db, task, skipSegmentLineageCheck=True, previousSegmentId="whatever")
    other = allocate(db, task, skipSegmentLineageCheck=True, timestamp="2024-01-02T00:00:00.000Z")
    assert again == first
    assert other["interval"].startswith("2024-01-02")


def test_an_exclusive_holder_leaves_others_with_null(db):
    one, two = submit(db, "one"), submit(db, "two")
    assert allocate(db, one) is not None
    assert allocate(db, two) is None


def test_a_task_that_is_not_active_gets_null(db, dsn):
    task = submit(db, "t")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("UPDATE ovl_tasks SET state = 'FAILED'")
        conn.execute("UPDATE druid_tasks SET active = false")
    assert allocate(db, task) is None
    assert pending_rows(dsn) == []


def test_sixteen_at_once_get_sixteen_numbers(db, dsn):
    tasks = [submit(db, f"t{n}") for n in range(16)]
    got, faults = [], []

    def run(n):
        try:
            got.append(allocate(db, tasks[n], sequenceName=f"s{n}", taskLockType="APPEND"))
        except Exception as fault:  # shown by the assertion below
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(number(each) for each in got) == list(range(16))
    assert len({row["id"] for row in pending_rows(dsn)}) == 16


HASHED = {"type": "hashed", "partitionDimensions": ["page"], "bucketId": 1, "numPartitions": 4}
OVERWRITE = {"type": "numbered_overwrite", "startRootPartitionId": 0, "endRootPartitionId": 1, "minorVersion": 1}


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (
            HASHED | {"partitionFunction": "murmur3_32_abs"},
            {
                "type": "hashed",
                "partitionNum": 0,
                "partitions": 0,
                "bucketId": 1,
                "numBuckets": 4,
                "partitionDimensions": ["page"],
                "partitionFunction": "murmur3_32_abs",
            },
        ),
        (
            {"type": "single_dim", "partitionDimension": "page"},
            {
                "type": "single",
                "start": None,
                "end": None,
                "dimension": "page",
                "partitionNum": 0,
                "numCorePartitions": 0,
            },
        ),
        (
            OVERWRITE,
            {
                "type": "numbered_overwrite",
                "partitionId": 32768,
                "startRootPartitionId": 0,
                "endRootPartitionId": 1,
                "minorVersion": 1,
                "atomicUpdateGroupSize": -1,
            },
        ),
    ],
)
def test_a_shard_spec_factory_makes_the_shard_spec_of_a_stock_overlord(db, factory, expected):
    task = submit(db, "t")
    got = allocate(db, task, shardSpecFactory=factory)
    assert got["shardSpec"] == expected
    assert list(got["shardSpec"]) == list(expected)


def test_overwriting_partitions_are_numbered_apart_from_root_ones(db):
    task = submit(db, "t")
    roots = [allocate(db, task, sequenceName=f"r{n}") for n in range(2)]
    over = [allocate(db, task, sequenceName=f"o{n}", shardSpecFactory=OVERWRITE) for n in range(2)]
    assert [each["shardSpec"]["partitionId"] for each in over] == [32768, 32769]
    assert number(allocate(db, task, sequenceName="r2")) == 2
    assert {each["version"] for each in [*roots, *over]} == {roots[0]["version"]}


@pytest.mark.parametrize(
    "factory",
    [{"type": "hash"}, {"type": "linear"}, {}, 7, OVERWRITE | {"minorVersion": 0}, HASHED | {"bucketId": "x"}],
)
def test_a_shard_spec_factory_that_is_none_is_refused(db, factory):
    task = submit(db, "t")
    with pytest.raises(BadRequest, match="shardSpecFactory"):
        allocate(db, task, shardSpecFactory=factory)


def test_segment_granularity_locks_the_segment_alone(db):
    one, two, three = (submit(db, name) for name in ("one", "two", "three"))
    first = allocate(db, one, sequenceName="a", lockGranularity="SEGMENT")
    second = allocate(db, two, sequenceName="b", lockGranularity="SEGMENT")
    assert (number(first), number(second), first["version"]) == (0, 1, second["version"])
    assert allocate(db, three, sequenceName="c") is None
    taken = act(
        db,
        three,
        "segmentLockTryAcquire",
        lockType="EXCLUSIVE",
        interval=first["interval"],
        version=first["version"],
        partitionIds=[0, 2],
    )
    assert [each["taskLock"] is None for each in taken] == [True, False]


def test_a_segment_lock_that_is_refused_leaves_no_row(db, dsn):
    one, two = submit(db, "one"), submit(db, "two")
    assert allocate(db, one) is not None
    assert allocate(db, two, sequenceName="other", lockGranularity="SEGMENT") is None
    assert len(pending_rows(dsn)) == 1


def test_requests_of_one_transaction_see_each_other_in_order(db, dsn):
    one, two = submit(db, "one"), submit(db, "two")
    requests = [
        wanted(db, one, sequenceName="a"),
        wanted(db, one, sequenceName="a"),
        wanted(db, two, sequenceName="b"),
        wanted(db, one, sequenceName="c"),
        wanted(db, one, sequenceName="d", timestamp="2024-01-02T00:00:00.000Z"),
    ]
    first, again, refused, second, other_day = allocate_all(db, requests)
    assert again == first
    assert refused is None
    assert (first.shard_spec.partition_num, second.shard_spec.partition_num) == (0, 1)
    assert str(other_day.interval).startswith("2024-01-02")
    assert len(pending_rows(dsn)) == 3


def test_five_hundred_requests_are_one_transaction(db, dsn):
    task = submit(db, "t")
    got = allocate_all(db, [wanted(db, task, sequenceName=f"s{n}") for n in range(500)])
    assert [each.shard_spec.partition_num for each in got] == list(range(500))
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(DISTINCT xmin::text) FROM druid_pendingsegments").fetchone() == (1,)


def test_ids_of_all_time_meet_those_of_a_day(db):
    task = submit(db, "t")
    eternal = allocate(db, task, preferredSegmentGranularity="ALL")
    assert eternal["interval"].startswith("-146136543")
    assert allocate(db, task, sequenceName="later", preferredSegmentGranularity="ALL")["shardSpec"]["partitionNum"] == 1


def test_a_streaming_task_allocates_under_its_availability_group(db, dsn):
    task = submit(db, "t", kind="index_kafka", group="index_kafka_ds", availability_group="base")
    assert allocate(db, task) is not None
    assert [row["task_allocator_id"] for row in pending_rows(dsn)] == ["base"]


def wanted(db, task, **more):
    given = {
        "dataSource": task.datasource,
        "timestamp": "2024-01-01T05:00:00.000Z",
        "queryGranularity": "none",
        "preferredSegmentGranularity": "DAY",
        "sequenceName": "s",
        **more,
    }
    return read(Call(services=None, task=task, action=given))
