"""Compaction over a running server: killed half way, and beside tasks that append."""

from __future__ import annotations

from pathlib import Path

from workers.segment.reader import SegmentReader

from .harness import Server, index_task

DAYS = "2024-01-01/2024-01-03"


def used(server, datasource="ds"):
    """Visible segments in order of time."""
    task = {"type": "noop", "id": "look", "dataSource": datasource}
    action = {"type": "segmentListUsed", "dataSource": datasource, "intervals": [DAYS]}
    found = server.post("/action", {"task": task, "action": action}).json()["result"]
    return sorted(found, key=lambda s: (s["interval"], s["shardSpec"]["partitionNum"]))


def rows(segments):
    return sorted(
        row["__time"] for segment in segments for row in SegmentReader(Path(segment["loadSpec"]["path"])).rows()
    )


def compact(task_id, **more):
    return {"type": "compact", "id": task_id, "dataSource": "ds", "interval": DAYS, **more}


def test_a_compaction_killed_half_way_leaves_each_row_visible_once(tmp_path):
    """Each interval publishes by itself: what is published stays, the rest is as it was, and the task is FAILED."""
    server = Server(tmp_path / "data", {"OVL_FAULT": "after_publish"})
    server.start()
    try:
        server.submit(index_task("i", "ds"))
        server.until_state("i", "SUCCESS")
        before = rows(used(server))
        server.submit(compact("c"))
        status = server.until_state("c", "FAILED")
        assert "SIGKILL" in status["errorMsg"]
        states = ["lastCompactionState" in segment for segment in used(server)]
        assert sorted(states) == [False, True]
        assert rows(used(server)) == before
        assert server.sql("SELECT count(*) FROM ovl_locks") == [(0,)]
    finally:
        server.clean_up()


def test_what_is_appended_while_a_task_replaces_is_in_both_versions_and_compacted_once(server):
    concurrent = {"useConcurrentLocks": True}
    server.submit(index_task("i", "ds"))
    server.until_state("i", "SUCCESS")
    old = used(server)
    server.noop("r", 60_000, dataSource="ds", context=concurrent)
    server.until_state("r", "RUNNING")
    replacing = {"type": "noop", "id": "r", "dataSource": "ds", "context": concurrent}

    def act(action):
        answer = server.post("/action", {"task": replacing, "action": action})
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    lock = act({"type": "lockTryAcquire", "lockType": "REPLACE", "interval": DAYS})
    server.submit(index_task("a", "ds", append=True) | {"context": concurrent})
    server.until_state("a", "SUCCESS")
    assert len(rows(used(server))) == 2 * len(rows(old))
    new = [segment | {"version": lock["version"]} for segment in old]
    assert act({"type": "segmentTransactionalReplace", "segments": new})["success"]
    after = used(server)
    assert {segment["version"] for segment in after} == {lock["version"]}
    assert [segment["shardSpec"]["partitionNum"] for segment in after] == [0, 1, 0, 1]
    before = rows(after)
    assert len(before) == 2 * len(rows(old))
    server.post("/task/r/shutdown")
    server.submit(compact("c", context=concurrent))
    server.until_state("c", "SUCCESS")
    assert rows(used(server)) == before and len(used(server)) == 2
    assert all("lastCompactionState" in segment for segment in used(server))


def test_a_compaction_waits_for_the_locks_of_others_and_fails_where_there_is_nothing(server):
    server.submit(index_task("i", "ds"))
    server.until_state("i", "SUCCESS")
    server.noop("n", 60_000, dataSource="ds")
    server.until_state("n", "RUNNING")
    held = {"type": "noop", "id": "n", "dataSource": "ds"}
    action = {"type": "lockTryAcquire", "lockType": "EXCLUSIVE", "interval": "2024-01-02/2024-01-03"}
    assert server.post("/action", {"task": held, "action": action}).json()["result"]
    server.submit(compact("c"))
    server.until(lambda: "n" in str(server.get("/task/c/explain").json()), 10)
    assert server.status("c")["runnerStatusCode"] == "WAITING"
    server.post("/task/n/shutdown")
    server.until_state("c", "SUCCESS")
    server.submit(compact("none", dataSource="nothing"))
    status = server.until_state("none", "FAILED")
    assert status["errorMsg"] == (
        "Encountered error[No segments found for compaction. Please check that datasource name and interval are "
        "correct.] while waiting for task to be ready. See Overlord logs for more details."
    )


def test_a_compaction_that_may_have_sub_tasks_does_all_in_its_slot(server):
    server.submit(index_task("i", "ds"))
    server.until_state("i", "SUCCESS")
    server.submit(index_task("a", "ds", append=True))
    server.until_state("a", "SUCCESS")
    before = rows(used(server))
    tuning = {
        "type": "index_parallel",
        "maxNumConcurrentSubTasks": 2,
        "splitHintSpec": {"type": "segments", "maxInputSegmentBytesPerTask": 1},
        "forceGuaranteedRollup": True,
        "partitionsSpec": {"type": "hashed", "numShards": 2},
    }
    server.submit(compact("c", tuningConfig=tuning))
    status = server.until_state("c", "SUCCESS", "FAILED")
    assert status["statusCode"] == "SUCCESS", status
    assert rows(used(server)) == before
    assert all(s["lastCompactionState"]["partitionsSpec"]["type"] == "hashed" for s in used(server))
    assert {s["shardSpec"]["type"] for s in used(server)} == {"hashed"}
    assert server.get("/task/c/reports").json()["ingestionStatsAndErrors_0"]["payload"]["segmentsRead"] == 2
