"""Metrics with states of their own kind, through the whole job: filters, spills, and segments made of segments."""

import copy
import json
import random
from pathlib import Path

import pytest

from workers.segment.reader import SegmentReader

from .ingesting import FakeOverlord, compact, ingest

PLAIN = [
    {"type": "count", "name": "rows"},
    {"type": "longSum", "name": "sum", "fieldName": "n"},
    {"type": "doubleMax", "name": "max", "fieldName": "n"},
    {"type": "longSum", "name": "twice", "expression": "n * 2"},
    {"type": "longFirst", "name": "first", "fieldName": "n"},
    {"type": "doubleLast", "name": "last", "fieldName": "n"},
    {"type": "floatFirst", "name": "early", "fieldName": "n", "timeColumn": "n"},
    {"type": "stringFirst", "name": "begin", "fieldName": "s", "maxStringBytes": 2},
    {"type": "stringLast", "name": "end", "fieldName": "s"},
    {"type": "hyperUnique", "name": "distinct", "fieldName": "s"},
    {"type": "hyperUnique", "name": "several", "fieldName": "tags"},
    {"type": "thetaSketch", "name": "theta", "fieldName": "s", "size": 4096},
    {"type": "HLLSketchBuild", "name": "hll", "fieldName": "tags"},
    {"type": "quantilesDoublesSketch", "name": "quantiles", "fieldName": "n"},
]
PASSES = {
    "type": "and",
    "fields": [
        {"type": "not", "field": {"type": "selector", "dimension": "s", "value": "b"}},
        {"type": "range", "column": "n", "matchValueType": "LONG", "lower": 3},
    ],
}


def made(seed=1, rows=300):
    """Rows in no order, with values missing."""
    rng = random.Random(seed)
    values = {
        "n": lambda: rng.choice([None, *range(12)]),
        "s": lambda: rng.choice([None, "", "a", "b", "ccc", "\U0001f600"]),
        "tags": lambda: rng.choice([None, [], "x", ["x", "y"], [str(rng.randrange(500))]]),
    }
    return [
        {"ts": f"2024-03-01T{rng.randrange(24):02}:{i // 60:02}:{i % 60:02}Z", "k": rng.choice("abc")}
        | {name: draw() for name, draw in values.items() if rng.random() > 0.05}
        for i in range(rows)
    ]


def task(rows, metrics, *, granularity="DAY", rollup=True, **tuning):
    return {
        "type": "index_parallel",
        "id": "t1",
        "spec": {
            "dataSchema": {
                "dataSource": "ds",
                "timestampSpec": {"column": "ts", "format": "iso", "missingValue": None},
                "dimensionsSpec": {"dimensions": ["k"]},
                "metricsSpec": metrics,
                "granularitySpec": {
                    "type": "uniform", "segmentGranularity": "DAY", "queryGranularity": granularity, "rollup": rollup,
                },
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "inline", "data": "\n".join(map(json.dumps, rows))},
                "inputFormat": {"type": "json"},
            },
            "tuningConfig": {"type": "index_parallel", **tuning},
        },
        "context": {"forceTimeChunkLock": True},
    }  # fmt: skip


def stored(result):
    assert result.error is None
    return [row for s in result.published for row in SegmentReader(Path(s["loadSpec"]["path"])).rows()]


def passes(row):
    return row.get("s") not in (None, "b") and (row.get("n") or 0) >= 3  # nothing is known of a null


def test_a_filtered_metric_is_the_metric_of_the_rows_that_pass(tmp_path):
    rows = made()
    filtered = [{"type": "filtered", "aggregator": metric, "filter": PASSES} for metric in PLAIN]
    ours = stored(ingest(task(rows, filtered), tmp_path / "a"))
    assert ours == stored(ingest(task([r for r in rows if passes(r)], PLAIN), tmp_path / "b"))


def test_a_filtered_metric_has_its_own_name_or_that_of_the_metric_within(tmp_path):
    outer = {"type": "filtered", "name": "outer", "aggregator": PLAIN[1], "filter": PASSES}
    result = ingest(task(made(rows=50), [outer, {**outer, "name": None}]), tmp_path)
    reader = SegmentReader(Path(result.published[0]["loadSpec"]["path"]))
    assert reader.metrics == ("outer", "sum")
    assert [each["fieldName"] for each in reader.metadata["aggregators"]] == ["outer", "sum"]
    assert reader.read("outer").to_list() == reader.read("sum").to_list()


@pytest.mark.parametrize("rollup", [True, False])
def test_spilling_changes_nothing(rollup, tmp_path):
    rows = made()
    whole = stored(ingest(task(rows, PLAIN, rollup=rollup), tmp_path / "a"))
    assert stored(ingest(task(rows, PLAIN, rollup=rollup, maxRowsInMemory=7), tmp_path / "b")) == whole


@pytest.mark.parametrize("partitions", [
    {"type": "hashed", "numShards": 3},
    {"type": "range", "partitionDimensions": ["k"], "targetRowsPerSegment": 1},
])  # fmt: skip
def test_parts_have_the_rows_of_the_whole(partitions, tmp_path):
    rows = made()
    whole = stored(ingest(task(rows, PLAIN), tmp_path / "a"))
    parted = task(rows, PLAIN, maxRowsInMemory=7, partitionsSpec=partitions, forceGuaranteedRollup=True)
    result = ingest(parted, tmp_path / "b")
    assert len(result.published) > 1
    assert sorted(stored(result), key=str) == sorted(whole, key=str)


def test_hours_compacted_to_a_day_are_the_day(tmp_path):
    rows = made()
    overlord = FakeOverlord()
    hours = ingest(task(rows, PLAIN, granularity="HOUR"), tmp_path / "a", overlord=overlord)
    assert len(stored(hours)) > 24
    overlord.locks.clear()
    day = {"granularitySpec": {"queryGranularity": "DAY", "rollup": True, "segmentGranularity": None}}
    result = compact(tmp_path / "b", overlord=overlord, datasource="ds", interval="2024-03-01/2024-03-02", **day)
    expected = stored(ingest(task(rows, PLAIN), tmp_path / "c"))
    assert stored(result) == expected


def test_a_text_that_is_cut_again_is_cut_shorter(tmp_path):
    overlord = FakeOverlord()
    metric = {"type": "stringLast", "name": "end", "fieldName": "s"}
    rows = [{"ts": "2024-03-01T00:00:00Z", "k": "a", "s": "abcdef"}]
    stored(ingest(task(rows, [metric]), tmp_path / "a", overlord=overlord))
    overlord.locks.clear()
    shorter = {**copy.deepcopy(metric), "fieldName": "end", "maxStringBytes": 3}
    result = compact(
        tmp_path / "b", overlord=overlord, datasource="ds", interval="2024-03-01/2024-03-02", metricsSpec=[shorter]
    )
    assert [row["end"]["rhs"] for row in stored(result)] == ["abc"]
