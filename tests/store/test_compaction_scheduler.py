"""The compaction scheduler over a real Postgres: slots, other people's tasks, and tasks that do not help."""

from __future__ import annotations

from types import SimpleNamespace

import orjson
import pytest

from overlord.model.audit import AuditInfo
from overlord.schemas.compaction_config import DatasourceCompaction, load_config
from overlord.settings import Settings
from overlord.store import compaction as config_store
from overlord.store import tasks as tasks_store
from overlord.supervisors.compaction import CompactionScheduler

from .acting import segment


class Queue:
    def __init__(self, db):
        self.db, self.ended = db, []

    def submit(self, task, audit):
        with self.db.transaction() as tx:
            tasks_store.submit(tx, task, orjson.dumps(task.payload), audit, "2024-01-01T00:00:00.000Z")
        return task.id

    def shutdown(self, task_id, reason):
        self.ended.append(task_id)


@pytest.fixture
def parts(db, tmp_path):
    flags = {"ovl.data.dir": str(tmp_path), "ovl.compaction.period": "PT1H"}
    runner = SimpleNamespace(capacity=lambda: 2)
    return SimpleNamespace(db=db, settings=Settings.load(env={}, flags=flags), queue=Queue(db), runner=runner)


@pytest.fixture
def scheduler(parts):
    return CompactionScheduler(lambda: parts, lambda: [])


def configured(db, **more):
    config = load_config(DatasourceCompaction, {"dataSource": "ds", "skipOffsetFromLatest": "PT0S", **more})
    config_store.change(
        db,
        lambda now: now.with_datasource(config).with_cluster({**now.cluster, "compactionTaskSlotRatio": 1.0}),
        AuditInfo(),
    )


def stored(db, *days, state=None, version="1"):
    with db.transaction() as tx:
        for day in days:
            made = segment(day, version) | ({"lastCompactionState": state} if state else {})
            start, end = made["interval"].split("/")
            tx.script(
                "INSERT INTO druid_segments VALUES "
                f"('ds_{day}_{version}', 'ds', '2024', '{start}', '{end}', true, '{version}', true, "
                f"'{orjson.dumps(made).decode()}'::bytea, '2024', NULL)"
            )


def end(db, state):
    with db.transaction() as tx:
        tx.script(f"UPDATE ovl_tasks SET state = '{state}'; UPDATE druid_tasks SET active = false")


def test_as_many_tasks_as_there_are_slots_newest_first_and_none_twice(db, scheduler):
    configured(db)
    stored(db, "2024-01-01", "2024-01-02", "2024-01-03")
    assert len(scheduler.run_once()) == 2
    with db.transaction() as tx:
        payloads = [orjson.loads(tasks_store.payload(tx, row["id"])) for row in tasks_store.open_tasks(tx)]
    assert [each["ioConfig"]["inputSpec"]["interval"][:10] for each in payloads] == ["2024-01-03", "2024-01-02"]
    assert scheduler.run_once() == []
    end(db, "FAILED")
    assert len(scheduler.run_once()) == 1  # the failed ones wait their time, the oldest has not been tried


def test_a_chunk_at_which_a_coordinator_is_at_work_is_left_alone(db, scheduler):
    configured(db)
    stored(db, "2024-01-01", "2024-01-02")
    interval = "2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z"
    payload = {"type": "compact", "ioConfig": {"inputSpec": {"type": "interval", "interval": interval}}}
    with db.transaction() as tx:
        tx.script(
            "INSERT INTO druid_tasks VALUES ('coordinator-issued_compact_ds_x', '2024', 'ds', "
            f"'{orjson.dumps(payload).decode()}'::bytea, '{{}}'::bytea, true, 'compact', 'g')"
        )
    (task_id,) = scheduler.run_once()
    with db.transaction() as tx:
        assert orjson.loads(tasks_store.payload(tx, task_id))["ioConfig"]["inputSpec"]["interval"][:10] == "2024-01-01"


def test_a_success_that_did_not_help_is_not_repeated_until_something_changes(db, scheduler):
    configured(db, maxRowsPerSegment=7)
    stored(db, "2024-01-01")
    assert len(scheduler.run_once()) == 1
    end(db, "SUCCESS")
    state = {"partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 8}}
    stored(db, "2024-01-01", state=state, version="2")
    assert scheduler.run_once() == [] and scheduler.run_once() == []
    configured(db, maxRowsPerSegment=9)
    assert len(scheduler.run_once()) == 1


def test_a_task_for_a_granularity_of_the_past_is_ended_but_not_one_of_a_user(db, parts, scheduler):
    configured(db, granularitySpec={"segmentGranularity": "DAY"})
    stored(db, "2024-01-01")
    (task_id,) = scheduler.run_once()
    configured(db, granularitySpec={"segmentGranularity": "MONTH"})
    with db.transaction() as tx:
        task = orjson.loads(tasks_store.payload(tx, task_id))
        mine = {"ioConfig": {"inputSpec": {"type": "interval", "interval": task["ioConfig"]["inputSpec"]["interval"]}}}
        mine |= {"type": "compact", "id": "mine", "granularitySpec": task["granularitySpec"]}
        tx.script(
            f"INSERT INTO druid_tasks VALUES ('mine', '2024', 'ds', '{orjson.dumps(mine).decode()}'::bytea, "
            "'{}'::bytea, true, 'compact', 'g')"
        )
    scheduler.run_once()
    assert parts.queue.ended == [task_id]


def test_with_supervisors_off_and_a_coordinator_elsewhere_nothing_is_done(db, tmp_path):
    flags = {"ovl.data.dir": str(tmp_path), "ovl.compaction.withoutCoordinator": "false"}
    parts = SimpleNamespace(db=db, settings=Settings.load(env={}, flags=flags))
    configured(db)
    stored(db, "2024-01-01")
    assert CompactionScheduler(lambda: parts, lambda: []).run_once() == []
