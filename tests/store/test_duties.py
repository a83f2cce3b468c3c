"""Clean-up duties over Postgres: what goes at which instant, and that a second run finds nothing."""

from __future__ import annotations

import json
import os
import threading
from types import SimpleNamespace

import pytest

from overlord.app import create_app
from overlord.duties import Run, duties
from overlord.duties.schedule import Duties, check
from overlord.duties.unused_segments import slots, umbrella
from overlord.errors import BadRequest, SettingError, Unavailable
from overlord.logs import TaskLogs
from overlord.logs.local import FileLogStore
from overlord.model.audit import AuditInfo
from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval
from overlord.settings import Settings
from overlord.store import compaction, config, tasks
from tests.store.acting import segment, submit

NOW = parse_instant("2026-06-01T00:00:00Z")
DAY = 24 * 3600 * 1000
V = "/druid/indexer/v1"


def at(days_ago, ms=0):
    return format_instant(NOW - round(days_ago * DAY) + ms)


class World:
    """A leader's services, and rows put in by hand."""

    def __init__(self, db, folder, **settings):
        self.db = db
        self.submitted = []
        flags = {"ovl.data.dir": str(folder), **settings}
        self.settings = Settings.load(env={}, flags=flags)
        runner = SimpleNamespace(capacity=lambda: 20, live_log=lambda _: None, live_report=lambda _: None)
        self.services = SimpleNamespace(
            db=db,
            settings=self.settings,
            queue=self,
            runner=runner,
            logs=TaskLogs(FileLogStore(self.settings), runner),
            leader=SimpleNamespace(is_leader=lambda: True),
        )
        self.lead()
        self.duties = {name: duties[name]() for name in duties}

    def lead(self):
        with self.db.transaction() as tx:
            self.epoch = tasks.lead(tx, "http://here")

    def submit(self, task, audit=None):
        self.submitted.append(task)
        return task.id

    def run(self, name, *, dry=False, epoch=None):
        run = Run(services=self.services, epoch=epoch or self.epoch, now_ms=NOW, dry=dry)
        return self.duties[name].run(run)

    def sql(self, query, *values):
        with self.db.transaction() as tx:
            cursor = tx._conn.execute(query, values)
            return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else None

    def task(self, task_id, created, *, active=False, datasource="ds"):
        self.sql(
            "INSERT INTO druid_tasks (id, created_date, datasource, payload, status_payload, active) "
            "VALUES (%s, %s, %s, '{}', '{}', %s)",
            *(task_id, created, datasource, active),
        )

    def pending(self, pending_id, created, datasource="ds"):
        self.sql(
            'INSERT INTO druid_pendingsegments (id, datasource, created_date, start, "end", sequence_name, '
            "sequence_prev_id, sequence_name_prev_id_sha1, payload) "
            "VALUES (%s, %s, %s, '2024', '2025', 's', '', %s, '{}')",
            *(pending_id, datasource, created, pending_id),
        )

    def segment(self, day, datasource="ds", *, used=True, updated=None, number=0):
        payload = segment(day, "2024-01-01T00:00:00.000Z", number, datasource=datasource)
        start, end = payload["interval"].split("/")
        self.sql(
            'INSERT INTO druid_segments (id, datasource, created_date, start, "end", partitioned, version, used, '
            "payload, used_status_last_updated) VALUES (%s, %s, '2024', %s, %s, true, 'v', %s, %s, %s)",
            *(
                f"{datasource}_{day}_{number}",
                datasource,
                start,
                end,
                used,
                json.dumps(payload).encode(),
                updated or at(0),
            ),
        )

    def supervisor(self, spec_id, created, spec):
        self.sql(
            "INSERT INTO druid_supervisors (spec_id, created_date, payload) VALUES (%s, %s, %s)",
            *(spec_id, created, json.dumps(spec).encode()),
        )

    def ids(self, table, column="id"):
        return sorted(each for (each,) in self.sql(f"SELECT {column} FROM {table}"))


@pytest.fixture
def world(db, tmp_path):
    return World(db, tmp_path)


def twice(world, name):
    """Dry, for real, and again: the first two agree, the third finds nothing."""
    dry, real, again = world.run(name, dry=True), world.run(name), world.run(name)
    assert dry == real
    return real, again


# ---- pending segments ----


