"""Parts of the kafka supervisor and its tasks that need neither a broker nor a database."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pytest

from overlord.errors import BadRequest
from overlord.model.instant import now_ms
from overlord.model.kafka import NOT_SET
from overlord.schemas import load_supervisor, load_task
from overlord.supervisors.kafka.broker import StreamFault
from overlord.supervisors.kafka.engine import Engine, _java_hash
from overlord.supervisors.kafka.groups import Group, Member
from overlord.supervisors.kafka.health import Health
from overlord.supervisors.kafka.scaler import LagScaler
from overlord.supervisors.kafka.tasks import base_name, payload_of, window_of
from workers.ingest.kafka.consumer import Stream
from workers.ingest.kafka.records import _either
from workers.streaming.sequences import Plan

HOUR = 3_600_000


def supervisor(tuning=None, **io):
    given = {
        "topic": "t",
        "consumerProperties": {"bootstrap.servers": "h:1"},
        "inputFormat": {"type": "json"},
        **io,
    }
    schema = {"dataSource": "d", "timestampSpec": {"column": "t"}, "dimensionsSpec": {}, "granularitySpec": {}}
    return load_supervisor({"type": "kafka", "spec": {"dataSchema": schema, "ioConfig": given, "tuningConfig": tuning}})


# ---- tasks ----


def load(body):
    settings = {"druid.indexer.tasklock.forceTimeChunkLock": True}
    return load_task(body, now_ms=0, default_context={}, settings=settings)


def task():
    group = Group(id=0, base="index_kafka_d_b", start={"0": 5}, checkpoints={0: {"0": 5}})
    return json.loads(json.dumps(payload_of(supervisor(), group)))


def test_a_task_of_a_supervisor_that_is_posted_is_stored_as_it_is():
    body = task()
    assert load(body).payload == body


def test_a_posted_task_gets_id_group_and_defaults():
    body = {name: value for name, value in task().items() if name in ("type", "dataSchema", "ioConfig")}
    loaded = load(body)
    assert loaded.id.startswith("index_kafka_d_")
    assert (loaded.group_id, loaded.datasource, loaded.priority) == ("index_kafka_d", "d", 75)
    assert loaded.payload["tuningConfig"] == task()["tuningConfig"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"baseSequenceName": None}, "baseSequenceName"),
        ({"consumerProperties": None}, "consumerProperties"),
        ({"startSequenceNumbers": None, "startPartitions": None}, "startSequenceNumbers"),
        (
            {"endSequenceNumbers": {"type": "end", "stream": "u", "partitionOffsetMap": {"0": 9}}},
            "start topic/stream and end topic/stream must match",
        ),
        (
            {"endSequenceNumbers": {"type": "end", "stream": "t", "partitionOffsetMap": {"1": 9}}},
            "start partition set and end partition set must match",
        ),
        (
            {"endSequenceNumbers": {"type": "end", "stream": "t", "partitionOffsetMap": {"0": 4}}},
            "end offset must be >= start offset for partition[0]",
        ),
    ],
)
def test_a_posted_task_that_cannot_read_is_refused(change, problem):
    body = task()
    body["ioConfig"] |= change
    with pytest.raises(BadRequest) as caught:
        load(body)
    assert caught.value.message.endswith(f"KafkaIndexTaskIOConfig`, problem: {problem}")


def test_the_same_work_has_the_same_name_and_other_work_another():
    spec = supervisor()
    name = base_name(spec, {"0": 1, "1": 2}, (None, None))
    assert name == base_name(spec, {"1": 2, "0": 1}, (None, None))
    others = {
        base_name(spec, {"0": 1, "1": 3}, (None, None)),
        base_name(spec, {"0": 1, "1": 2}, (7, None)),
        base_name(supervisor({"type": "kafka", "maxRowsInMemory": 7}), {"0": 1, "1": 2}, (None, None)),
    }
    assert len(others | {name}) == 4
    assert name == base_name(supervisor({"type": "kafka", "httpTimeout": "PT9S"}), {"0": 1, "1": 2}, (None, None))


def test_the_window_of_messages_counts_from_the_start_of_the_group():
    io = {"lateMessageRejectionPeriod": "PT1H", "earlyMessageRejectionPeriod": "PT2H", "taskDuration": "PT3H"}
    parts = supervisor(**io).payload["spec"]["ioConfig"]
    assert window_of(parts, 10 * HOUR) == (9 * HOUR, 15 * HOUR)
    assert window_of(supervisor().payload["spec"]["ioConfig"], 0) == (None, None)


def test_topics_are_hashed_as_java_does():
    assert (_java_hash(""), _java_hash("topic"), _java_hash("polygenelubricants")) == (0, 110546223, -2147483648)


def test_only_so_many_groups_end_in_one_run_when_their_time_is_up():
    spec = supervisor(taskCount=3, stopTaskCount=2, taskDuration="PT1S")
    nobody = SimpleNamespace(db=None, many=False)
    engine = Engine(spec, nobody, broker=nobody, records=nobody, talk=nobody, health=nobody)
    for number, began in enumerate((0, 0, 0)):
        members = {"a": Member(id="a", started_ms=began)}
        engine.active[number] = Group(id=number, base="b", start={str(number): 0}, members=members)
    assert [group.id for group in engine._due()] == [0, 1]
    engine.active[0].members["a"].started_ms = now_ms()
    assert [group.id for group in engine._due()] == [1, 2]


# ---- sequences ----


def plan(**offsets):
    start = offsets or {"0": 0, "1": 0}
    made = Plan.of(start, dict.fromkeys(start, NOT_SET), {})
    made.status = "PAUSED"
    return made


def test_a_checkpoint_ends_one_sequence_and_begins_the_next():
    made = plan()
    made.current = {"0": 5, "1": 7}
    assert made.set_end({"0": 5, "1": 8}, finish=False) is None
    assert made.left() == {"1": 7}
    assert made.checkpoints == {"0": {"0": 0, "1": 0}, "1": {"0": 5, "1": 8}}
    assert NOT_SET in made.end.values()


def test_the_end_may_be_said_twice_but_not_changed():
    made = plan()
    assert made.set_end({"0": 5, "1": 5}, finish=True) is None
    assert made.set_end({"0": 5, "1": 5}, finish=True) is None
    assert "cannot set to another value" in made.set_end({"0": 6, "1": 5}, finish=True)


def test_a_task_takes_no_end_while_it_reads_nor_one_behind_it():
    made = plan()
    made.status = "READING"
    assert "must be paused" in made.set_end({"0": 5, "1": 5}, finish=True)
    made.status, made.current = "PAUSED", {"0": 9, "1": 0}
    assert "must be >= current sequence for partition [0]" in made.set_end({"0": 5, "1": 5}, finish=True)
    assert "not being handled by this task" in made.set_end({"2": 5}, finish=True)


def test_a_replica_made_later_begins_at_the_checkpoints_it_is_given():
    made = Plan.of({"0": 3}, {"0": NOT_SET}, {1: {"0": 3}, 2: {"0": 8}})
    assert [(each.number, each.start, each.end) for each in made.sequences] == [
        (1, {"0": 3}, {"0": 8}),
        (2, {"0": 8}, {"0": NOT_SET}),
    ]


# ---- health ----


def test_three_bad_runs_make_a_supervisor_sick_and_three_good_ones_well():
    health = Health(suspended=False)
    health.good()
    for _ in range(3):
        assert health.state.healthy
        health.bad(StreamFault("nobody answers"))
    assert health.state.detailed == "LOST_CONTACT_WITH_STREAM"
    health.good()
    health.good()
    assert not health.state.healthy
    health.good()
    assert (health.state.state, health.state.healthy) == ("RUNNING", True)
    assert [each["streamException"] for each in health.errors] == [True] * 3


def test_a_stream_that_was_never_reached_and_other_failures_have_names_of_their_own():
    first, second = Health(suspended=False), Health(suspended=False)
    for _ in range(3):
        first.bad(StreamFault("nobody answers"))
        second.bad(ValueError("broken"))
    assert first.state.detailed == "UNABLE_TO_CONNECT_TO_STREAM"
    assert second.state.detailed == "UNHEALTHY_SUPERVISOR"


def test_three_failed_tasks_make_it_sick_until_three_succeed():
    health = Health(suspended=False)
    for well in (False, False, False):
        health.task_ended(well=well)
    health.good()
    assert health.state.detailed == "UNHEALTHY_TASKS"
    for expected in (False, False, True):
        health.task_ended(well=True)
        health.good()
        assert health.state.healthy is expected


# ---- scaling ----


def scaler(**more):
    given = {"enableTaskAutoScaler": True, "taskCountMin": 1, "taskCountMax": 6, **more}
    config = supervisor(autoScalerConfig=given).payload["spec"]["ioConfig"]["autoScalerConfig"]
    return LagScaler(config, 0.0)


def fill(made, lag, begin_s=0.0):
    """Ten minutes of one lag."""
    for at in range(20):
        made.collect([lag], begin_s + at * 30.0)


def test_a_lag_that_lasts_adds_tasks_up_to_the_most_and_the_partitions():
    made = scaler()
    fill(made, 7_000_000)
    assert made.decide(1, 9, 600.0) == 3
    for tasks, partitions, wanted in ((5, 9, 6), (2, 3, 3), (6, 9, 6)):
        other = scaler()
        fill(other, 7_000_000)
        assert other.decide(tasks, partitions, 600.0) == wanted


def test_no_lag_takes_tasks_away_but_not_too_soon_after_a_change():
    made = scaler()
    fill(made, 0)
    assert made.decide(4, 9, 600.0) == 3
    fill(made, 0, 600.0)
    assert made.decide(3, 9, 1199.0) == 3
    assert made.decide(3, 9, 1300.0) == 2
    assert made.decide(1, 9, 5000.0) == 1


def test_nothing_is_decided_before_the_lags_of_the_whole_range_are_known():
    made = scaler()
    made.collect([9_000_000], 0.0)
    assert made.decide(1, 9, 600.0) == 1


# ---- the kafka format ----


def test_fields_of_the_value_win_row_by_row():
    first, second = pl.Series("k", ["a", None]), pl.Series("k", ["x", "y"])
    assert _either(first, second).to_list() == ["a", "y"]
    assert _either(pl.Series("k", [None, None], dtype=pl.Null), second).to_list() == ["x", "y"]
    assert _either(pl.Series("k", [1, None], dtype=pl.Int64), second).to_list() == [1, "y"]


# ---- a broker that is not there ----


def test_a_broker_that_is_not_there_is_named_and_not_logged_at_each_try(caplog):
    io = {"startSequenceNumbers": {"stream": "t"}, "consumerProperties": {"bootstrap.servers": "127.0.0.1:1"}}
    stream = Stream(io, buffer_bytes=1 << 20)
    stream.assign({"0": 0})
    try:
        for _ in range(12):
            assert len(stream.read(0.1)) == 0
    finally:
        stream.close()
    assert "127.0.0.1:1" in stream.trouble.last and "Connection refused" in stream.trouble.last
    said = [record.getMessage() for record in caplog.records if "Connection refused" in record.getMessage()]
    assert len(said) == 1
    stream.trouble.over()
    assert stream.trouble.last is None
