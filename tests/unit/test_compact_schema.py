"""What a posted compact task becomes, and what is refused."""

import pytest

from overlord.errors import BadRequest
from overlord.schemas import load_task
from overlord.settings import Settings

SETTINGS = Settings.load(env={})
INTERVAL = "2024-01-01T00:00:00.000Z/2024-02-01T00:00:00.000Z"
SEGMENT = "ds_2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z_v"


def loaded(**fields):
    body = {"type": "compact", "dataSource": "ds", **fields}
    return load_task(body, now_ms=0, default_context={}, settings=SETTINGS).payload


def refusal(**fields):
    with pytest.raises(BadRequest) as refused:
        loaded(**fields)
    return refused.value.message


def io(**fields):
    return {"type": "compact", "inputSpec": {"type": "interval", "interval": "2024-01-01/P1M"}, **fields}


def test_old_fields_become_what_stands_for_them():
    payload = loaded(interval="2024-01-01/2024-02-01", segmentGranularity="day", dimensions={"dimensions": ["a"]})
    assert payload["ioConfig"] == {
        "type": "compact",
        "inputSpec": {"type": "interval", "interval": INTERVAL, "sha256OfSortedSegmentIds": None},
        "dropExisting": False,
    }
    assert payload["granularitySpec"] == {"segmentGranularity": "DAY", "queryGranularity": None, "rollup": None}
    assert payload["segmentGranularity"] == "DAY"
    assert [d["name"] for d in payload["dimensionsSpec"]["dimensions"]] == ["a"]
    assert "interval" not in payload and "dimensions" not in payload


def test_whole_segments_become_their_ids():
    whole = {"dataSource": "ds", "interval": "2024-01-01/2024-01-02", "version": "v", "shardSpec": {"type": "none"}}
    assert loaded(segments=[whole])["ioConfig"]["inputSpec"] == {"type": "segments", "segments": [SEGMENT]}


def test_lookups_are_not_loaded_unless_a_transform_may_want_them():
    condition = {"filter": {"type": "true"}}
    assert loaded(ioConfig=io())["context"]["lookupLoadingMode"] == "NONE"
    assert "lookupLoadingMode" not in loaded(ioConfig=io(), transformSpec=condition)["context"]
    kept = loaded(ioConfig=io(), context={"lookupLoadingMode": "ALL"})
    assert kept["context"]["lookupLoadingMode"] == "ALL"


def test_what_is_not_given_stays_null_and_what_is_false_is_left_out():
    payload = loaded(ioConfig=io(allowNonAlignedInterval=False))
    assert [payload[name] for name in ("metricsSpec", "dimensionsSpec", "granularitySpec", "tuningConfig")] == [
        None
    ] * 4
    assert "allowNonAlignedInterval" not in payload["ioConfig"] and "segmentGranularity" not in payload
    assert loaded(ioConfig=io(allowNonAlignedInterval=True))["ioConfig"]["allowNonAlignedInterval"] is True


@pytest.mark.parametrize("kind", ["compaction", "index_parallel", "index"])
def test_each_tuning_config_becomes_one_of_compaction(kind):
    tuning = loaded(ioConfig=io(), tuningConfig={"type": kind, "maxRowsPerSegment": 7})["tuningConfig"]
    assert tuning == loaded(ioConfig=io(), tuningConfig={"type": "compaction", "maxRowsPerSegment": 7})["tuningConfig"]
    assert tuning["type"] == "compaction" and tuning["maxNumConcurrentSubTasks"] == 1
    assert tuning["partitionsSpec"] == {"type": "dynamic", "maxRowsPerSegment": 7, "maxTotalRows": None}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"interval": "2024/2024"}, "is empty, must specify a nonempty interval"),
        ({"ioConfig": {"type": "compact"}}, "inputSpec must be specified"),
        ({"ioConfig": {"type": "compact", "inputSpec": {"type": "interval"}}}, "problem: interval"),
        ({"ioConfig": {"type": "compact", "inputSpec": {"type": "segments", "segments": ["x"]}}}, "Segment ID[x]"),
        ({"ioConfig": {"type": "compact", "inputSpec": {"type": "other"}}}, "'other'"),
        ({"ioConfig": {"inputSpec": {"type": "interval", "interval": INTERVAL}}}, "missing type id property 'type'"),
        ({"ioConfig": io(), "compactionRunner": {"type": "msq"}}, "'msq'"),
        (
            {"ioConfig": io(), "segmentGranularity": "DAY", "granularitySpec": {"segmentGranularity": "HOUR"}},
            "Conflicting segment granularities",
        ),
        (
            {"ioConfig": io(), "tuningConfig": {"type": "compaction", "awaitSegmentAvailabilityTimeoutMillis": 5}},
            "is not supported for Compcation Task",
        ),
    ],
)
def test_faults_are_told(fields, text):
    assert text in refusal(**fields)
