"""Which time chunks are compacted, and why: the stock policy over plain segments."""

from __future__ import annotations

import pytest

from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.schemas.compaction_config import ClusterCompaction, DatasourceCompaction, load_config
from overlord.supervisors.compaction.checks import reason_to_compact
from overlord.supervisors.compaction.policy import find, in_order
from overlord.supervisors.compaction.tasks import available_slots, compact_task, slots_of

INDEX_SPEC = {
    "bitmap": {"type": "roaring"},
    "dimensionCompression": "lz4",
    "stringDictionaryEncoding": {"type": "utf8"},
    "metricCompression": "lz4",
    "longEncoding": "longs",
}
STATE = {
    "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 5000000, "maxTotalRows": None},
    "dimensionsSpec": {"dimensions": [{"type": "string", "name": "a"}]},
    "metricsSpec": [{"type": "longSum", "name": "n", "fieldName": "n"}],
    "transformSpec": None,
    "indexSpec": INDEX_SPEC,
    "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": {"type": "none"}, "rollup": True},
}


def config(**more):
    return load_config(DatasourceCompaction, {"dataSource": "ds", "skipOffsetFromLatest": "PT0S", **more})


def segment(interval, number=0, *, version="1", size=10, state=None, cores=0):
    return DataSegment.from_json(
        {
            "dataSource": "ds",
            "interval": interval,
            "version": version,
            "shardSpec": {"type": "numbered", "partitionNum": number, "partitions": cores},
            "size": size,
            "lastCompactionState": state,
        }
    )


def days(*numbers, **more):
    return [segment(f"2024-01-{day:02}/2024-01-{day + 1:02}", **more) for day in numbers]


def starts(candidates):
    return [str(each.interval)[:10] for each in candidates]


def test_the_newest_chunks_come_first_and_compacted_ones_not_at_all():
    found = find(config(), [*days(1, 3), *days(2, state=STATE)], [])
    assert starts(found.pending) == ["2024-01-03", "2024-01-01"]
    assert starts(found.compacted) == ["2024-01-02"]
    assert found.pending[0].reason == "not compacted yet"


def test_what_lies_within_the_offset_from_the_latest_is_skipped():
    found = find(config(skipOffsetFromLatest="P1D"), days(1, 2, 3), [])
    assert starts(found.pending) == ["2024-01-02", "2024-01-01"]
    assert [each.reason for each in found.skipped] == ["skip offset from latest[P1D]"]


def test_the_offset_is_widened_to_whole_chunks_of_the_configured_granularity():
    found = find(config(skipOffsetFromLatest="P1D", granularitySpec={"segmentGranularity": "MONTH"}), days(1, 2), [])
    assert found.pending == [] and len(found.skipped) == 1


def test_where_others_work_is_left_alone():
    found = find(config(), days(1, 2, 3), [Interval.parse("2024-01-02T05/2024-01-02T06")])
    assert starts(found.pending) == ["2024-01-03", "2024-01-01"]
    assert [each.reason for each in found.skipped] == ["interval locked by another task"]


def test_too_many_bytes_at_once_are_skipped():
    found = find(config(inputSegmentSizeBytes=15), [*days(1), *days(2, size=16)], [])
    assert starts(found.pending) == ["2024-01-01"]
    assert found.skipped[0].reason.startswith("'inputSegmentSize' exceeded: Total segment size[16] is larger")


def test_segments_of_one_chunk_are_one_candidate():
    found = find(config(), [segment("2024-01-01/2024-01-02", number) for number in range(3)], [])
    assert [len(each.segments) for each in found.pending] == [3]


def test_overshadowed_segments_count_for_nothing():
    found = find(config(), [*days(1), *days(1, version="2", state=STATE)], [])
    assert found.pending == [] and [each.segments[0].version for each in found.compacted] == ["2"]


def test_a_coarser_granularity_takes_chunks_together():
    found = find(config(granularitySpec={"segmentGranularity": "MONTH"}), days(1, 2, 30), [])
    assert [len(each.segments) for each in found.pending] == [3]


def test_a_finer_granularity_queues_a_wide_chunk_once():
    found = find(config(granularitySpec={"segmentGranularity": "HOUR"}), days(1), [])
    assert len(found.pending) == 1 and found.skipped == []


def test_a_segment_over_two_buckets_takes_both_along():
    wide = segment("2024-01-01/2024-01-08")
    others = days(9, 10)
    found = find(
        config(granularitySpec={"segmentGranularity": "MONTH"}), [wide, *others, segment("2024-02-01/P1D")], []
    )
    assert [len(each.segments) for each in found.pending] == [1, 3]


def test_endless_segments_and_lone_tombstones_are_not_compacted():
    endless = segment("-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z")
    found = find(config(granularitySpec={"segmentGranularity": "DAY"}), [endless], [])
    assert found.pending == [] and found.skipped[0].reason == "Segments have partial-eternity intervals"
    stone = DataSegment.from_json(
        {
            "dataSource": "ds",
            "interval": "2024-01-01/P1D",
            "version": "1",
            "size": 1,
            "shardSpec": {"type": "tombstone"},
        }
    )
    assert find(config(), [stone], []).pending == []