def pending_around(world, days_ago, datasource="ds"):
    world.pending(f"old_{datasource}", at(days_ago, -1), datasource)
    world.pending(f"at_{datasource}", at(days_ago), datasource)
    world.pending(f"new_{datasource}", at(days_ago, 1), datasource)


def test_without_tasks_pending_segments_go_after_a_day_to_the_millisecond(world):
    world.segment("2024-01-01")
    pending_around(world, 1)
    real, again = twice(world, "pendingSegments")
    assert real == {"cutoff": at(1), "rows": 1, "datasources": {"ds": 1}}
    assert again["rows"] == 0
    assert world.ids("druid_pendingsegments") == ["at_ds", "new_ds"]


CUTOFFS = [
    ({"a": (3, True), "b": (2, True)}, 4),  # the oldest unfinished one
    ({"a": (0.5, False), "b": (0.25, False)}, 1.25),  # the newest ended one
    ({"a": (3, True), "b": (0.5, False)}, 4),
    ({"a": (0.25, True), "b": (0.5, False)}, 1.5),
    ({"a": (1, False)}, 2),  # still recently finished
    ({"a": (1.01, False)}, 1),  # a stock Coordinator does not see it any more
]


def test_the_cutoff_is_a_day_before_the_oldest_unfinished_or_the_newest_ended_task(world):
    world.segment("2024-01-01")
    for tasks_there, cutoff_days in CUTOFFS:
        world.sql("DELETE FROM druid_tasks")
        world.sql("DELETE FROM druid_pendingsegments")
        for task_id, (days, active) in tasks_there.items():
            world.task(task_id, at(days), active=active, datasource="another")
        pending_around(world, cutoff_days)
        assert world.run("pendingSegments")["cutoff"] == at(cutoff_days)
        assert world.ids("druid_pendingsegments") == ["at_ds", "new_ds"]


def test_only_datasources_with_used_segments_unless_told_and_never_those_to_skip(world, tmp_path):
    for name in ("used", "unused", "skipped", "none"):
        world.pending(name, at(2), name)
    for name in ("used", "skipped"):
        world.segment("2024-01-01", name)
    world.segment("2024-01-01", "unused", used=False)
    with world.db.transaction() as tx:
        config.put(tx, "coordinator.config", {"killPendingSegmentsSkipList": ["skipped"]}, AuditInfo(), "2024")
    assert world.run("pendingSegments")["datasources"] == {"used": 1}
    everywhere = World(world.db, tmp_path, **{"ovl.duties.pendingSegments.withoutUsedSegments": "true"})
    assert everywhere.run("pendingSegments")["datasources"] == {"none": 1, "unused": 1}
    assert world.ids("druid_pendingsegments") == ["skipped"]


def test_the_duty_and_the_route_delete_the_same(world, tmp_path):
    """As a stock Coordinator would: the duty's cutoff, given to DELETE pendingSegments."""
    client = create_app(world.services).test_client()
    world.task("t", at(2), active=True, datasource="ds")
    for name in ("ds", "twin"):
        world.segment("2024-01-01", name)
        pending_around(world, 3, name)
    until = world.run("pendingSegments", dry=True)["cutoff"]
    answer = client.delete(f"{V}/pendingSegments/twin?interval=-146136543-09-08T08:23:32.096Z/{until}")
    assert answer.json == {"numDeleted": 1}
    assert world.run("pendingSegments")["datasources"] == {"ds": 1}
    assert [each.split("_")[0] for each in world.ids("druid_pendingsegments")] == ["at", "at", "new", "new"]
    refused = client.delete(f"{V}/pendingSegments/ds?interval=2000-01-01/{at(2, 1)}")
    assert refused.status_code == 400 and "active task[t]" in refused.json["error"]


def test_many_pending_segments_go_in_batches(world, monkeypatch):
    monkeypatch.setattr("overlord.store.duties.BATCH", 3)
    world.segment("2024-01-01")
    for number in range(8):
        world.pending(f"p{number}", at(2))
    assert world.run("pendingSegments")["rows"] == 8


# ---- rows by age ----


def test_audit_rows_older_than_their_time_go(world):
    for name, when in (("old", at(90, -1)), ("edge", at(90)), ("new", at(1))):
        world.sql(
            "INSERT INTO druid_audit (audit_key, type, author, comment, created_date, payload) "
            "VALUES (%s, 't', '', '', %s, '{}')",
            *(name, when),
        )
    real, again = twice(world, "audit")
    assert (real, again) == ({"rows": 1}, {"rows": 0})
    assert world.ids("druid_audit", "audit_key") == ["edge", "new"]


