"""kill, move, archive and restore jobs over real rows and real files."""

from __future__ import annotations

import threading
from pathlib import Path

import orjson
import pytest

from overlord import locks
from overlord.errors import OverlordError, TaskFailed
from overlord.model.audit import AuditInfo
from overlord.model.interval import Interval
from overlord.model.lock import LockType
from overlord.model.segment import DataSegment
from overlord.schemas import load_task
from overlord.store import segments as store
from overlord.store.tasks import submit
from overlord.tasks import task_types
from tests.store.acting import act
from workers.context import TaskContext
from workers.publish.local import LocalPusher
from workers.report import Report
from workers.tasks import jobs, load_all

load_all()
V1, V2 = "2024-01-01T00:00:00.000Z", "2024-02-01T00:00:00.000Z"


class Actions:
    """The action API without HTTP between."""

    def __init__(self, db, task):
        self.db, self.task, self.done = db, task, []
        self.before = lambda action: None

    def submit(self, action):
        self.before(action)
        self.done.append(action["type"])
        try:
            return act(
                self.db, self.task, **{"kind": action["type"], **{k: v for k, v in action.items() if k != "type"}}
            )
        except OverlordError as error:
            raise TaskFailed(error.message) from error


class World:
    def __init__(self, db, folder):
        self.db, self.folder = db, folder
        self.settings = {
            "druid.storage.type": "local",
            "druid.storage.storageDirectory": str(folder / "deep"),
            "druid.storage.archiveDirectory": str(folder / "archive"),
        }
        self.actions = None

    def segment(
        self, day, version=V1, number=0, *, used=False, files=True, load_spec=None, upgraded_from=None, hours=24,
        datasource="ds",
    ):  # fmt: skip
        start = Interval.parse(f"2024-01-{day:02}/PT{hours}H")
        plain = DataSegment.from_json(
            {
                "dataSource": datasource,
                "interval": str(start),
                "version": version,
                "shardSpec": {"type": "numbered", "partitionNum": number, "partitions": 0},
                "size": 5,
                "binaryVersion": 9,
            }
        )
        if load_spec is None and files:
            built = self.folder / "built"
            built.mkdir()
            (built / "version.bin").write_bytes(b"\0\0\0\x09")
            load_spec = LocalPusher.from_settings(self.settings).push(built, plain)
        payload = plain.to_json() | {"loadSpec": load_spec}
        with self.db.transaction() as tx:
            store.insert(
                tx,
                [DataSegment.from_json(payload)],
                "2024-03-01T00:00:00.000Z",
                upgraded_from={payload["identifier"]: upgraded_from} if upgraded_from else None,
            )
            if not used:
                tx.run(
                    "datasources.mark_unused_ids",
                    datasource=datasource,
                    now="2024-03-01T00:00:00.000Z",
                    ids=[payload["identifier"]],
                )
        return payload

    def run(self, kind, before=None, **spec):
        body = {"type": kind, "dataSource": "ds", "interval": "2024-01-01/2024-02-01", **spec}
        task = load_task(
            body,
            now_ms=1_800_000_000_000,
            default_context={},
            settings={"druid.indexer.tasklock.forceTimeChunkLock": True},
        )
        with self.db.transaction() as tx:
            submit(tx, task, orjson.dumps(task.payload), AuditInfo(), "2024-03-01T00:00:00.000Z")
            for request in task_types[kind].lock_requests(task):
                assert locks.try_acquire(tx, task, request, now_ms=1_800_000_000_000).lock is not None
        self.actions = Actions(self.db, task)
        if before:
            self.actions.before = before
        ctx = TaskContext(
            task_id=task.id,
            attempt=1,
            type=kind,
            payload=task.payload,
            dir=self.folder,
            settings=self.settings,
            memory_bytes=2**30,
            actions=self.actions,
            report=Report(self.folder / "report.json", task.id),
        )
        try:
            jobs[kind](ctx)
        finally:
            with self.db.transaction() as tx:
                locks.release_task(tx, task.id)
        if ctx.report.finish():
            return orjson.loads((self.folder / "report.json").read_bytes())["killUnusedSegments"]["payload"]
        return None

    def rows(self):
        with self.db.transaction() as tx:
            rows = tx.all("segments.overlapping", datasource="ds", start=None, end=None)
        return {p["identifier"]: p for p in (orjson.loads(bytes(row["payload"])) for row in rows)}

    def files(self, where="deep"):
        return sorted(
            str(p.parent.relative_to(self.folder / where)) for p in (self.folder / where).rglob("version.bin")
        )