def test_a_datasource_without_segments_has_no_candidates():
    assert find(config(), [], []).pending == []


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tuningConfig": {"partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 7}}}, "partitionsSpec"),
        ({"maxRowsPerSegment": 7}, "partitionsSpec"),
        ({"tuningConfig": {"partitionsSpec": {"type": "hashed", "numShards": 2}}}, "partitionsSpec"),
        ({"tuningConfig": {"indexSpec": {"bitmap": {"type": "concise"}}}}, "indexSpec"),
        ({"granularitySpec": {"segmentGranularity": "HOUR"}}, "segmentGranularity"),
        ({"granularitySpec": {"queryGranularity": "HOUR"}}, "queryGranularity"),
        ({"granularitySpec": {"rollup": False}}, "rollup"),
        ({"dimensionsSpec": {"dimensions": ["b"]}}, "dimensionsSpec"),
        ({"metricsSpec": [{"type": "count", "name": "c"}]}, "metricsSpec"),
        ({"transformSpec": {"filter": {"type": "selector", "dimension": "a", "value": "x"}}}, "transformSpec filter"),
        ({"projections": [{"name": "p"}]}, "projections"),
    ],
)
def test_each_setting_that_differs_from_what_a_segment_was_made_with_is_a_reason(more, field):
    reason = reason_to_compact(config(**more), days(1, state=STATE))
    assert reason is not None and reason.startswith(f"'{field}' mismatch: required[")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"maxRowsPerSegment": 5000000},
        {"tuningConfig": {"partitionsSpec": {"type": "dynamic"}, "indexSpec": INDEX_SPEC}},
        {"granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": True}},
        {"dimensionsSpec": {"dimensions": ["a"]}},
        {"metricsSpec": [{"type": "longSum", "name": "n", "fieldName": "n"}]},
    ],
)
def test_settings_that_agree_or_are_left_open_are_no_reason(more):
    assert reason_to_compact(config(**more), days(1, state=STATE)) is None


def test_dimensions_that_ranges_go_by_may_stand_first():
    ranges = {"type": "range", "partitionDimensions": ["b"], "targetRowsPerSegment": 100}
    state = STATE | {
        "partitionsSpec": {"type": "range", "partitionDimensions": ["b"], "maxRowsPerSegment": 150},
        "dimensionsSpec": {"dimensions": ["b", "a"]},
    }
    wanted = config(tuningConfig={"partitionsSpec": ranges}, dimensionsSpec={"dimensions": ["a", "b"]})
    assert reason_to_compact(wanted, days(1, state=state)) is None


def test_segments_made_in_different_ways_are_compacted():
    other = STATE | {"granularitySpec": None}
    reason = reason_to_compact(config(), [*days(1, state=STATE), segment("2024-01-01/P1D", 1, state=other)])
    assert reason == "segments have different last compaction states"


def test_segments_without_a_noted_granularity_are_judged_by_their_intervals():
    state = STATE | {"granularitySpec": {"segmentGranularity": None}}
    wanted = config(granularitySpec={"segmentGranularity": "DAY"})
    assert reason_to_compact(wanted, days(1, state=state)) is None
    assert "do not align" in reason_to_compact(wanted, [segment("2024-01-01T00/PT1H", state=state)])


@pytest.mark.parametrize(
    ("total", "ratio", "most", "busy", "free"),
    [
        (10, 0.1, 100, 0, 1),
        (100, 0.1, 100, 4, 6),
        (100, 0.5, 7, 0, 7),
        (4, 0.1, 9, 0, 1),
        (4, 0.1, 9, 1, 0),
        (9, 1, 0, 0, 0),
    ],
)
def test_slots_follow_ratio_and_limit_and_one_is_always_there(total, ratio, most, busy, free):
    cluster = load_config(ClusterCompaction, {"compactionTaskSlotRatio": ratio, "maxCompactionTaskSlots": most})
    assert available_slots(total, cluster, busy) == free


def test_a_task_with_sub_tasks_takes_their_slots_too():
    assert slots_of({}) == 1
    assert slots_of({"tuningConfig": {"maxNumConcurrentSubTasks": 4}}) == 5
    assert slots_of({"tuningConfig": {"maxNumConcurrentSubTasks": 1}}) == 1
    assert slots_of({"tuningConfig": {"maxNumConcurrentSubTasks": 1, "partitionsSpec": {"type": "range"}}}) == 2


def test_the_task_carries_what_is_configured():
    wanted = config(
        taskPriority=30,
        taskContext={"x": 1},
        maxRowsPerSegment=9,
        granularitySpec={"queryGranularity": "HOUR"},
        dimensionsSpec={"dimensions": ["a"]},
    )
    (candidate,) = find(wanted, days(1), []).pending
    task = compact_task(wanted, candidate, 0)
    assert task["id"].startswith("coordinator-issued_compact_ds_") and task["id"].endswith("_1970-01-01T00:00:00.000Z")
    assert task["ioConfig"]["inputSpec"]["interval"] == "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z"
    assert task["granularitySpec"] == {"segmentGranularity": "DAY", "queryGranularity": "HOUR", "rollup": None}
    assert task["tuningConfig"] == {"type": "index_parallel", "maxRowsPerSegment": 9}
    assert task["context"] == {
        "x": 1,
        "priority": 30,
        "storeCompactionState": True,
        "compactionReason": "not compacted yet",
    }
    assert task["dimensionsSpec"]["dimensions"][0]["name"] == "a" and "metricsSpec" not in task


def test_the_priority_datasource_comes_first():
    found = find(config(), days(1), []).pending + find(config(dataSource="other"), days(5), []).pending
    assert [each.datasource for each in in_order(found, None)] == ["other", "ds"]
    assert [each.datasource for each in in_order(found, "ds")] == ["ds", "other"]