def test_rules_of_datasources_without_any_segment_go_the_default_ones_stay(world):
    world.segment("2024-01-01", "unused", used=False)
    for datasource, when in (("gone", at(90, -1)), ("edge", at(90)), ("unused", at(99)), ("_default", at(99))):
        world.sql("INSERT INTO druid_rules VALUES (%s, %s, %s, '[]')", f"{datasource}_{when}", datasource, when)
    real, again = twice(world, "rules")
    assert (real, again) == ({"rows": 1}, {"rows": 0})
    assert world.ids("druid_rules", "datasource") == ["_default", "edge", "unused"]


def test_compaction_configs_of_datasources_without_segments_go_at_any_age_with_druids_audit_row(world):
    world.segment("2024-01-01", "there", used=False)
    both = lambda now: now.with_datasource({"dataSource": "gone"}).with_datasource({"dataSource": "there"})  # noqa: E731
    compaction.change(world.db, both, AuditInfo())
    real, again = twice(world, "compactionConfigs")
    assert (real, again) == ({"datasources": ["gone"]}, {"datasources": []})
    with world.db.transaction() as tx:
        assert list(compaction.get(tx).datasources) == ["there"]
        (entry,) = config.newest(tx, "coordinator.compaction.config", 1)
    assert entry["auditInfo"] == {
        "author": "KillCompactionConfig",
        "identity": "KillCompactionConfig",
        "comment": "CoordinatorDuty for automatic deletion of compaction config",
        "ip": "",
    }


TOMBSTONE = {"type": "noop", "id": None, "dataSources": ["x"], "suspended": False, "source": "noop"}
KAFKA = {"type": "kafka", "spec": {"dataSchema": {"dataSource": "streamed"}}, "suspended": True}


def test_versions_of_terminated_supervisors_go_and_of_no_others(world):
    for spec_id, last in (("ended", TOMBSTONE), ("suspended", KAFKA)):
        world.supervisor(spec_id, at(99), KAFKA)
        world.supervisor(spec_id, at(90, -1), last)
    world.supervisor("just", at(99), KAFKA)
    world.supervisor("just", at(90), TOMBSTONE)
    real, again = twice(world, "supervisors")
    assert (real, again) == ({"rows": 3, "history": 0}, {"rows": 0, "history": 0})
    assert world.ids("druid_supervisors", "spec_id") == ["just", "suspended", "suspended"]


def test_what_is_noted_of_supervisors_goes_by_its_age_but_the_last_run_of_a_schedule_stays(world):
    for days, name in ((99, "old"), (89, "new")):
        world.sql(
            "INSERT INTO ovl_supervisor_events (at, supervisor_id, type, event, datasources) "
            "VALUES (%s, %s, 'kafka', 'updated', '[]')",
            *(at(days), name),
        )
        world.sql("INSERT INTO ovl_deliveries (url, event_id, made_at) VALUES (%s, 1, %s)", name, at(days))
    for due, submitted, schedule in ((1, "2024", "s"), (2, None, "s"), (3, "2024", "s"), (1, "2024", "once")):
        world.sql(
            "INSERT INTO ovl_runs (supervisor_id, due_ms, task_id, claimed_at, submitted_date) "
            "VALUES (%s, %s, 't', %s, %s)",
            *(schedule, due, at(99), submitted),
        )
    real, again = twice(world, "supervisors")
    assert (real["history"], again["history"]) == (3, 0)
    assert world.ids("ovl_supervisor_events", "supervisor_id") == world.ids("ovl_deliveries", "url") == ["new"]
    assert world.ids("ovl_runs", "supervisor_id || due_ms") == ["once1", "s2", "s3"]


def test_commit_metadata_without_supervisor_or_task_goes(world):
    world.supervisor("s", at(1), KAFKA)
    world.supervisor("ended", at(99), KAFKA | {"spec": {"dataSchema": {"dataSource": "old"}}})
    world.supervisor("ended", at(98), TOMBSTONE)
    world.task("t", at(1), active=True, datasource="running")
    for name, when in (("old", at(90, -1)), ("edge", at(90)), ("streamed", at(99)), ("running", at(99))):
        world.sql("INSERT INTO druid_datasource VALUES (%s, %s, '{}', 'x')", name, when)
    real, again = twice(world, "datasourceMetadata")
    assert (real, again) == ({"datasources": ["old"]}, {"datasources": []})
    assert world.ids("druid_datasource", "datasource") == ["edge", "running", "streamed"]


