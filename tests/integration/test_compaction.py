"""Compaction and reindexing: rows are what one ingestion of all of them would have made."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlord.errors import BadRequest
from overlord.model.compaction_input import hash_of_ids
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from workers.compaction.plan import granularity_of, java_order
from workers.ingest.sources import Access, SplitHint
from workers.ingest.sources.druid import DruidSource
from workers.segment.reader import SegmentReader

from .ingesting import FakeOverlord, compact, ingest, inline

DAY_1, DAY_2 = "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z", "2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z"
JANUARY = "2024-01-01T00:00:00.000Z/2024-02-01T00:00:00.000Z"
METRICS = [
    {"type": "count", "name": "count"},
    {"type": "longSum", "name": "added", "fieldName": "added"},
    {"type": "longMin", "name": "least", "fieldName": "added"},
    {"type": "doubleMax", "name": "most", "fieldName": "real"},
]
DIMENSIONS = ["page", {"type": "string", "name": "tags"}, {"type": "long", "name": "n"}, {"type": "float", "name": "x"}]

texts = st.sampled_from(["a", "b", "", "ä", "\U0001f600", "\uffee", None])
ROWS = st.fixed_dictionaries(
    {"ts": st.sampled_from(["2024-01-01T00:10Z", "2024-01-01T00:50Z", "2024-01-01T07:00Z", "2024-01-02T01:00Z"])},
    optional={
        "page": texts,
        "tags": texts | st.lists(texts, max_size=3),
        "n": st.sampled_from([0, -1, 7, 2**62, None]),
        "x": st.sampled_from([0.0, -0.0, 1.5, None]),
        "added": st.integers(-5, 5) | st.none(),
        "real": st.sampled_from([0.5, -2.0, None]),
    },
)
TABLES = st.lists(ROWS, min_size=1, max_size=12)


def task(rows, *, granularity=None, **more):
    made = inline("\n".join(map(json.dumps, rows)), dimensions=DIMENSIONS, **more)
    made["spec"]["dataSchema"]["metricsSpec"] = METRICS
    made["spec"]["dataSchema"]["granularitySpec"] |= granularity or {}
    return made


def stored(overlord):
    """Rows of all visible segments, by interval."""
    found = overlord.segmentListUsed({"intervals": ["1000/3000"]})
    return {s["interval"]: rows_of(s) for s in found}


def rows_of(segment):
    if segment["shardSpec"]["type"] == "tombstone":
        return []
    return list(SegmentReader(Path(segment["loadSpec"]["path"])).rows())


def ingested(folder, rows, *, overlord=None, **more):
    overlord = overlord or FakeOverlord()
    overlord.locks.clear()
    result = ingest(task(rows, **more), folder, overlord=overlord)
    assert result.error is None
    return result


def compacted(folder, overlord, **fields):
    result = compact(folder, overlord=overlord, **fields)
    assert result.error is None
    return result


def payload(result, number=0):
    return result.report[f"ingestionStatsAndErrors_{number}"]["payload"]


# ---- rows ----


@settings(max_examples=25, deadline=None)
@given(TABLES, TABLES, st.booleans())
def test_compacting_what_was_appended_gives_what_one_ingestion_gives(tmp_path_factory, first, second, rollup):
    folder = tmp_path_factory.mktemp("compact")
    rolled = {"rollup": rollup}
    result = ingested(folder, first, granularity=rolled)
    ingested(folder, second, overlord=result.overlord, granularity=rolled, io={"appendToExisting": True})
    compacted(folder, result.overlord)
    once = ingested(folder / "once", first + second, granularity=rolled)
    assert stored(result.overlord) == stored(once.overlord)
    shutil.rmtree(folder)


@settings(max_examples=15, deadline=None)
@given(TABLES)
def test_a_changed_granularity_gives_what_an_ingestion_with_it_gives(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("compact")
    result = ingested(folder, rows, granularity={"rollup": False, "queryGranularity": "NONE"})
    wanted = {"segmentGranularity": "MONTH", "queryGranularity": "DAY", "rollup": True}
    kinds = {"count": "longSum", "added": "longSum", "least": "longMin", "most": "doubleMax"}
    metrics = [{"type": kind, "name": name, "fieldName": name} for name, kind in kinds.items()]
    compacted(folder, result.overlord, interval=JANUARY, granularitySpec=wanted, metricsSpec=metrics)
    once = ingested(folder / "once", rows, granularity=wanted)
    assert stored(result.overlord) == stored(once.overlord)
    shutil.rmtree(folder)


def test_several_values_keep_their_order_and_nulls_their_place(tmp_path):
    rows = [{"ts": "2024-01-01T00:10Z", "page": "a", "tags": ["z", None, "a", "a"]}]
    made = task(rows)
    made["spec"]["dataSchema"]["dimensionsSpec"]["dimensions"][1]["multiValueHandling"] = "ARRAY"
    result = ingest(made, tmp_path)
    compacted(tmp_path, result.overlord)
    assert stored(result.overlord)[DAY_1][0]["tags"] == ["z", None, "a", "a"]


def test_dimensions_are_dropped_renewed_and_typed_as_told(tmp_path):
    rows = [{"ts": "2024-01-01T00:10Z", "page": p, "n": n, "added": 1} for p, n in (("1", 1), ("1", 2), ("x", 3))]
    result = ingested(tmp_path, rows)
    spec = {"dimensions": [{"type": "long", "name": "page"}, "new"]}
    compacted(tmp_path, result.overlord, dimensionsSpec=spec)
    (segment,) = result.overlord.segmentListUsed({"intervals": [DAY_1]})
    assert segment["dimensions"] == "page,new"
    assert [(r["page"], r["new"], r["count"], r["added"]) for r in rows_of(segment)] == [
        (None, None, 1, 1),
        (1, None, 2, 2),
    ]


def test_how_much_is_read_at_a_time_does_not_show(tmp_path, monkeypatch):
    rows = [{"ts": f"2024-01-01T{i % 24:02d}:{i % 60:02d}Z", "page": str(i), "added": i} for i in range(5000)]
    result = ingested(tmp_path, rows, granularity={"rollup": False})
    before = stored(result.overlord)
    monkeypatch.setattr("workers.ingest.formats.segment.BLOCK_ROWS", 1 << 30)
    monkeypatch.setattr("workers.tasks.index.chunk_bytes_for", lambda memory: 1)
    compacted(tmp_path, result.overlord)
    assert stored(result.overlord) == before


def test_zipped_segments_are_read(tmp_path):
    overlord = FakeOverlord()
    zipped = {"druid.storage.zip": "true"}
    ingest(task([{"ts": "2024-01-01T00:10Z", "page": "a"}]), tmp_path, overlord=overlord, settings=zipped)
    before = stored(overlord)
    compacted(tmp_path, overlord)
    assert stored(overlord) == before
    assert not list(tmp_path.glob("scratch-*/**/fetched-*")) and not list(tmp_path.glob("scratch-*/**/looked-at-*"))


# ---- what is read ----


def test_only_what_is_visible_is_read_and_each_moment_once(tmp_path):
    """A newer hour hides its part of the day; an incomplete set hides nothing."""
    result = ingested(tmp_path, [{"ts": f"2024-01-01T{h:02d}:30Z", "page": str(h)} for h in range(4)])
    hour = "2024-01-01T01:00:00.000Z/2024-01-01T02:00:00.000Z"
    ingested(
        tmp_path,
        [{"ts": "2024-01-01T01:45Z", "page": "new"}],
        overlord=result.overlord,
        intervals=[hour],
        granularity={"segmentGranularity": "HOUR"},
    )
    half = dict(next(iter(result.overlord.segments.values())), version="2027", identifier="half")
    half["shardSpec"] = {"type": "numbered", "partitionNum": 1, "partitions": 2}
    result.overlord.segments["half"] = half
    done = compacted(tmp_path, result.overlord)
    assert [r["page"] for r in stored(result.overlord)[DAY_1]] == ["0", "new", "2", "3"]
    assert payload(done)["segmentsRead"] == 2
    assert payload(done)["rowStats"]["buildSegments"]["processed"] == 4


def reindexing(source, **more):
    made = task([{}], **more)
    made["spec"]["ioConfig"]["inputSource"] = {"type": "druid", "dataSource": "wiki"} | source
    del made["spec"]["ioConfig"]["inputFormat"]
    made["spec"]["dataSchema"]["timestampSpec"] = {"column": "__time", "format": "millis", "missingValue": None}
    return made


def test_an_ingestion_reads_an_interval_of_another_datasource(tmp_path):
    result = ingested(tmp_path, [{"ts": f"2024-01-01T{h:02d}:30Z", "page": str(h), "tags": "t"} for h in range(5)])
    asked = {"interval": "2024-01-01T01:00/2024-01-01T04:00"}
    made = reindexing(asked)
    made["spec"]["dataSchema"]["dataSource"] = "other"
    done = ingest(made, tmp_path / "other", overlord=result.overlord)
    assert done.error is None
    (segment,) = done.published
    assert segment["dataSource"] == "other"
    assert [(r["page"], r["tags"]) for r in rows_of(segment)] == [("1", "t"), ("2", "t"), ("3", "t")]
    assert done.stats["segmentsRead"] == 1 and done.stats["segmentsPublished"] == 1
    assert done.stats["rowStats"]["determinePartitions"]["processed"] == 3


def test_dimensions_and_metrics_of_the_source_are_ignored_as_druid_does(tmp_path):
    rows = [{"ts": "2024-01-01T00:30Z", "page": "p", "tags": "t", "n": 4, "added": 3}]
    result = ingested(tmp_path, rows)
    asked = {"interval": DAY_1, "dimensions": ["page", "n"], "metrics": ["least"]}
    made = reindexing(asked)
    made["spec"]["dataSchema"]["metricsSpec"] = [
        {"type": "longSum", "name": "least", "fieldName": "least"},
        {"type": "longSum", "name": "added", "fieldName": "added"},
    ]
    done = ingest(made, tmp_path / "again", overlord=result.overlord)
    (row,) = rows_of(done.published[0])
    assert (row["page"], row["tags"], row["n"], row["least"], row["added"]) == ("p", "t", 4, 3, 3)


def test_dimensions_that_are_not_listed_are_found_in_the_segment(tmp_path):
    result = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z", "page": "p", "n": 4, "tags": ["a", "b"]}])
    made = reindexing({"interval": DAY_1})
    made["spec"]["dataSchema"]["dimensionsSpec"] = {"dimensions": []}
    made["spec"]["dataSchema"]["metricsSpec"] = [{"type": "longSum", "name": "added", "fieldName": "added"}]
    done = ingest(made, tmp_path / "again", overlord=result.overlord)
    assert done.error is None
    (row,) = rows_of(done.published[0])
    assert (row["page"], row["n"], row["tags"], row["count"]) == ("p", "4", ["a", "b"], "1")


def test_rows_that_the_filter_of_the_source_drops_are_not_seen(tmp_path):
    rows = [{"ts": f"2024-01-01T00:{i:02d}Z", "page": str(i), "n": i % 3, "added": i} for i in range(9)]
    result = ingested(tmp_path, rows, granularity={"rollup": False})
    wanted = {
        "type": "and",
        "fields": [
            {"type": "equals", "column": "n", "matchValueType": "LONG", "matchValue": 1},
            {"type": "not", "field": {"type": "selector", "dimension": "page", "value": "4"}},
            {"type": "null", "column": "unknown"},
        ],
    }
    made = reindexing({"interval": DAY_1, "filter": wanted, "dimensions": ["page"]})
    done = ingest(made, tmp_path / "again", overlord=result.overlord)
    assert [(r["page"], r["n"]) for r in rows_of(done.published[0])] == [("1", 1), ("7", 1)]
    build = done.stats["rowStats"]["buildSegments"]
    assert (build["processed"], build["thrownAway"]) == (2, 0)


def test_rows_that_the_filter_of_a_compaction_drops_are_thrown_away(tmp_path):
    rows = [{"ts": "2024-01-01T00:10Z", "page": p} for p in "ab"] + [{"ts": "2024-01-02T00:10Z", "page": "b"}]
    result = ingested(tmp_path, rows)
    only_a = {"filter": {"type": "selector", "dimension": "page", "value": "a"}}
    io = {"type": "compact", "inputSpec": {"type": "interval", "interval": JANUARY}, "dropExisting": True}
    done = compacted(tmp_path, result.overlord, transformSpec=only_a, ioConfig=io)
    assert {interval: [r["page"] for r in rows] for interval, rows in stored(result.overlord).items()} == {
        DAY_1: ["a"],
        DAY_2: [],
    }
    assert [payload(done, n)["rowStats"]["buildSegments"]["thrownAway"] for n in (0, 1)] == [1, 1]
    assert all(
        s["lastCompactionState"]["transformSpec"] == only_a
        for s in result.overlord.segmentListUsed({"intervals": [JANUARY]})
    )


def windowed(result, *stretches):
    (segment,) = result.published
    return {"segments": [{"segmentId": segment["identifier"], "intervals": list(stretches)}]}


def test_segments_are_read_by_id_within_their_stretches(tmp_path):
    result = ingested(tmp_path, [{"ts": f"2024-01-01T{h:02d}:30Z", "page": str(h)} for h in range(5)])
    asked = windowed(result, "2024-01-01T00:00/2024-01-01T01:00", "2024-01-01T03:00/2024-01-01T04:00")
    done = ingest(reindexing(asked), tmp_path / "again", overlord=result.overlord)
    assert [r["page"] for r in rows_of(done.published[0])] == ["0", "3"]
    assert done.stats["segmentsRead"] == 1


def test_stretches_that_overlap_are_refused(tmp_path):
    result = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z"}])
    asked = windowed(result, "2024-01-01/2024-01-02", "2024-01-01T03:00/2024-01-01T04:00")
    done = ingest(reindexing(asked), tmp_path / "again", overlord=result.overlord)
    assert done.error.startswith("Distinct intervals in input segments may not overlap: [2024-01-01T00:00")


def test_a_segment_that_is_not_there_is_named(tmp_path):
    gone = "wiki_2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z_v"
    done = ingest(reindexing({"segments": [{"segmentId": gone, "intervals": [DAY_1]}]}), tmp_path)
    assert gone in done.error


def test_a_segment_whose_files_are_gone_is_named(tmp_path):
    result = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z"}])
    shutil.rmtree(result.published[0]["loadSpec"]["path"])
    done = ingest(reindexing({"interval": DAY_1}), tmp_path / "again", overlord=result.overlord)
    assert result.published[0]["identifier"] in done.error and result.published[0]["loadSpec"]["path"] in done.error
    assert done.files() == []


def test_no_segments_are_no_rows(tmp_path):
    done = ingest(reindexing({"interval": DAY_1}), tmp_path)
    assert done.error is None and done.published == [] and done.stats["segmentsRead"] == 0


def test_splits_read_each_row_once(tmp_path):
    rows = [{"ts": f"2024-01-0{d}T0{h}:30Z", "page": f"{d}{h}"} for d in range(1, 5) for h in range(3)]
    overlord = ingested(tmp_path, rows).overlord
    source = DruidSource.from_json(
        {"type": "druid", "dataSource": "wiki", "interval": "2024-01-01T01:00/2024-02-01"}, {}
    )
    source.bind(Access(actions=overlord, scratch=tmp_path))
    splits = list(source.splits(SplitHint(max_bytes=1, max_objects=2)))
    assert len(splits) == 4
    assert [len(s["segments"]) for s in source.splits(SplitHint(max_objects=3))] == [3, 1]
    found = []
    for split in splits:
        part = DruidSource.from_json(split, {})
        part.bind(Access(actions=overlord, scratch=tmp_path))
        for chunk in part.rows(chunk_bytes=1 << 20, wanted={"page"}):
            found += chunk.batch.columns["page"].to_list()
    assert found == [f"{d}{h}" for d in range(1, 5) for h in range(3) if (d, h) != (1, 0)]


# ---- plans ----


def test_each_interval_is_compacted_by_itself(tmp_path):
    rows = [{"ts": "2024-01-01T00:30Z", "page": "a"}, {"ts": "2024-01-02T00:30Z", "page": "b"}]
    result = ingested(tmp_path, rows)
    done = compacted(tmp_path, result.overlord)
    assert set(done.report) == {f"{key}_{n}" for key in ("ingestionStatsAndErrors", "taskContext") for n in (0, 1)}
    publishes = [a for a in result.overlord.actions if a["type"].startswith("segmentTransactional")][-2:]
    # in the order of a Java HashMap
    assert [[s["interval"] for s in publish["segments"]] for publish in publishes] == [[DAY_2], [DAY_1]]
    assert done.report["taskContext_0"] == {
        "type": "taskContext",
        "taskId": "t1",
        "payload": {
            "forceTimeChunkLock": True,
            "storeCompactionState": True,
            "appenderatorTrackingTaskId": "t1",
            "priority": 25,
        },
    }


def test_the_finest_granularity_and_the_newest_order_win(tmp_path):
    one = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z", "page": "a"}], granularity={"queryGranularity": "MINUTE"})
    two = task([{"ts": "2024-01-02T00:31Z", "page": "b"}], granularity={"queryGranularity": "HOUR", "rollup": False})
    two["spec"]["dataSchema"]["dimensionsSpec"]["dimensions"] = ["tags", "page"]
    ingest(two, tmp_path, overlord=one.overlord)
    compacted(tmp_path, one.overlord, interval=JANUARY, granularitySpec={"segmentGranularity": "MONTH"})
    (segment,) = one.overlord.segmentListUsed({"intervals": [JANUARY]})
    assert segment["dimensions"] == "tags,page,n,x"
    state = segment["lastCompactionState"]
    assert state["granularitySpec"] == {
        "type": "uniform",
        "segmentGranularity": "MONTH",
        "queryGranularity": "MINUTE",
        "rollup": False,
        "intervals": ["2024-01-01T00:00:00.000Z/2024-01-03T00:00:00.000Z"],
    }
    assert [m["name"] for m in state["metricsSpec"]] == ["added", "count", "least", "most"]


def test_metrics_that_do_not_go_together_fail_with_advice(tmp_path):
    one = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z", "added": 1}])
    two = task([{"ts": "2024-01-01T00:31Z", "added": 2}], io={"appendToExisting": True})
    two["spec"]["dataSchema"]["metricsSpec"] = [{"type": "longMax", "name": "added", "fieldName": "added"}]
    ingest(two, tmp_path, overlord=one.overlord)
    done = compact(tmp_path, overlord=one.overlord)
    assert "try providing explicit metricsSpec" in done.error and done.report == {}


@pytest.mark.parametrize("first", [0, 1, 2])
def test_metrics_of_different_segments_come_in_the_order_of_druids_hash_set(first, tmp_path):
    kinds = {"n": "longSum", "x": "longMax", "d": "doubleSum", "f": "floatMin", "c": "longSum"}
    made = [["n1", "x3"], ["c", "d9", "x3"], ["f1", "n1", "x1"]]
    overlord = None
    for names in made[first:] + made[:first]:
        one = task([{"ts": "2024-01-01T00:30Z", "page": "p"}], io={"appendToExisting": True})
        metrics = [{"type": kinds[name[0]], "name": name, "fieldName": name} for name in names]
        one["spec"]["dataSchema"]["metricsSpec"] = metrics
        overlord = ingest(one, tmp_path, overlord=overlord).overlord
    done = compact(tmp_path, overlord=overlord)
    assert [m["name"] for m in done.published[0]["lastCompactionState"]["metricsSpec"]] == [
        "f1",
        "n1",
        "x1",
        "x3",
        "c",
        "d9",
    ]


def test_a_metric_that_is_a_dimension_of_another_segment_fails_the_compaction(tmp_path):
    one = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z", "added": 1}])
    two = task([{"ts": "2024-01-01T00:31Z", "added": 2}], io={"appendToExisting": True})
    two["spec"]["dataSchema"] |= {"dimensionsSpec": {"dimensions": ["added"]}, "metricsSpec": []}
    ingest(two, tmp_path, overlord=one.overlord)
    done = compact(tmp_path, overlord=one.overlord)
    assert "more than once: [added] seen in dimensions list, metricsSpec list" in done.error and done.report == {}


def test_found_dimensions_come_in_the_order_of_their_first_values(tmp_path):
    rows = [{"ts": "2024-01-01T00:30Z", "tags": "t", "n": 4}, {"ts": "2024-01-01T00:31Z", "page": "p", "n": 5}]
    result = ingested(tmp_path, rows, granularity={"rollup": False})
    made = reindexing({"interval": DAY_1})
    made["spec"]["dataSchema"] |= {"dimensionsSpec": {"dimensions": []}, "metricsSpec": []}
    done = ingest(made, tmp_path / "again", overlord=result.overlord)
    names = done.published[0]["dimensions"].split(",")
    assert names.index("tags") < names.index("count") < names.index("page")


def test_one_ingestion_that_fails_leaves_the_others_done(tmp_path):
    rows = [{"ts": "2024-01-01T00:30Z", "page": "a"}, {"ts": "2024-01-02T00:30Z", "page": "b"}]
    result = ingested(tmp_path, rows)
    overlord, publish = result.overlord, result.overlord.segmentTransactionalInsert

    def refuse_day_2(action):
        if action["segments"][0]["interval"] == DAY_2:
            return {"segments": [], "success": False, "retryable": False, "errorMsg": "no"}
        return publish(action)

    overlord.segmentTransactionalInsert = refuse_day_2
    done = compact(tmp_path, overlord=overlord)
    assert done.error == "Ran [2] specs, [1] succeeded, [1] failed"
    assert payload(done, 0)["errorMsg"] == "Failed to publish segments: no"
    assert payload(done, 1)["ingestionState"] == "COMPLETED"
    assert sum("lastCompactionState" in s for s in overlord.segments.values()) == 1


def test_dropped_days_become_tombstones_with_their_state(tmp_path):
    rows = [{"ts": "2024-01-01T00:30Z", "page": "a"}, {"ts": "2024-01-03T00:30Z", "page": "b"}]
    result = ingested(tmp_path, rows)
    gone = next(s for s in result.overlord.segments.values() if s["interval"].startswith("2024-01-03"))
    tombstone = {"type": "tombstone", "partitionNum": 0, "partitions": 0}
    dropped = gone | {"version": "2027", "shardSpec": tombstone, "loadSpec": {"type": "tombstone", "path": None}}
    result.overlord.segments["tombstone"] = dropped
    io = {"type": "compact", "inputSpec": {"type": "interval", "interval": JANUARY}, "dropExisting": True}
    done = compacted(tmp_path, result.overlord, ioConfig=io, granularitySpec={"segmentGranularity": "DAY"})
    kinds = {s["interval"][:10]: s["shardSpec"]["type"] for s in done.published}
    assert kinds == {"2024-01-01": "numbered", "2024-01-03": "tombstone"}
    assert all("lastCompactionState" in s for s in done.published)
    assert (payload(done)["segmentsRead"], payload(done)["segmentsPublished"]) == (2, 1)


def test_an_interval_that_does_not_fit_is_refused_unless_that_is_allowed(tmp_path):
    result = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z", "page": "a"}])
    told = {"interval": DAY_1, "granularitySpec": {"segmentGranularity": "MONTH"}}
    done = compact(tmp_path, overlord=result.overlord, **told)
    assert done.error == (
        f"org.apache.druid.java.util.common.IAE: Interval[{DAY_1}] to compact is not aligned with "
        "segmentGranularity[{type=period, period=P1M, timeZone=UTC, origin=null}]"
    )
    io = {"type": "compact", "inputSpec": {"type": "interval", "interval": DAY_1}, "allowNonAlignedInterval": True}
    compacted(tmp_path, result.overlord, ioConfig=io, **told)
    (segment,) = result.overlord.segmentListUsed({"intervals": [DAY_1]})
    assert segment["interval"] == JANUARY


@pytest.mark.parametrize(
    "partitions", [{"type": "hashed", "numShards": 2}, {"type": "range", "targetRowsPerSegment": 2}]
)
def test_rows_are_parted_as_told(partitions, tmp_path):
    rows = [{"ts": "2024-01-01T00:30Z", "page": str(i), "added": i} for i in range(8)]
    result = ingested(tmp_path, rows)
    before = [r["added"] for r in stored(result.overlord)[DAY_1]]
    spec = partitions | {"partitionDimensions": ["page"]}
    compacted(tmp_path, result.overlord, tuningConfig={"forceGuaranteedRollup": True, "partitionsSpec": spec})
    made = result.overlord.segmentListUsed({"intervals": [DAY_1]})
    assert len(made) > 1 and made[0]["lastCompactionState"]["partitionsSpec"] == spec
    assert sorted(r["added"] for s in made for r in rows_of(s)) == sorted(before)


# ---- input ----


def test_changed_segments_are_noticed_before_any_lock(tmp_path):
    result = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z"}])
    ids = [s["identifier"] for s in result.published]

    def segments_spec(ids):
        return {"type": "compact", "inputSpec": {"type": "segments", "segments": ids}, "dropExisting": False}

    with pytest.raises(BadRequest, match="different from the current used segments"):
        compact(tmp_path, overlord=result.overlord, ioConfig=segments_spec([f"{ids[0]}_7"]))
    compacted(tmp_path, result.overlord, ioConfig=segments_spec(ids))
    with pytest.raises(BadRequest, match="different from the current used segments"):
        compact(tmp_path, overlord=result.overlord, ioConfig=segments_spec(ids))
    with pytest.raises(BadRequest, match="No segments found for compaction"):
        compact(tmp_path, overlord=FakeOverlord())


def test_the_hash_of_ids_is_checked(tmp_path):
    result = ingested(tmp_path, [{"ts": "2024-01-01T00:30Z"}])
    right = hash_of_ids(map(DataSegment.from_json, result.overlord.segments.values()))

    def hashed(told):
        spec = {"type": "interval", "interval": DAY_1, "sha256OfSortedSegmentIds": told}
        return {"type": "compact", "inputSpec": spec, "dropExisting": False}

    with pytest.raises(BadRequest, match="different from the current used segments"):
        compact(tmp_path, overlord=result.overlord, ioConfig=hashed(right[:-1]))
    compacted(tmp_path, result.overlord, ioConfig=hashed(right))


# ---- Druid's ways ----


@pytest.mark.parametrize(
    ("interval", "name"),
    [
        ("2023-02-01/2023-03-01", "MONTH"),
        ("2024-01-01/2024-04-01", "QUARTER"),
        ("2024-01-03/2024-01-10", "WEEK"),
        ("2024-01-03/2024-01-05", "DAY"),
        ("2024-01-01/2027-01-01", "YEAR"),
        ("2024-01-01T06:00/2024-01-01T12:00", "SIX_HOUR"),
        ("2024-01-01T06:15/2024-01-01T06:30", "FIFTEEN_MINUTE"),
        ("2024-01-01T06:15:01/2024-01-01T06:15:02", "SECOND"),
    ],
)
def test_the_length_of_an_interval_is_its_granularity(interval, name):
    assert granularity_of(Interval.parse(interval)).to_json() == name


@pytest.mark.parametrize("interval", ["2023-12-31/2024-02-01", "2024-01-01/2024-03-01", "2024-01-01/2024-01-01T07:00"])
def test_other_lengths_are_no_granularity(interval):
    with pytest.raises(Exception, match="Granularity is not supported"):
        granularity_of(Interval.parse(interval))


def test_intervals_come_in_the_order_of_a_java_hash_map():
    days = [Interval.parse(f"2024-01-0{d}/2024-01-0{d + 1}") for d in range(1, 9)]
    # seen from a HashMap of Joda's intervals
    assert [days.index(day) + 1 for day in java_order(days)] == [2, 5, 3, 6, 4, 7, 1, 8]
