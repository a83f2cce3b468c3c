"""Supervisors of a whole server: compaction that ends, schedules that survive a SIGKILL."""

from __future__ import annotations

import pytest

from overlord.cli import main

from .harness import Server, index_task

DAY = "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z"


@pytest.fixture
def quick(tmp_path):
    """A server that looks for compaction every 0.2 s."""
    server = Server(tmp_path / "server", {"ovl_compaction_period": "PT0.2S"})
    server.start()
    yield server
    server.clean_up()


def ingested(server, datasource, *numbers):
    for number in numbers:
        server.submit(index_task(f"in_{datasource}_{number}", datasource, append=True))
    for number in numbers:
        server.until_state(f"in_{datasource}_{number}", "SUCCESS")


def compactions(server, datasource):
    return server.get(f"/tasks?datasource={datasource}&type=compact").json()


def test_a_supervisor_has_its_datasource_compacted_once_and_tells_how_far_it_is(quick):
    ingested(quick, "ds", 1, 2, 3)
    spec = {"type": "autocompact", "spec": {"dataSource": "ds", "skipOffsetFromLatest": "PT0S"}}
    assert quick.post("/supervisor", spec).json() == {"id": "autocompact__ds"}
    status = quick.get("/supervisor/autocompact__ds/status").json()["payload"]
    assert status["scheduleStatus"] == "NOT_ENABLED"
    quick.post("/compaction/config/cluster", {"useSupervisors": True, "compactionTaskSlotRatio": 1.0})

    def done():
        found = quick.get("/compaction/status/datasources/ds").json()
        return found if found["intervalCountCompacted"] == 2 and found["intervalCountAwaitingCompaction"] == 0 else None

    status = quick.until(done, 40)
    assert status["scheduleStatus"] == "RUNNING" and status["segmentCountCompacted"] == 2
    tasks = compactions(quick, "ds")
    assert len(tasks) == 2 and {each["statusCode"] for each in tasks} == {"SUCCESS"}
    assert all(each["id"].startswith("coordinator-issued_compact_ds_") for each in tasks)
    simulated = quick.post("/compaction/simulate", {"useSupervisors": True}).json()["compactionStates"]
    assert list(simulated) == ["COMPLETE"] and len(simulated["COMPLETE"]["rows"]) == 2
    assert quick.get("/supervisor?state=true").json()[0]["state"] == "RUNNING"

    ingested(quick, "ds", 4)  # a chunk that changes is compacted again, the task's name is new
    quick.until(lambda: len(compactions(quick, "ds")) == 4, 40)
    quick.until(done, 40)


def test_without_supervisors_the_compaction_config_is_followed(quick):
    ingested(quick, "plain", 1, 2)
    config = {"dataSource": "plain", "skipOffsetFromLatest": "P1D", "granularitySpec": {"rollup": True}}
    quick.post("/compaction/config/datasources/plain", config)

    def ended():
        tasks = compactions(quick, "plain")
        return tasks if tasks and all(each["statusCode"] == "SUCCESS" for each in tasks) else None

    assert len(quick.until(ended, 40)) == 1  # the newest day is left alone
    simulated = quick.until(lambda: quick.post("/compaction/simulate", {}).json()["compactionStates"], 10)
    assert [row[1] for row in simulated["COMPLETE"]["rows"]] == [DAY]
    assert len(compactions(quick, "plain")) == 1


def test_a_schedule_goes_on_after_a_kill_with_one_task_for_each_due_time(quick, capsys):
    spec = {
        "type": "scheduled_batch",
        "id": "every_second",
        "dataSource": "ds",
        "schedulerConfig": {"type": "quartz", "schedule": "* * * * * ?", "allowOverlap": True, "missedRuns": "all"},
        "spec": {"type": "noop", "dataSource": "ds", "runTime": 1},
    }
    assert quick.post("/supervisor", spec).status_code == 200

    def runs(least):
        report = quick.get("/supervisor/every_second/status").json()["payload"]["taskReport"]
        return report["totalSubmittedTasks"] >= least

    quick.until(lambda: runs(2), 90)
    quick.kill()
    quick.start()
    quick.until(lambda: runs(5), 30)
    assert quick.post("/supervisor/every_second/suspend").json()["suspended"] is True
    assert main(["supervisors", "--url", quick.url]) == 0
    assert "every_second" in capsys.readouterr().out
    due = [row[0] for row in quick.sql("SELECT due_ms FROM ovl_runs ORDER BY due_ms")]
    assert due == list(range(due[0], due[-1] + 1, 1000))  # none left out, none twice
    (count,) = quick.sql("SELECT count(*) FROM ovl_tasks WHERE id LIKE 'every_second_%%' AND type = 'noop'")
    assert count[0] == len(due)
    assert quick.get("/supervisor/every_second/status").json()["payload"]["state"] == "SUSPENDED"
    assert main(["supervisors", "terminate", "every_second", "--url", quick.url]) == 0
    assert main(["supervisors", "resume", "every_second", "--url", quick.url]) == 1
    assert main(["supervisors", "resume", "--url", quick.url]) == 2
