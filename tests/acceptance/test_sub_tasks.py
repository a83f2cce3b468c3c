"""Ingestion by sub-tasks, from outside: what parents and sub-tasks leave, however they end."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import requests

from .harness import Server, kill

SINGLE = {"type": "dynamic"}
HASHED = {"type": "hashed", "targetRowsPerSegment": 4, "partitionDimensions": []}
RANGE = {"type": "range", "partitionDimensions": ["page"], "targetRowsPerSegment": 4}
FILES, ROWS = 3, 12


def task(folder, task_id, partitions, *, intervals=(), append=False, tuning=None, **context):
    """`FILES` files of `ROWS` rows on two days; their pages overlap."""
    folder.mkdir(exist_ok=True)
    for number in range(FILES):
        rows = [{"t": f"2024-01-0{1 + i % 2}T00:00:00Z", "page": f"p{(number + i) % 10}", "n": 1} for i in range(ROWS)]
        (folder / f"{number}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    granularity = {"segmentGranularity": "DAY", "queryGranularity": "DAY", "intervals": list(intervals)}
    return {
        "type": "index_parallel",
        "id": task_id,
        "context": context,
        "spec": {
            "dataSchema": {
                "dataSource": "ds",
                "timestampSpec": {"column": "t", "format": "iso"},
                "dimensionsSpec": {"dimensions": ["page"]},
                "metricsSpec": [{"type": "longSum", "name": "n", "fieldName": "n"}],
                "granularitySpec": granularity,
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "local", "baseDir": str(folder), "filter": "*.json"},
                "inputFormat": {"type": "json"},
                "appendToExisting": append,
            },
            "tuningConfig": {
                "type": "index_parallel",
                "partitionsSpec": partitions,
                "forceGuaranteedRollup": partitions is not SINGLE,
                "maxNumConcurrentSubTasks": 2,
                "splitHintSpec": {"type": "maxSize", "maxNumFiles": 1},
                **(tuning or {}),
            },
        },
    }


def rows_of(server):
    """All rows that are published, by page; checks that core sets are complete."""
    from workers.segment.reader import SegmentReader

    counts: dict[str, int] = {}
    sets: dict[str, list] = {}
    for (payload,) in server.sql("SELECT payload FROM druid_segments WHERE used"):
        segment = json.loads(bytes(payload))
        spec = segment["shardSpec"]
        core = spec.get("partitions", spec.get("numCorePartitions"))
        sets.setdefault(segment["interval"], []).append((spec["partitionNum"], core))
        for row in SegmentReader(Path(segment["loadSpec"]["path"])).rows():
            counts[row["page"]] = counts.get(row["page"], 0) + row["n"]
    for numbers in sets.values():
        assert sorted(number for number, _ in numbers) == list(range(len(numbers)))
        assert {core for _, core in numbers} <= {0, len(numbers)}
    return counts


def expected():
    counts: dict[str, int] = {}
    for number in range(FILES):
        for i in range(ROWS):
            page = f"p{(number + i) % 10}"
            counts[page] = counts.get(page, 0) + 1
    return counts


def assert_clean(server):
    """Nothing that was handed on, no lock, no file of a segment that no row names."""
    exchange = server.data_dir / "exchange"
    server.until(lambda: not exchange.exists() or not list(exchange.iterdir()), 90)
    assert server.sql("SELECT count(*) FROM ovl_locks") == [(0,)]
    ((rows,),) = server.sql("SELECT count(*) FROM druid_segments")
    assert len(list((server.data_dir / "segments").rglob("version.bin"))) == rows


def types(server):
    return dict(server.sql("SELECT type, count(*) FROM ovl_tasks GROUP BY type"))


def started(tmp_path, fault=None, workers=3):
    env = {"OVL_FAULT": fault} if fault else None
    server = Server(tmp_path / "data", env, "--workers", str(workers))
    server.start()
    return server


@pytest.mark.parametrize(
    ("partitions", "kinds"),
    [
        (SINGLE, {"single_phase_sub_task": 3}),
        (HASHED, {"partial_dimension_cardinality": 3, "partial_index_generate": 3, "partial_index_generic_merge": 5}),
        (RANGE, {"partial_dimension_distribution": 3, "partial_range_index_generate": 3}),
    ],
)
def test_each_way_publishes_every_row_once_and_leaves_nothing_else(tmp_path, partitions, kinds):
    server = started(tmp_path)
    try:
        server.submit(task(tmp_path / "in", "p", partitions))
        assert server.until_state("p", "SUCCESS", "FAILED")["errorMsg"] is None
        assert rows_of(server) == expected()
        assert kinds.items() <= types(server).items()
        assert_clean(server)
        payload = server.get("/task/p/reports").json()["ingestionStatsAndErrors"]["payload"]
        assert payload["rowStats"]["totals"]["buildSegments"]["processed"] == FILES * ROWS
        ((count,),) = server.sql("SELECT count(*) FROM druid_segments")
        assert payload["segmentsPublished"] == count
    finally:
        server.clean_up()


def test_ranges_of_no_rows_end_well_and_say_so(tmp_path):
    server = started(tmp_path)
    try:
        payload = task(tmp_path / "in", "p", RANGE, intervals=["2020-01-01/2020-01-02"])
        server.submit(payload)
        status = server.until_state("p", "SUCCESS", "FAILED")
        assert (status["statusCode"], status["errorMsg"]) == (
            "SUCCESS",
            "No valid rows for range partitioning. All rows may have invalid timestamps or multiple dimension values.",
        )
        assert types(server) == {"index_parallel": 1, "partial_dimension_distribution": 3}
        assert_clean(server)
    finally:
        server.clean_up()


@pytest.mark.long
def test_appended_segments_join_those_that_are_there(tmp_path):
    server = started(tmp_path)
    try:
        for name in ("a", "b"):
            server.submit(task(tmp_path / "in", name, SINGLE, append=True))
            assert server.until_state(name, "SUCCESS", "FAILED")["errorMsg"] is None
        assert rows_of(server) == {page: 2 * n for page, n in expected().items()}
        assert server.sql("SELECT count(*) FROM druid_pendingsegments") == [(0,)]
        assert_clean(server)
    finally:
        server.clean_up()


POSTS = ["before_sub_task_post", "after_sub_task_post"]
RESULTS = ["before_result", "after_result"]


@pytest.mark.parametrize(
    ("partitions", "points"),
    [
        (SINGLE, [*POSTS, *RESULTS, "after_phase_single_phase_sub_task", "after_lock"]),
        (HASHED, ["after_phase_partial_dimension_cardinality", "after_phase_partial_index_generate", *RESULTS]),
        (RANGE, ["after_phase_partial_dimension_distribution", "after_phase_partial_index_generic_merge", *POSTS]),
    ],
)
def test_wherever_they_are_killed_the_rows_are_published_once(tmp_path, partitions, points):
    """A sub-task is tried again by its parent, a parent by the queue; what was done stays done."""
    server = started(tmp_path, ",".join(f"{point}@{tmp_path / point}" for point in points))
    try:
        server.submit(task(tmp_path / "in", "p", partitions, retry={"maxAttempts": 9, "backoff": "PT0.1S"}))
        status = server.until_state("p", "SUCCESS", "FAILED", timeout_s=90)
        assert (status["statusCode"], status["errorMsg"]) == ("SUCCESS", None)
        assert all((tmp_path / point).exists() for point in points)
        assert rows_of(server) == expected()
        done = server.sql(
            "SELECT type, count(*) FROM ovl_tasks WHERE state = 'SUCCESS' AND parent_id = 'p' GROUP BY type"
        )
        assert all(count <= FILES for kind, count in done if "merge" not in kind)
        assert_clean(server)
    finally:
        server.clean_up()


@pytest.mark.long
def test_a_parent_that_dies_after_its_push_can_push_again(tmp_path):
    server = started(tmp_path, f"after_push@{tmp_path / 'once'}")
    try:
        server.submit(task(tmp_path / "in", "p", SINGLE, retry={"maxAttempts": 2, "backoff": "PT0.1S"}))
        assert server.until_state("p", "SUCCESS", "FAILED")["errorMsg"] is None
        assert rows_of(server) == expected()
    finally:
        server.clean_up()


def test_a_parent_that_dies_for_good_takes_all_along(tmp_path):
    server = started(tmp_path, "after_phase_partial_index_generate")
    try:
        server.submit(task(tmp_path / "in", "p", HASHED))
        status = server.until_state("p", "SUCCESS", "FAILED")
        assert status["statusCode"] == "FAILED"
        assert "SIGKILL" in status["errorMsg"]
        assert server.sql("SELECT count(*) FROM druid_segments") == [(0,)]
        assert_clean(server)
    finally:
        server.clean_up()


@pytest.mark.long
def test_a_split_that_fails_as_often_as_it_may_fails_its_parent(tmp_path):
    server = started(tmp_path, "before_result")
    try:
        server.submit(task(tmp_path / "in", "p", SINGLE, tuning={"maxRetry": 2, "maxNumConcurrentSubTasks": 2}))
        status = server.until_state("p", "SUCCESS", "FAILED")
        assert status["statusCode"] == "FAILED"
        assert status["errorMsg"].startswith("Failed in phase[segment generation]. See task logs for details.")
        report = server.get("/task/p/reports").json()["ingestionStatsAndErrors"]["payload"]
        assert report["errorMsg"] == status["errorMsg"]
        server.until(lambda: server.sql("SELECT count(*) FROM ovl_tasks WHERE ended_date IS NULL") == [(0,)], 90)
        assert server.sql("SELECT count(*) FROM druid_segments") == [(0,)]
        assert_clean(server)
    finally:
        server.clean_up()


@pytest.fixture
def silence():
    """Address of somebody who never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def slow(folder, task_id, silence):
    """A parent whose sub-tasks wait."""
    posted = task(folder, task_id, SINGLE)
    posted["spec"]["ioConfig"]["inputSource"] = {"type": "http", "uris": [f"{silence}/{i}.json" for i in range(3)]}
    return posted