def test_ended_tasks_go_with_their_files_and_what_we_know_of_them(db, tmp_path):
    keys = {"druid.indexer.logs.kill.enabled": "true", "druid.indexer.logs.kill.durationToRetain": str(10 * DAY)}
    world = World(db, tmp_path, **keys)
    folder = world.settings["druid.indexer.logs.directory"]
    for name, when, ended in (("old", at(10, -1), True), ("edge", at(10), True), ("open", at(99), False)):
        submit(db, name)
        world.sql("UPDATE druid_tasks SET created_date = %s, active = %s WHERE id = %s", when, not ended, name)
        world.sql(
            "UPDATE ovl_tasks SET created_date = %s, state = %s WHERE id = %s",
            when,
            "SUCCESS" if ended else "RUNNING",
            name,
        )
        world.sql(
            "INSERT INTO ovl_publishes (task_id, publish_key, attempt, segments, result) VALUES (%s, 'k', 1, 0, '{}')",
            name,
        )
        (folder / f"{name}.log").write_text("x")
        (folder / f"{name}.report.json").write_text("{}")
    stray, other = folder / "stray.log", folder / "notes.txt"
    for path in (stray, other):
        path.write_text("x")
        os.utime(path, ((NOW - 10 * DAY - 1) / 1000,) * 2)
    assert world.run("tasks", dry=True) == {"tasks": 1, "files": 1}
    assert world.run("tasks") == {"tasks": 1, "files": 1}
    assert world.run("tasks") == {"tasks": 0, "files": 0}
    left = ["edge", "open"]
    assert world.ids("druid_tasks") == world.ids("ovl_tasks") == world.ids("ovl_publishes", "task_id") == left
    assert world.ids("ovl_events", "DISTINCT task_id") == left
    assert sorted(path.name for path in folder.iterdir()) == [
        "edge.log", "edge.report.json", "notes.txt", "open.log", "open.report.json",
    ]  # fmt: skip


def test_our_rows_go_when_someone_else_deleted_the_stock_ones(db, tmp_path):
    world = World(db, tmp_path, **{"druid.indexer.logs.kill.durationToRetain": str(10 * DAY)})
    for name, state in (("ended", "FAILED"), ("open", "WAITING")):
        submit(db, name)
        world.sql("UPDATE ovl_tasks SET state = %s WHERE id = %s", state, name)
    world.sql("UPDATE ovl_events SET at = '2024-01-01'")
    world.sql("DELETE FROM druid_tasks")
    assert world.run("tasks") == {"tasks": 0, "files": 0}
    assert world.ids("ovl_tasks") == world.ids("ovl_events", "task_id") == ["open"]


# ---- unused segments ----


@pytest.fixture
def killing(db, tmp_path):
    return World(db, tmp_path, **{"druid.coordinator.kill.on": "true"})


def test_a_kill_task_is_submitted_as_a_coordinator_would(killing):
    killing.segment("2024-01-01", used=False, updated=at(30))
    killing.segment("2024-01-05", used=False, updated=at(31))
    killing.segment("2024-01-07", used=False, updated=at(30, 1))  # not unused for long enough
    killing.segment("2024-01-09")
    assert killing.run("unusedSegments", dry=True)["tasks"] == {
        "ds": "2024-01-01T00:00:00.000Z/2024-01-06T00:00:00.000Z"
    }
    assert killing.submitted == []
    killing.run("unusedSegments")
    (task,) = killing.submitted
    assert task.id.startswith("coordinator-issued_kill_ds_")
    assert task.id.endswith(f"_2024-01-01T00:00:00.000Z_2024-01-06T00:00:00.000Z_{format_instant(NOW)}")
    assert task.payload["interval"] == "2024-01-01T00:00:00.000Z/2024-01-06T00:00:00.000Z"
    assert (task.payload["limit"], task.payload["batchSize"]) == (100, 100)
    assert task.payload["maxUsedStatusLastUpdatedTime"] == at(30)


