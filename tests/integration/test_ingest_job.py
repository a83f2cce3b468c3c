"""What the index job does around the rows: counts, locks, deep storage, publishing, reports."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from overlord.errors import TaskFailed
from workers.client import NoOverlord
from workers.publish.local import LocalPusher
from workers.segment.reader import SegmentReader

from .ingesting import FakeOverlord, ingest, inline

GOOD = """{"ts": "2024-01-01T00:10:00Z", "page": "A", "lang": "en", "added": 10}
{"ts": "2024-01-01T00:20:00Z", "page": "A", "lang": "en", "added": 7}
{"ts": "2024-01-01T05:00:00Z", "page": "B", "lang": "fr", "added": 1}
{"ts": "2024-01-02T03:00:00Z", "page": "C", "lang": "de", "added": 4}
"""
BAD = """{"ts": "2024-01-01T00:10:00Z", "page": "A", "lang": "en", "added": 10}
{"ts": "2024-01-01T00:20:00Z", "page": "A", "lang": "en", "added": 7}
not json
{"ts": "yesterday", "page": "X"}
{"ts": "2024-01-01T07:00:00Z", "page": "D", "added": "abc"}
"""
ZERO = {"processed": 0, "processedBytes": 0, "processedWithError": 0, "thrownAway": 0, "unparseable": 0}


def rows_of(segment):
    return list(SegmentReader(Path(segment["loadSpec"]["path"])).rows())


def test_rows_become_published_segments(tmp_path):
    result = ingest(inline(GOOD), tmp_path)
    assert result.error is None
    first, second = result.published
    version = first["version"]
    path = f"wiki/2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z/{version}/0/index/"
    assert first == {
        "dataSource": "wiki",
        "interval": "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z",
        "version": version,
        "loadSpec": {"type": "local", "path": f"{result.storage}/{path}"},
        "dimensions": "page,lang",
        "metrics": "count,added",
        "shardSpec": {"type": "numbered", "partitionNum": 0, "partitions": 1},
        "binaryVersion": 9,
        "size": sum(p.stat().st_size for p in (result.storage / path).iterdir()),
        "identifier": f"wiki_2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z_{version}",
    }
    assert second["version"] == version  # adjacent days are one lock
    assert rows_of(first) == [
        {"__time": 1704067200000, "page": "A", "lang": "en", "count": 2, "added": 17},
        {"__time": 1704085200000, "page": "B", "lang": "fr", "count": 1, "added": 1},
    ]
    assert not (result.storage / "intermediate_pushes").exists() or not any(
        (result.storage / "intermediate_pushes").iterdir()
    )
    stats = {**ZERO, "processed": 4, "processedBytes": 281}
    assert result.report == {
        "ingestionStatsAndErrors": {
            "type": "ingestionStatsAndErrors",
            "taskId": "t1",
            "payload": {
                "ingestionState": "COMPLETED",
                "unparseableEvents": {},
                "rowStats": {"determinePartitions": stats, "buildSegments": stats},
                "errorMsg": None,
                "segmentAvailabilityConfirmed": False,
                "segmentAvailabilityWaitTimeMs": 0,
                "recordsProcessed": {},
                "segmentsPublished": 2,
            },
        },
        "taskContext": {"type": "taskContext", "taskId": "t1", "payload": {"forceTimeChunkLock": True}},
    }


def test_days_apart_are_locked_apart(tmp_path):
    data = GOOD + '{"ts": "2024-02-01T00:00:00Z", "page": "A"}\n'
    result = ingest(inline(data), tmp_path)
    assert [(a["interval"][:10], a["interval"][25:35]) for a in result.overlord.actions if "lock" in a["type"]] == [
        ("2024-01-01", "2024-01-03"),
        ("2024-02-01", "2024-02-02"),
    ]
    assert len({s["version"] for s in result.published}) == 2


def test_rows_outside_the_given_intervals_are_thrown_away(tmp_path):
    result = ingest(inline(GOOD, intervals=["2024-01-02/2024-01-03"]), tmp_path)
    assert [s["interval"][:10] for s in result.published] == ["2024-01-02"]
    assert result.stats["rowStats"] == {
        "determinePartitions": ZERO,
        "buildSegments": {**ZERO, "processed": 1, "processedBytes": 281, "thrownAway": 3},
    }
    assert [a["type"] for a in result.overlord.actions] == ["lockList", "segmentTransactionalInsert"]


def test_a_bad_value_in_a_row_outside_the_intervals_is_no_error(tmp_path):
    result = ingest(inline(BAD, intervals=["2024-01-02/2024-01-03"], tuning={"maxParseExceptions": 2}), tmp_path)
    assert result.error is None
    assert result.stats["rowStats"]["buildSegments"] == {
        **ZERO,
        "processedBytes": 243,
        "thrownAway": 3,
        "unparseable": 2,
    }
    assert result.published == [] and result.stats["segmentsPublished"] == 0


def events(result):
    return {
        phase: [(e["input"], e["errorType"], e["details"]) for e in found]
        for phase, found in result.stats["unparseableEvents"].items()
    }


NOT_JSON = ("not json", "unparseable", ["Unable to parse row [not json] (Record: 3, Line: 3)"])
NO_TIME = (
    "{ts=yesterday, page=X}",
    "unparseable",
    ["Timestamp[yesterday] is unparseable! Event: {ts=yesterday, page=X} (Record: 3, Line: 4)"],
)
NO_NUMBER = (
    "{ts=2024-01-01T07:00:00Z, page=D, added=abc}",
    "processedWithError",
    ["Unable to parse value[abc] for field[added]"],
)


def test_bad_rows_are_counted_and_kept(tmp_path):
    result = ingest(inline(BAD, tuning={"maxSavedParseExceptions": 5, "maxParseExceptions": 10}), tmp_path)
    assert result.error is None
    assert result.stats["rowStats"] == {
        "determinePartitions": {**ZERO, "processed": 3, "processedBytes": 243, "unparseable": 2},
        "buildSegments": {
            **ZERO,
            "processed": 2,
            "processedBytes": 243,
            "processedWithError": 1,
            "unparseable": 2,
        },
    }
    assert events(result) == {
        "determinePartitions": [NO_TIME, NOT_JSON],
        "buildSegments": [NO_NUMBER, NO_TIME, NOT_JSON],
    }
    assert rows_of(result.published[0])[-1]["added"] is None


def test_only_the_newest_bad_rows_are_kept(tmp_path):
    result = ingest(inline(BAD, tuning={"maxSavedParseExceptions": 2}), tmp_path)
    assert events(result) == {"determinePartitions": [NO_TIME, NOT_JSON], "buildSegments": [NO_NUMBER, NO_TIME]}


def test_one_bad_row_too_many_fails_while_determining(tmp_path):
    result = ingest(inline(BAD, tuning={"maxParseExceptions": 0, "maxSavedParseExceptions": 3}), tmp_path)
    assert "Max parse exceptions[0] exceeded" in result.error and "line 3" in result.error
    assert result.stats["ingestionState"] == "DETERMINE_PARTITIONS"
    assert result.stats["errorMsg"] == result.error
    assert "segmentsPublished" not in result.stats
    assert events(result) == {"determinePartitions": [NOT_JSON], "buildSegments": []}
    assert result.stats["rowStats"] == {
        "determinePartitions": {**ZERO, "processed": 2, "processedBytes": 243, "unparseable": 1},
        "buildSegments": ZERO,
    }
    assert result.overlord.actions == [] and result.files() == []


def test_the_build_fails_only_after_all_is_determined(tmp_path):
    """As if the input had been read twice."""
    data = BAD + GOOD
    result = ingest(inline(data, tuning={"maxParseExceptions": 2, "maxSavedParseExceptions": 1}), tmp_path)
    assert "Max parse exceptions[2] exceeded" in result.error
    assert result.stats["ingestionState"] == "BUILD_SEGMENTS"
    stats = result.stats["rowStats"]
    assert stats["determinePartitions"] == {
        **ZERO,
        "processed": 7,
        "processedBytes": 243 + 281,
        "unparseable": 2,
    }
    assert (stats["buildSegments"]["processed"], stats["buildSegments"]["processedWithError"]) == (2, 1)
    assert events(result) == {"determinePartitions": [NO_TIME], "buildSegments": [NO_NUMBER]}


def test_report_parse_exceptions_bears_none(tmp_path):
    tuning = {"reportParseExceptions": True, "maxSavedParseExceptions": 9}
    result = ingest(inline(BAD, tuning=tuning), tmp_path)
    assert "Max parse exceptions[0] exceeded" in result.error
    assert len(result.stats["unparseableEvents"]["determinePartitions"]) == 1


def test_nothing_in_nothing_out(tmp_path):
    result = ingest(inline("not json\n"), tmp_path)
    assert result.error is None
    assert result.stats["segmentsPublished"] == 0
    assert result.overlord.actions == []


def test_appending_joins_what_is_there(tmp_path):
    overlord = FakeOverlord()
    (first, _) = ingest(inline(GOOD), tmp_path, overlord=overlord).published
    overlord.locks.clear()
    more = '{"ts": "2024-01-01T09:00:00Z", "page": "Z", "added": 1}\n'
    result = ingest(inline(more, io={"appendToExisting": True}), tmp_path, overlord=overlord, task_id="t2")
    (appended,) = result.published
    assert appended["version"] == first["version"]
    assert appended["shardSpec"] == {"type": "numbered", "partitionNum": 1, "partitions": 1}
    assert appended["identifier"].endswith("_1")
    assert rows_of(appended)[0]["page"] == "Z"
    asked = next(a for a in result.overlord.actions if a["type"] == "segmentAllocate")
    assert asked == {
        "type": "segmentAllocate",
        "dataSource": "wiki",
        "timestamp": "2024-01-01T09:00:00.000Z",
        "queryGranularity": "HOUR",
        "preferredSegmentGranularity": "DAY",
        "sequenceName": "t2",
        "previousSegmentId": None,
        "skipSegmentLineageCheck": False,
        "shardSpecFactory": {"type": "numbered"},
        "lockGranularity": "TIME_CHUNK",
        "taskLockType": "EXCLUSIVE",
    }
    assert result.stats["rowStats"]["buildSegments"]["processed"] == 1


def test_every_further_partition_is_allocated_too(tmp_path):
    io = {"appendToExisting": True}
    spec = {"partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 1}}
    result = ingest(inline(GOOD, io=io, tuning=spec), tmp_path)
    numbers = [(s["interval"][:10], s["shardSpec"]["partitionNum"]) for s in result.published]
    assert numbers == [("2024-01-01", 0), ("2024-01-01", 1), ("2024-01-01", 2), ("2024-01-02", 0)]
    previous = [a["previousSegmentId"] for a in result.overlord.actions if a["type"] == "segmentAllocate"]
    assert previous[0] is None and len(set(previous)) == len(previous)


def test_concurrent_locks_append_and_replace(tmp_path):
    context = {"useConcurrentLocks": True}
    replaced = ingest(inline(GOOD, context=context), tmp_path / "a")
    assert replaced.overlord.actions[-1]["type"] == "segmentTransactionalReplace"
    assert replaced.overlord.locks[0]["type"] == "REPLACE"
    appended = ingest(inline(GOOD, context=context, io={"appendToExisting": True}), tmp_path / "b")
    assert appended.overlord.actions[-1]["type"] == "segmentTransactionalAppend"
    assert {s["version"] for s in appended.published} == {"1970-01-01T00:00:00.000Z"}


def test_dropping_leaves_tombstones_where_nothing_new_is(tmp_path):
    overlord = FakeOverlord()
    ingest(inline(GOOD), tmp_path, overlord=overlord)
    overlord.locks.clear()
    one_day = GOOD.splitlines()[0] + "\n"
    task = inline(one_day, intervals=["2024-01-01/2024-01-04"], io={"dropExisting": True})
    result = ingest(task, tmp_path, overlord=overlord, task_id="t2")
    segment, tombstone = result.published
    assert segment["interval"].startswith("2024-01-01")
    assert tombstone == {
        "dataSource": "wiki",
        "interval": "2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z",
        "version": segment["version"],
        "loadSpec": {"type": "tombstone", "path": None},
        "dimensions": "",
        "metrics": "",
        "shardSpec": {"type": "tombstone", "partitionNum": 0, "partitions": 0},
        "binaryVersion": None,
        "size": 1,
        "identifier": f"wiki_2024-01-02T00:00:00.000Z_2024-01-03T00:00:00.000Z_{segment['version']}",
    }
    assert result.stats["segmentsPublished"] == 1


def test_full_segments_make_a_core_set(tmp_path):
    spec = {"partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 100}}
    data = "".join(f'{{"ts": "2024-01-01T00:00:00Z", "page": "p{i}"}}\n' for i in range(250))
    result = ingest(inline(data, tuning=spec), tmp_path)
    assert [s["shardSpec"] for s in result.published] == [
        {"type": "numbered", "partitionNum": i, "partitions": 3} for i in range(3)
    ]
    assert [len(rows_of(s)) for s in result.published] == [100, 100, 50]


def test_an_unknown_partitioning_is_refused_by_name(tmp_path):
    result = ingest(inline(GOOD, tuning={"partitionsSpec": {"type": "spiral"}}), tmp_path)
    assert "[spiral]" in result.error and "dynamic" in result.error
    assert result.stats["errorMsg"] == result.error


def test_hashed_partitions_without_numshards_are_determined_first(tmp_path):
    spec = {"partitionsSpec": {"type": "hashed", "targetRowsPerSegment": 1}, "forceGuaranteedRollup": True}
    result = ingest(inline(GOOD, tuning=spec, intervals=["2024-01-01/2024-01-02"]), tmp_path)
    stats = result.stats["rowStats"]
    assert result.error is None
    assert stats["determinePartitions"] == stats["buildSegments"]
    assert stats["determinePartitions"]["thrownAway"] > 0


# ---- deep storage ----


def test_zipped_segments(tmp_path):
    result = ingest(inline(GOOD), tmp_path, settings={"druid.storage.zip": True})
    (first, _) = result.published
    assert first["loadSpec"]["path"].endswith("/0/index.zip")
    with zipfile.ZipFile(first["loadSpec"]["path"]) as packed:
        assert "version.bin" in packed.namelist()
        assert first["size"] == sum(i.file_size for i in packed.infolist())
    assert len(rows_of(first)) == 2


def test_what_a_dead_attempt_left_is_replaced(tmp_path):
    version = "2026-01-01T00:00:01.000Z"
    left = tmp_path / f"storage/wiki/2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z/{version}/0/index"
    left.mkdir(parents=True)
    (left / "half").write_text("written")
    result = ingest(inline(GOOD), tmp_path)
    assert result.published[0]["version"] == version
    assert not (left / "half").exists() and (left / "version.bin").exists()


@pytest.mark.parametrize(
    "refusal",
    [
        {"segments": [], "success": False, "retryable": False, "errorMsg": "Invalid task locks."},
        TaskFailed("Segments[x] are not covered by locks[y]"),
    ],
)
def test_a_refused_publish_leaves_no_files(tmp_path, refusal):
    overlord = FakeOverlord()
    overlord.refusal = refusal
    result = ingest(inline(GOOD), tmp_path, overlord=overlord)
    assert "Invalid task locks." in result.error or "not covered by locks" in result.error
    assert result.stats["ingestionState"] == "BUILD_SEGMENTS"
    assert result.files() == []
    assert not (result.storage / "wiki").exists()


def test_a_publish_without_an_answer_keeps_the_files(tmp_path):
    """It may have happened."""
    overlord = FakeOverlord()
    overlord.refusal = NoOverlord("nobody answered")
    result = ingest(inline(GOOD), tmp_path, overlord=overlord)
    assert result.error == "nobody answered"
    assert result.files()


def test_a_refusal_after_the_fact_keeps_the_files(tmp_path):
    overlord = FakeOverlord()

    def commit_and_stumble(action):
        overlord.refusal = None
        FakeOverlord.segmentTransactionalInsert(overlord, action)
        raise TaskFailed("500")

    overlord.segmentTransactionalInsert = commit_and_stumble
    result = ingest(inline(GOOD), tmp_path, overlord=overlord)
    assert result.error == "500" and result.files()


def test_a_retryable_refusal_is_tried_again(tmp_path):
    overlord = FakeOverlord()
    refusals = [{"segments": [], "success": False, "retryable": True, "errorMsg": "lost the race"}]

    def once(action):
        return refusals.pop() if refusals else FakeOverlord.segmentTransactionalInsert(overlord, action)

    overlord.segmentTransactionalInsert = once
    assert ingest(inline(GOOD), tmp_path, overlord=overlord).error is None


def test_deep_storage_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = ingest(inline(GOOD), tmp_path, settings={"druid.storage.storageDirectory": str(blocked / "segments")})
    assert str(blocked) in result.error and "Not a directory" in result.error


def test_a_full_disk_is_named_and_nothing_stays(tmp_path, monkeypatch):
    real = Path.rename

    def full(self, target):
        if str(target).endswith("/0"):
            raise OSError(28, os.strerror(28), str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", full)
    result = ingest(inline(GOOD), tmp_path)
    assert "No space left on device" in result.error and str(result.storage) in result.error
    assert result.files() == []


def test_a_segment_on_another_file_system_is_copied(tmp_path, monkeypatch):
    real = Path.rename

    def across(self, target):
        if target.name == "index":
            raise OSError(18, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", across)
    result = ingest(inline(GOOD), tmp_path)
    assert result.error is None and len(rows_of(result.published[0])) == 2


def test_removing_leaves_neighbours_alone(tmp_path):
    result = ingest(inline(GOOD), tmp_path)
    first, second = result.published
    pusher = LocalPusher(result.storage)
    pusher.remove(first["loadSpec"])
    pusher.remove(first["loadSpec"])
    assert not Path(first["loadSpec"]["path"]).exists() and Path(second["loadSpec"]["path"]).exists()
    assert sorted(p.name for p in (result.storage / "wiki").iterdir()) == [
        "2024-01-02T00:00:00.000Z_2024-01-03T00:00:00.000Z"
    ]


# ---- locks ----


def test_a_lock_that_is_held_is_waited_for(tmp_path):
    overlord = FakeOverlord()
    overlord.lockTryAcquire = lambda action: None
    overlord.lockAcquire = lambda action: overlord.lock(action["interval"])
    result = ingest(inline(GOOD), tmp_path, overlord=overlord)
    assert result.error is None
    assert result.overlord.actions[1]["timeoutMs"] == 300_000


def test_a_lock_that_never_comes_fails_the_task(tmp_path):
    overlord = FakeOverlord()
    overlord.lockTryAcquire = overlord.lockAcquire = lambda action: None
    result = ingest(inline(GOOD, context={"taskLockTimeout": 10}), tmp_path, overlord=overlord)
    assert "Failed to get locks" in result.error and "2024-01-01" in result.error
    assert result.files() == []


def test_a_revoked_lock_fails_the_task(tmp_path):
    overlord = FakeOverlord()
    overlord.lockTryAcquire = lambda a: {"interval": a["interval"], "version": "v", "revoked": True}
    assert "revoked" in ingest(inline(GOOD), tmp_path, overlord=overlord).error


def test_the_scratch_folder_is_all_that_is_used_besides(tmp_path):
    ingest(inline(GOOD), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.json", "scratch-0", "storage"]
    assert json.loads((tmp_path / "report.json").read_text())