@pytest.fixture
def world(db, tmp_path):
    return World(db, tmp_path)


def counts(killed, batches):
    return {"numSegmentsKilled": killed, "numBatchesProcessed": batches}


def test_kill_deletes_rows_and_files_of_what_is_unused_and_counts_the_empty_batch(world):
    gone, kept = world.segment(1), world.segment(2, used=True)
    assert world.run("kill") == counts(1, 2)
    assert list(world.rows()) == [kept["identifier"]]
    assert not Path(gone["loadSpec"]["path"]).exists()
    assert Path(kept["loadSpec"]["path"]).exists()
    assert not (world.folder / "deep/ds/2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z").exists()
    assert (world.folder / "deep").exists()


def test_kill_of_nothing_is_one_batch(world):
    assert world.run("kill", limit=5, batchSize=2) == counts(0, 1)


def test_kill_works_in_batches_and_ends_with_an_empty_one(world):
    for day in range(1, 6):
        world.segment(day)
    assert world.run("kill", batchSize=2) == counts(5, 4)
    assert world.rows() == {}
    assert world.files() == []


@pytest.mark.parametrize(("limit", "left", "batches"), [(1, 4, 1), (3, 2, 2), (4, 1, 2), (5, 0, 3), (9, 0, 4)])
def test_kill_stops_at_its_limit(world, limit, left, batches):
    for day in range(1, 6):
        world.segment(day)
    assert world.run("kill", batchSize=2, limit=limit) == counts(5 - left, batches)
    assert len(world.rows()) == left == len(world.files())


def test_limit_counts_files_not_rows(world):
    for day in (1, 2):
        first = world.segment(day)
        world.segment(day, V2, used=True, load_spec=first["loadSpec"], upgraded_from=first["identifier"])
    for day in (3, 4):
        world.segment(day)
    assert world.run("kill", batchSize=2, limit=3) == counts(2, 2)  # four rows went
    assert len(world.rows()) == 2
    assert len(world.files()) == 2


def test_kill_heeds_versions_and_the_time_of_marking(world):
    old, new = world.segment(1, V1), world.segment(1, V2)
    assert world.run("kill", maxUsedStatusLastUpdatedTime="2024-02-29T23:59:59.999Z") == counts(0, 1)
    assert world.run("kill", versions=[]) == counts(0, 1)
    assert world.run("kill", versions=[V2]) == counts(1, 2)
    assert list(world.rows()) == [old["identifier"]]
    assert not Path(new["loadSpec"]["path"]).exists()
    assert world.run("kill", maxUsedStatusLastUpdatedTime="2024-03-01T00:00:00.000Z") == counts(1, 2)


def test_kill_takes_whole_segments_only(world):
    world.segment(1)
    assert world.run("kill", interval="2024-01-01T01:00/2024-01-03") == counts(0, 1)
    assert len(world.rows()) == 1


def test_a_file_that_another_row_has_stays(world):
    """Used or unused, linked as an upgrade or not, wider than the first or not."""
    for day, more in ((1, {"used": True}), (5, {}), (9, {"used": True, "hours": 48})):
        first = world.segment(day)
        world.segment(day, V2, load_spec=first["loadSpec"], **more)
    assert world.run("kill", versions=[V1]) == counts(0, 2)
    assert len(world.rows()) == len(world.files()) == 3
    assert world.run("kill") == counts(1, 2)
    assert len(world.files()) == 2


