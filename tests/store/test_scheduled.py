"""The scheduled_batch supervisor over a real Postgres: each due time once, whoever leads."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace

import orjson
import pytest

from overlord.errors import BadRequest, DruidException, Unavailable
from overlord.model.audit import AuditInfo
from overlord.model.instant import DAY, HOUR, format_instant, parse_instant
from overlord.schemas import load_supervisor
from overlord.settings import Settings
from overlord.store import supervisors as versions
from overlord.store import tasks as tasks_store
from overlord.supervisors.scheduled import ScheduledBatchSupervisor
from overlord.supervisors.scheduled.templates import fill

BEGAN = parse_instant("2024-01-01T00:30:00Z")
TASK = {"type": "noop", "dataSource": "ds", "context": {"chunk": "${interval:PT1H}"}}


class Queue:
    """Accepts tasks into the real tables, or fails as told."""

    def __init__(self, db):
        self.db = db
        self.fail_with = None
        self.fail_after = None

    def submit(self, task, audit):
        if self.fail_with is not None:
            raise self.fail_with
        with self.db.transaction() as tx:
            seq = tasks_store.submit(tx, task, orjson.dumps(task.payload), AuditInfo(), "2024-01-01T00:00:00.000Z")
        if seq is None:
            raise DruidException(f"Task[{task.id}] already exists", code="entryAlreadyExists")
        if self.fail_after is not None:
            raise self.fail_after


@pytest.fixture
def services(db, tmp_path):
    settings = Settings.load(env={}, flags={"ovl.data.dir": str(tmp_path)})
    return SimpleNamespace(db=db, settings=settings, queue=Queue(db))


def lead(db):
    with db.transaction() as tx:
        return tx.one("queue.lead", url="http://here")["epoch"]


def made(services, epoch=None, task=TASK, **config):
    body = {
        "type": "scheduled_batch",
        "id": "s",
        "dataSource": "ds",
        "spec": task,
        "schedulerConfig": {"type": "unix", "schedule": "0 * * * *", **config},
    }
    spec = load_supervisor(body)
    with services.db.transaction() as tx:
        if versions.latest_of(tx, "s") is None:
            versions.append(tx, "s", spec, format_instant(BEGAN))
    return ScheduledBatchSupervisor(spec, services, epoch or lead(services.db))


def submitted(db):
    with db.transaction() as tx:
        return [orjson.loads(tasks_store.payload(tx, row["id"])) for row in tasks_store.open_tasks(tx)]


def at(hours, minutes=0):
    return parse_instant("2024-01-01T00:00:00Z") + hours * HOUR + minutes * 60_000


def test_what_is_due_is_submitted_once_with_its_time_chunk(services):
    supervisor = made(services)
    assert supervisor._pass(at(0, 59)) > 0 and submitted(services.db) == []
    supervisor._pass(at(1, 0))
    supervisor._pass(at(1, 1))
    (task,) = submitted(services.db)
    assert task["id"] == "s_2024-01-01T01:00:00.000Z"
    assert task["context"]["chunk"] == "2024-01-01T00:00:00.000Z/2024-01-01T01:00:00.000Z"


def test_due_times_missed_become_one_run_of_the_last(services):
    made(services)._pass(at(5, 10))
    (task,) = submitted(services.db)
    assert task["id"] == "s_2024-01-01T05:00:00.000Z"


def test_all_missed_runs_are_made_when_that_is_asked(services):
    supervisor = made(services, missedRuns="all", allowOverlap=True)
    for _ in range(5):
        supervisor._pass(at(3, 10))
    assert [task["id"][-13:-8] for task in submitted(services.db)] == ["01:00", "02:00", "03:00"]


def test_no_missed_run_is_made_when_that_is_asked(services):
    supervisor = made(services, missedRuns="none")
    supervisor._pass(at(3, 10))
    assert submitted(services.db) == []
    supervisor._pass(at(4, 0))
    assert len(submitted(services.db)) == 1


def test_a_run_waits_for_the_one_before_and_then_comes_once(services):
    supervisor = made(services)
    supervisor._pass(at(1))
    supervisor._pass(at(2))
    supervisor._pass(at(3))
    assert len(submitted(services.db)) == 1
    with services.db.transaction() as tx:
        tx.script("UPDATE ovl_tasks SET state = 'SUCCESS'")
    supervisor._pass(at(3, 30))
    supervisor._pass(at(3, 31))
    assert [task["id"] for task in submitted(services.db)] == ["s_2024-01-01T03:00:00.000Z"]


def test_runs_overlap_when_that_is_asked(services):
    supervisor = made(services, allowOverlap=True)
    supervisor._pass(at(1))
    supervisor._pass(at(2))
    assert len(submitted(services.db)) == 2


@pytest.mark.parametrize("when", ["fail_with", "fail_after"])
def test_a_leader_that_dies_around_the_submit_leaves_it_to_the_next_which_submits_once(services, when):
    setattr(services.queue, when, Unavailable("killed here"))
    with pytest.raises(Unavailable):
        made(services)._pass(at(1))
    setattr(services.queue, when, None)
    after = made(services)
    after._pass(at(1, 5))
    after._pass(at(1, 6))
    assert [task["id"] for task in submitted(services.db)] == ["s_2024-01-01T01:00:00.000Z"]


def test_a_leader_of_the_past_claims_nothing(services):
    old = made(services)
    new = made(services)
    with pytest.raises(Unavailable):
        old._pass(at(1))
    new._pass(at(1))
    assert len(submitted(services.db)) == 1


def test_two_that_both_believe_they_lead_submit_once(services):
    epoch = lead(services.db)
    twins = [made(services, epoch) for _ in range(2)]
    threads = [threading.Thread(target=_quietly, args=(each,)) for each in twins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(submitted(services.db)) == 1


def _quietly(supervisor):
    with contextlib.suppress(Unavailable):
        supervisor._pass(at(1))


def test_a_task_that_is_refused_at_its_run_is_told_in_the_status_and_the_schedule_goes_on(services):
    supervisor = made(services, task={"type": "noop", "context": {"priority": "x"}})
    supervisor._pass(at(1))
    report = supervisor.status()["taskReport"]
    assert report["totalFailedTasks"] == 1 and report["totalSubmittedTasks"] == 0
    assert "Cannot read the priority" in report["recentTasks"][0]["errorMsg"]


def test_the_status_counts_runs(services):
    supervisor = made(services)
    supervisor._pass(at(1))
    status = supervisor.status()
    assert status["state"] == "RUNNING" and status["supervisorId"] == "s"
    assert status["nextTaskSubmissionTime"].endswith(":00:00.000Z")
    assert status["taskReport"]["totalSubmittedTasks"] == 1
    (run,) = status["taskReport"]["recentTasks"]
    assert (run["taskId"], run["status"]) == ("s_2024-01-01T01:00:00.000Z", "RUNNING")


@pytest.mark.parametrize(
    ("task", "where"),
    [
        ({"type": "nosuch"}, "spec.type"),
        ({"type": "noop", "runTime": "x"}, "spec.runTime"),
        ({"type": "noop", "context": {"i": "${interval:P1Q}"}}, "spec"),
        ({"query": "REPLACE INTO x ..."}, "spec"),
    ],
)
def test_a_task_that_no_run_could_submit_is_refused_at_once(services, task, where):
    with pytest.raises(BadRequest) as refused:
        made(services, task=task).check()
    assert refused.value.where == where


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("${interval:P1D}", "UTC", "2024-05-01T00:00:00.000Z/2024-05-02T00:00:00.000Z"),
        ("${interval:P1D}", "Europe/Berlin", "2024-04-30T22:00:00.000Z/2024-05-01T22:00:00.000Z"),
        ("${interval:P1M}", "UTC", "2024-04-01T00:00:00.000Z/2024-05-01T00:00:00.000Z"),
        ("s3://b/${start:PT1H:%Y/%m/%d/%H}/", "UTC", "s3://b/2024/05/02/02/"),
        ("${end:PT1H} ${due}", "UTC", "2024-05-02T03:00:00.000Z 2024-05-02T03:30:00.000Z"),
        ("${interval:P1D:%m%d} ${env:HOME} $due", "UTC", "0501/0502 ${env:HOME} $due"),
    ],
)
def test_places_are_filled_from_the_due_time(text, zone, expected):
    assert fill({"a": [text]}, parse_instant("2024-05-02T03:30:00Z"), zone) == {"a": [expected]}


def test_a_day_of_summer_time_is_a_whole_day_on_its_clocks():
    due = parse_instant("2024-04-01T00:00:00Z") + DAY
    assert fill("${interval:P1D}", due - 2 * DAY, "Europe/Berlin").count("23:00:00.000Z") == 2
