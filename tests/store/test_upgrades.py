"""Appends and replaces of one chunk at the same time: whoever commits first, each appended row is seen once."""

from __future__ import annotations

import psycopg
import pytest

from overlord.errors import OverlordError

from .acting import act, segment, submit

DAY = "2024-01-01/2024-01-02"
EPOCH = "1970-01-01T00:00:00.000Z"


@pytest.fixture
def appender(db):
    return submit(db, "k", kind="index_kafka", group="g", availability_group="base")


@pytest.fixture
def replacer(db):
    return submit(db, "r")


def allocate(db, task, name):
    return act(
        db,
        task,
        "segmentAllocate",
        dataSource="ds",
        timestamp="2024-01-01T05:00:00.000Z",
        queryGranularity="none",
        preferredSegmentGranularity="DAY",
        sequenceName=name,
        skipSegmentLineageCheck=True,
        taskLockType="APPEND",
    )


def append(db, task, allocated):
    spec = allocated["shardSpec"]
    given = segment("2024-01-01", allocated["version"], spec["partitionNum"], spec["partitions"])
    return act(db, task, "segmentTransactionalAppend", segments=[given])


def replace(db, task, version, count=1):
    given = [segment("2024-01-01", version, number, count) for number in range(count)]
    return act(db, task, "segmentTransactionalReplace", segments=given)


def lock(db, task):
    return act(db, task, "lockTryAcquire", lockType="REPLACE", interval=DAY)["version"]


def seen(db, task):
    found = act(db, task, "segmentListUsed", dataSource="ds", intervals=[DAY])
    return [(each["version"], each["shardSpec"]["partitionNum"], each["shardSpec"]["partitions"]) for each in found]


def origins(dsn):
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT upgraded_from_segment_id FROM druid_segments").fetchall()
    return sorted(row[0][-2:] for row in rows if row[0])


def test_what_was_appended_before_the_replace_is_copied_after_its_segments(db, appender, replacer):
    first = allocate(db, appender, "a")
    version = lock(db, replacer)
    append(db, appender, first)
    assert len(replace(db, replacer, version, 2)["segments"]) == 3
    assert seen(db, appender) == [(version, number, 2) for number in range(3)]


def test_what_is_appended_after_the_replace_brings_its_own_copy(db, appender, replacer):
    first = allocate(db, appender, "a")
    version = lock(db, replacer)
    replace(db, replacer, version, 2)
    published = append(db, appender, first)["segments"]
    assert [each["version"] for each in published] == [EPOCH, version]
    assert seen(db, appender) == [(version, number, 2) for number in range(3)]


def test_a_replace_sent_again_copies_nothing_twice(db, dsn, appender, replacer):
    """Of three appends one comes before, one after it, and one is still to come."""
    made = [allocate(db, appender, name) for name in "abc"]
    version = lock(db, replacer)
    append(db, appender, made[1])
    replace(db, replacer, version)
    append(db, appender, made[2])
    assert replace(db, replacer, version)["segments"] == []
    append(db, appender, made[0])
    assert replace(db, replacer, version)["segments"] == []
    assert seen(db, appender) == [(version, number, 1) for number in range(4)]
    assert origins(dsn) == ["0Z", "_1", "_2"]


def test_a_replacing_task_does_not_read_what_was_appended_since_its_lock(db, appender, replacer):
    made = [allocate(db, appender, name) for name in "ab"]
    append(db, appender, made[0])
    lock(db, replacer)
    append(db, appender, made[1])
    assert [number for _, number, _ in seen(db, replacer)] == [0]
    assert [number for _, number, _ in seen(db, appender)] == [0, 1]


def test_a_task_that_holds_another_lock_cannot_append(db, appender, replacer):
    first = allocate(db, appender, "a")
    assert act(db, appender, "lockTryAcquire", lockType="EXCLUSIVE", interval=DAY) is not None
    with pytest.raises(OverlordError, match=r"holding a lock of type\[EXCLUSIVE\] instead of \[APPEND\]"):
        append(db, appender, first)


def test_a_segment_without_a_lock_is_named_as_druid_names_it(db, replacer):
    with pytest.raises(OverlordError) as caught:
        act(db, replacer, "segmentTransactionalInsert", segments=[segment("2024-01-01", "v", 0, 1)])
    assert caught.value.to_wire()["error"] == (
        "org.apache.druid.java.util.common.ISE: Segments[[DataSegment{binaryVersion=9, "
        "id=ds_2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z_v, loadSpec={type=>local, "
        "path=>/nowhere/index.zip}, dimensions=[a], metrics=[n], shardSpec=NumberedShardSpec{partitionNum=0, "
        "partitions=1}, lastCompactionState=null, size=1}]] are not covered by locks[[]] for task[r]"
    )


def test_offsets_are_named_as_druid_names_them(db, appender):
    def move(begin, end):
        def at(kind, number):
            partitions = {"type": kind, "stream": "topic", "partitionSequenceNumberMap": {"0": number}}
            return {
                "type": "kafka",
                "partitions": partitions | ({"exclusivePartitions": []} if kind == "start" else {}),
            }

        return act(
            db,
            appender,
            "segmentTransactionalInsert",
            segments=[],
            dataSource="ds",
            startMetadata=at("start", begin),
            endMetadata=at("end", end),
        )

    assert move(0, 10)["success"] is True
    assert move(0, 11)["errorMsg"] == (
        "Inconsistency between stored metadata state[KafkaDataSourceMetadata{SeekableStreamStartSequenceNumbers="
        "SeekableStreamEndSequenceNumbers{stream='topic', partitionSequenceNumberMap={KafkaTopicPartition{partition=0, "
        "topic='null', multiTopicPartition=false}=10}}}] and target state[KafkaDataSourceMetadata{"
        "SeekableStreamStartSequenceNumbers=SeekableStreamStartSequenceNumbers{stream='topic', "
        "partitionSequenceNumberMap={KafkaTopicPartition{partition=0, topic='null', multiTopicPartition=false}=0}, "
        "exclusivePartitions=[]}}]. Try resetting the supervisor."
    )


def test_a_replace_lock_hides_what_is_newer_only_within_its_own_interval(db, appender, replacer):
    allocated = allocate(db, appender, "a")
    act(db, replacer, "lockTryAcquire", lockType="REPLACE", interval="2024-02-01/2024-02-02")
    append(db, appender, allocated)
    assert seen(db, replacer) == [(EPOCH, 0, 0)]
    lock(db, replacer)
    append(db, appender, allocate(db, appender, "b"))
    assert seen(db, replacer) == [(EPOCH, 0, 0)]
    assert seen(db, appender) == [(EPOCH, 0, 0), (EPOCH, 1, 0)]