def test_a_parent_shows_its_sub_tasks_and_takes_them_along_when_it_is_shut_down(tmp_path, silence):
    server = started(tmp_path)
    try:
        server.submit(slow(tmp_path / "in", "p", silence))
        chat = server.url + "/druid/worker/v1/chat/p"

        def both_run():
            running = requests.get(f"{chat}/subtasks/running", timeout=90).json()
            return running if len(running) == 2 else None

        running = server.until(both_run, 30)
        assert requests.get(f"{chat}/mode", timeout=90).text == "parallel"
        assert requests.get(f"{chat}/phase", timeout=90).text == "segment generation"
        assert requests.get(f"{chat}/progress", timeout=90).json() == {
            "running": 2,
            "succeeded": 0,
            "failed": 0,
            "complete": 0,
            "total": 3,
            "estimatedExpectedSucceeded": 3,
        }
        specs = requests.get(f"{chat}/subtaskspecs", timeout=90).json()
        assert [spec["id"] for spec in specs] == ["p_0", "p_1", "p_2"]
        state = requests.get(f"{chat}/subtaskspec/p_0/state", timeout=90).json()
        assert state["currentStatus"]["id"] == running[0] and state["taskHistory"] == []
        assert requests.get(f"{chat}/subtaskspec/p_9", timeout=90).status_code == 404
        assert requests.get(f"{chat}/rowStats", timeout=90).json()["totals"]["buildSegments"]["processed"] == 0
        assert requests.get(f"{chat}/unparseableEvents", timeout=90).json() == {"buildSegments": []}
        victim = running[0]
        kill(server.pid_of(victim))
        history = f"{chat}/subtaskspec/p_0/history"
        found = server.until(lambda: requests.get(history, timeout=90).json(), 90)
        assert [(status["id"], status["status"]) for status in found] == [(victim, "FAILED")]
        running = server.until(both_run, 30)
        assert victim not in running
        server.post("/task/p/shutdown")
        for sub_task in running:
            assert server.status(sub_task)["errorMsg"] == "Shutdown request from user"
        server.until(lambda: server.get("/totalWorkerCapacity").json()["usedClusterCapacity"] == 0, 90)
        assert requests.get(f"{chat}/mode", timeout=90).status_code == 404
        assert_clean(server)
    finally:
        server.clean_up()