def test_a_file_that_a_row_of_another_datasource_has_stays_wherever_that_lies_in_time(world):
    first, second = world.segment(1), world.segment(2)
    world.segment(20, load_spec=first["loadSpec"], datasource="copied", used=True)
    odd = dict(reversed(second["loadSpec"].items()))  # whatever the order of its keys
    world.segment(21, load_spec=odd, datasource="copied")
    world.segment(3)
    assert world.run("kill") == counts(1, 2)
    assert len(world.files()) == 2


def test_a_row_that_no_index_can_read_keeps_its_file_too(world):
    first = world.segment(1)
    other = world.segment(20, load_spec=first["loadSpec"], datasource="copied")
    with world.db.transaction() as tx:
        payload = orjson.dumps(other | {"dimensions": "a\0b"})
        tx._conn.execute("UPDATE druid_segments SET payload = %s WHERE datasource = 'copied'", [payload])
    assert world.run("kill") == counts(0, 2)
    assert len(world.files()) == 1


def test_copies_that_go_together_take_their_file_along(world):
    first = world.segment(1)
    world.segment(1, V2, load_spec=first["loadSpec"], upgraded_from=first["identifier"])
    assert world.run("kill") == counts(2, 2)
    assert world.files() == []


def test_missing_files_are_no_error(world):
    world.segment(1, load_spec={"type": "local", "path": str(world.folder / "nowhere/index.zip")})
    world.segment(2, load_spec={"type": "tombstone", "path": None})
    world.segment(3, files=False)
    assert world.run("kill") == counts(3, 2)
    assert world.rows() == {}


def test_a_version_after_the_locks_is_refused_before_anything_goes(world):
    world.segment(1)
    world.segment(2, "2099-01-01T00:00:00.000Z")
    with pytest.raises(
        TaskFailed, match=r"^org\.apache\.druid\.java\.util\.common\.ISE: Locks\[.*can't cover segments"
    ):
        world.run("kill")
    assert len(world.rows()) == len(world.files()) == 2


def test_what_is_marked_used_meanwhile_is_spared(world):
    spared = world.segment(1)
    world.segment(2)

    def mark(action):
        if action["type"] == "segmentNuke":
            with world.db.transaction() as tx:
                tx.run("datasources.mark_used_ids", datasource="ds", now=V2, ids=[spared["identifier"]])

    assert world.run("kill", before=mark) == counts(1, 2)
    assert list(world.rows()) == [spared["identifier"]]
    assert Path(spared["loadSpec"]["path"]).exists()


def test_a_folder_that_is_no_segments_is_not_deleted(world):
    precious = world.folder / "precious"
    precious.mkdir()
    (precious / "data").write_text("x")
    world.segment(1, load_spec={"type": "local", "path": str(precious)})
    with pytest.raises(TaskFailed, match="not a segment's folder"):
        world.run("kill")
    assert (precious / "data").exists()


def test_an_unknown_deep_storage_is_told_before_rows_go(world):
    world.segment(1, load_spec={"type": "hdfs", "path": "p"})
    with pytest.raises(TaskFailed, match=r"Unknown loader type\[hdfs\]"):
        world.run("kill")
    assert len(world.rows()) == 1


def test_a_kill_that_died_between_rows_and_files_leaves_files_only(world, monkeypatch):
    world.segment(1)

    class Died(BaseException):
        pass

    def die(name):
        if name == "after_nuke":
            raise Died

    monkeypatch.setattr("overlord.faults.point", die)
    with pytest.raises(Died):
        world.run("kill")
    assert world.rows() == {}
    assert len(world.files()) == 1


def test_kill_with_concurrent_locks_takes_a_replace_lock(world):
    task = load_task(
        {"type": "kill", "dataSource": "ds", "interval": "2024/2025", "context": {"useConcurrentLocks": True}},
        now_ms=0,
        default_context={},
        settings={"druid.indexer.tasklock.forceTimeChunkLock": True},
    )
    (request,) = task_types["kill"].lock_requests(task)
    assert request.type is LockType.REPLACE
    assert task.priority == 0