def test_segments_of_the_last_while_are_retained_unless_told_otherwise(db, tmp_path):
    world = World(db, tmp_path)
    world.segment("2026-03-02", used=False, updated=at(40))  # ended on the 3rd, 90 days ago
    world.segment("2026-03-05", used=False, updated=at(40))
    assert world.run("unusedSegments", dry=True)["tasks"] == {"ds": "2026-03-02T00:00:00.000Z/2026-03-03T00:00:00.000Z"}
    world = World(db, tmp_path, **{"druid.coordinator.kill.ignoreDurationToRetain": "true"})
    assert world.run("unusedSegments", dry=True)["tasks"] == {"ds": "2026-03-02T00:00:00.000Z/2026-03-06T00:00:00.000Z"}


def test_a_task_covers_at_most_its_segments_and_interval_and_the_next_goes_on_from_there(db, tmp_path):
    world = World(
        db, tmp_path, **{"druid.coordinator.kill.maxSegments": "2", "druid.coordinator.kill.maxInterval": "P3D"}
    )
    for day in ("2024-01-01", "2024-01-03", "2024-01-05", "2024-01-20"):
        world.segment(day, used=False, updated=at(40))
    for _ in range(4):
        world.run("unusedSegments")
    found = [task.payload["interval"].replace("T00:00:00.000Z", "") for task in world.submitted]
    assert found == ["2024-01-01/2024-01-04", "2024-01-05/2024-01-06", "2024-01-20/2024-01-21"]
    world.run("unusedSegments")  # and from the start again, should they still be there
    assert world.submitted[-1].payload["interval"] == world.submitted[0].payload["interval"]


def test_datasources_take_turns_and_wait_for_tasks_under_way(killing):
    for name in ("a", "b", "c", "d"):
        for day in ("2024-01-01", "2024-03-01"):
            killing.segment(day, name, used=False, updated=at(40))
    killing.task("coordinator-issued_kill_b_x", at(0), active=True, datasource="b")
    killing.task("coordinator-issued_compact_a_x", at(0), active=True, datasource="a")
    served = []
    for _ in range(3):  # two slots of twenty, one of them taken by a stock Coordinator's task
        assert killing.run("unusedSegments")["freeSlots"] == 1
        served.append(killing.submitted[-1].datasource)
    assert served == ["a", "c", "d"]


def test_only_chosen_datasources_when_some_are_chosen(killing):
    for name in ("a", "b"):
        killing.segment("2024-01-01", name, used=False, updated=at(40))
    with killing.db.transaction() as tx:
        config.put(tx, "coordinator.config", {"killDataSourceWhitelist": ["b"]}, AuditInfo(), "2024")
    assert list(killing.run("unusedSegments")["tasks"]) == ["b"]


@pytest.mark.parametrize(
    ("capacity", "dynamic", "expected"),
    [
        (20, {}, 2),
        (3, {}, 1),
        (0, {}, 0),
        (20, {"killTaskSlotRatio": 0}, 0),
        (20, {"killTaskSlotRatio": 7}, 20),
        (20, {"maxKillTaskSlots": 1}, 1),
        (20, {"maxKillTaskSlots": 0}, 0),
    ],
)
def test_slots_for_kill_tasks(capacity, dynamic, expected):
    assert slots(capacity, dynamic) == expected


def test_one_interval_over_many():
    days = [Interval(day * DAY, (day + 1) * DAY) for day in (1, 2, 5, 9)]
    assert umbrella(days, 5 * DAY) == Interval(DAY, 6 * DAY)
    assert umbrella(days, 0) == Interval(DAY, 10 * DAY)
    assert umbrella(days[:1], 1) == days[0]
    assert umbrella([], 1) is None


# ---- all of them ----


def test_a_server_that_leads_no_more_deletes_nothing(world):
    world.segment("2024-01-01")
    world.pending("p", at(2))
    old = world.epoch
    world.lead()
    for name in duties:
        if name != "tasks":
            with pytest.raises(Unavailable):
                world.run(name, epoch=old)
    assert world.ids("druid_pendingsegments") == ["p"]