def test_parents_leave_a_slot_for_their_sub_tasks(tmp_path):
    server = started(tmp_path, workers=2)
    try:
        names = ["a", "b", "c", "d"]
        for name in names:
            posted = task(tmp_path / "in", name, SINGLE)
            posted["spec"]["dataSchema"]["dataSource"] = f"ds_{name}"
            server.submit(posted)
        for name in names:
            assert server.until_state(name, "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
    finally:
        server.clean_up()


@pytest.mark.long
def test_with_one_slot_a_parent_does_all_by_itself(tmp_path):
    server = started(tmp_path, workers=1)
    try:
        server.submit(task(tmp_path / "in", "p", RANGE))
        assert server.until_state("p", "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
        assert types(server) == {"index_parallel": 1}
        assert rows_of(server) == expected()
    finally:
        server.clean_up()


@pytest.mark.long
def test_a_killed_server_finds_its_parents_and_sub_tasks_again(tmp_path):
    server = started(tmp_path, f"after_submit_commit@{tmp_path / 'never'}")
    try:
        (tmp_path / "never").touch()
        server.submit(task(tmp_path / "in", "p", HASHED))
        server.until_state("p", "RUNNING", "SUCCESS")
        server.kill()
        server.start()
        assert server.until_state("p", "SUCCESS", "FAILED")["statusCode"] == "SUCCESS"
        assert rows_of(server) == expected()
        assert_clean(server)
    finally:
        server.clean_up()