def test_a_segment_moves_to_its_target_and_can_be_killed_there(world):
    before, used = world.segment(1), world.segment(2, used=True)
    assert world.run("move", target={"path": str(world.folder / "cold")}) is None
    (path,) = [row["loadSpec"]["path"] for row in world.rows().values() if row["identifier"] == before["identifier"]]
    assert path.startswith(str(world.folder / "cold")) and (Path(path) / "version.bin").exists()
    assert not Path(before["loadSpec"]["path"]).exists()
    assert Path(used["loadSpec"]["path"]).exists()
    assert world.run("kill") == counts(1, 2)
    assert world.files("cold") == []


def test_archive_and_restore_are_there_and_back(world):
    before = world.segment(1)
    world.run("archive")
    assert world.files() == [] and len(world.files("archive")) == 1
    world.run("archive")  # nothing to do
    assert len(world.files("archive")) == 1
    world.run("restore")
    assert world.rows() == {before["identifier"]: before}
    assert world.files("archive") == [] and len(world.files()) == 1
    world.run("restore")
    assert world.rows() == {before["identifier"]: before}


def test_a_file_that_another_row_has_is_copied_not_moved(world):
    first = world.segment(1)
    shared = world.segment(1, V2, used=True, load_spec=first["loadSpec"])
    world.run("archive")
    assert len(world.files()) == len(world.files("archive")) == 1
    assert world.rows()[shared["identifier"]]["loadSpec"] == first["loadSpec"]


@pytest.mark.parametrize(("point", "named"), [("after_copy", "deep"), ("after_update", "archive")])
def test_an_archive_that_died_leaves_no_row_without_files(world, monkeypatch, point, named):
    world.segment(1)

    def die(name):
        if name == point:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("overlord.faults.point", die)
        with pytest.raises(KeyboardInterrupt):
            world.run("archive")
    (row,) = world.rows().values()
    assert f"/{named}/" in row["loadSpec"]["path"] and Path(row["loadSpec"]["path"], "version.bin").exists()
    world.run("archive")
    (row,) = world.rows().values()
    assert "/archive/" in row["loadSpec"]["path"] and Path(row["loadSpec"]["path"], "version.bin").exists()


def test_move_needs_a_path_only_when_there_is_something_to_move(world):
    world.run("move", target={"x": "y"})
    world.segment(1)
    with pytest.raises(TaskFailed, match=r"target\.path"):
        world.run("move", target={"x": "y"})
    assert len(world.files()) == 1


def test_archive_without_a_place_says_which_setting_is_missing(world):
    world.settings.pop("druid.storage.archiveDirectory")
    world.segment(1)
    with pytest.raises(TaskFailed, match=r"druid\.storage\.archiveDirectory is not set"):
        world.run("archive")


def test_tombstones_stay_where_they_are(world):
    world.segment(1, load_spec={"type": "tombstone", "path": None})
    world.run("archive")
    (row,) = world.rows().values()
    assert row["loadSpec"] == {"type": "tombstone", "path": None}


def test_pushes_and_clean_up_of_one_datasource_do_not_trip_each_other(tmp_path):
    pusher = LocalPusher(tmp_path / "deep")
    failures = []

    def push_and_remove(day):
        segment = DataSegment.from_json(
            {"dataSource": "ds", "interval": f"2024-01-{day:02}/P1D", "version": V1, "shardSpec": {"type": "numbered"}}
        )
        try:
            for _ in range(50):
                built = tmp_path / f"built{day}"
                built.mkdir()
                (built / "version.bin").write_bytes(b"9")
                pusher.remove(pusher.push(built, segment))
        except TaskFailed as failure:
            failures.append(failure)

    threads = [threading.Thread(target=push_and_remove, args=(day,)) for day in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