def test_two_servers_at_once_delete_each_row_once(world, monkeypatch):
    monkeypatch.setattr("overlord.store.duties.BATCH", 5)
    world.segment("2024-01-01")
    for number in range(40):
        world.pending(f"p{number}", at(2))
    found = []
    threads = [threading.Thread(target=lambda: found.append(world.run("pendingSegments")["rows"])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 40


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"druid.coordinator.kill.audit.period": "PT59M"}, "druid.coordinator.kill.audit.period"),
        ({"druid.coordinator.kill.rule.period": "PT1M"}, "druid.coordinator.kill.rule.period"),
        ({"druid.coordinator.kill.supervisor.durationToRetain": "-P1D"}, "supervisor.durationToRetain"),
        (
            {"druid.coordinator.kill.on": "true", "druid.coordinator.kill.period": "PT1M"},
            "druid.coordinator.kill.period",
        ),
        ({"druid.coordinator.kill.on": "true", "druid.coordinator.kill.maxSegments": "0"}, "maxSegments"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(settings, named):
    with pytest.raises(SettingError, match=named):
        check(Settings.load(env={}, flags=settings))
    check(Settings.load(env={}, flags={**settings, "ovl.duties.on": "false"}))


def test_one_switch_a_duty_and_one_for_all():
    default = Settings.load(env={}, flags={})
    on = {name for name in duties if duties[name]().is_on(default)}
    assert on == set(duties) - {"unusedSegments", "tasks"}
    for name in on:
        switch = duties[name].switch
        assert not duties[name]().is_on(Settings.load(env={}, flags={switch: "false"}))
        assert not duties[name]().is_on(Settings.load(env={}, flags={"ovl.duties.on": "false"}))


@pytest.fixture
def leading(world):
    parts = world.services
    parts.duties = Duties(lambda: parts)
    parts.duties.start(world.epoch)
    yield world
    parts.duties.stop()


def test_the_routes_tell_what_ran_what_would_go_and_run_one(leading):
    client = create_app(leading.services).test_client()
    leading.segment("2024-01-01")
    leading.pending("p", at(900))
    listed = {each["name"]: each for each in client.get(f"{V}/duties").json["duties"]}
    assert set(listed) == set(duties)
    assert listed["pendingSegments"]["nextRun"] and listed["pendingSegments"]["lastRun"] is None
    assert (listed["unusedSegments"]["on"], listed["unusedSegments"]["nextRun"]) == (False, None)
    dry = {each["name"]: each["wouldGo"] for each in client.get(f"{V}/duties?dryRun=true").json["duties"]}
    assert dry["pendingSegments"]["rows"] == 1
    assert "durationToRetain" in dry["tasks"]["error"]
    assert client.post(f"{V}/duties/pendingSegments/run?dryRun=true").json["counts"]["rows"] == 1
    assert leading.ids("druid_pendingsegments") == ["p"]
    assert client.post(f"{V}/duties/pendingSegments/run").json["counts"]["rows"] == 1
    assert leading.ids("druid_pendingsegments") == []
    listed = {each["name"]: each for each in client.get(f"{V}/duties").json["duties"]}
    assert listed["pendingSegments"]["lastRun"]["counts"]["rows"] == 1
    unknown = client.post(f"{V}/duties/nothing/run")
    assert unknown.status_code == 404 and "pendingSegments" in unknown.json["error"]


def test_a_duty_that_is_at_work_is_not_begun_twice(leading):
    with leading.services.duties._alone("audit"), pytest.raises(BadRequest, match="at work"):
        leading.services.duties.run("audit")


def test_duties_run_by_themselves_and_a_restart_waits_for_the_rest_of_the_period(db, tmp_path):
    world = World(db, tmp_path, **{"druid.coordinator.startDelay": "PT0S"})
    world.segment("2024-01-01")
    world.pending("p", at(900))
    parts = world.services
    parts.duties = Duties(lambda: parts)
    parts.duties.start(world.epoch)
    done = threading.Event()
    for _ in range(200):
        if world.sql("SELECT count(*) FROM ovl_duties")[0][0] == len(list(duties)) - 2:
            break
        done.wait(0.05)
    parts.duties.stop()
    assert world.ids("druid_pendingsegments") == []
    assert world.sql("SELECT DISTINCT error FROM ovl_duties") == [(None,)]
    parts.duties.start(world.epoch)
    for each in parts.duties.listed():
        if each["on"]:
            assert parse_instant(each["nextRun"]) == parse_instant(each["lastRun"]["time"]) + each["periodMs"]
    parts.duties.stop()
