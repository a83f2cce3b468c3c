"""Columns whose types follow from their values: spilled, partitioned, compacted, and what they cannot hold."""

import json
import random
from pathlib import Path

import pytest

from workers.segment.reader import SegmentReader

from .ingesting import FakeOverlord, compact, ingest, inline

AUTO = [{"type": "auto", "name": name} for name in ("n", "l", "d", "s", "a", "t", "v")]
CAST = {"type": "auto", "name": "c", "castToType": "STRING"}


def rows_of(count, seed=0):
    pick = random.Random(seed)
    return [
        {
            "ts": f"2024-03-01T{pick.randrange(24):02d}:00:00Z",
            "n": i,
            "l": pick.choice([None, pick.randrange(9)]),
            "d": pick.choice([None, pick.random(), -0.0]),
            "s": pick.choice([None, "", "é", "\U0001f600", "ｚ", f"s{pick.randrange(40)}"]),
            "a": pick.choice([None, [], [pick.randrange(4) for _ in range(pick.randrange(1, 4))]]),
            "t": pick.choice([None, ["x"], ["y", None, "x"]]),
            "v": pick.choice([None, "text", 7, 2.5, ["q"]]),
            "c": pick.choice([None, 1, "1", 2.5]),
        }
        for i in range(count)
    ]


def task(rows, dimensions=(*AUTO, CAST), **more):
    return inline("\n".join(map(json.dumps, rows)), dimensions=dimensions, **more)


def without_rollup(spec):
    spec["spec"]["dataSchema"]["granularitySpec"]["rollup"] = False
    return spec


def columns(result):
    return [SegmentReader(Path(segment["loadSpec"]["path"])) for segment in result.published]


def plain(row):
    return {name: value for name, value in row.items() if name not in ("__time", "count", "added")}


def expected(row):
    shown = {name: value for name, value in row.items() if name != "ts"}
    return shown | {"c": None if row["c"] is None else str(row["c"])}


def test_values_of_every_type_come_out_as_they_went_in(tmp_path):
    rows = rows_of(500)
    (reader,) = columns(ingest(without_rollup(task(rows)), tmp_path))
    found = sorted((plain(row) for row in reader.rows()), key=lambda row: row["n"])
    assert found == list(map(expected, rows))
    assert reader.columns() == {
        "__time": "LONG", "n": "LONG", "l": "LONG", "d": "DOUBLE", "s": "STRING", "a": "ARRAY<LONG>",
        "t": "ARRAY<STRING>", "v": "ARRAY<STRING>", "c": "STRING", "added": "LONG", "count": "LONG",
    }  # fmt: skip


@pytest.mark.parametrize("rollup", [True, False])
def test_spilling_does_not_show(tmp_path, rollup):
    spec = task(rows_of(400) * 2, tuning={"maxRowsInMemory": 30})
    whole = task(rows_of(400) * 2)
    for each in (spec, whole):
        each["spec"]["dataSchema"]["granularitySpec"]["rollup"] = rollup
    (spilled,) = columns(ingest(spec, tmp_path / "spilled"))
    (kept,) = columns(ingest(whole, tmp_path / "kept"))
    assert list(spilled.rows()) == list(kept.rows())


def test_a_type_is_that_of_the_values_in_the_segment(tmp_path):
    rows = [{"ts": "2024-03-01", "n": 1}, {"ts": "2024-03-02", "n": "x"}, {"ts": "2024-03-03", "n": [1.5]}]
    found = columns(ingest(task(rows, dimensions=AUTO[:1]), tmp_path))
    assert [reader.columns()["n"] for reader in found] == ["LONG", "STRING", "ARRAY<DOUBLE>"]


@pytest.mark.parametrize("many", [5, 40])
def test_small_segments_written_by_helpers_are_the_same(tmp_path, many):
    rows = [dict(row, ts=f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}") for day in range(many) for row in rows_of(20)]
    found = columns(ingest(without_rollup(task(rows)), tmp_path))
    assert len(found) == many
    for reader in found:
        got = sorted((plain(row) for row in reader.rows()), key=lambda row: row["n"])
        assert got == list(map(expected, rows_of(20)))


@pytest.mark.parametrize(
    "partitions",
    [
        {"type": "hashed", "numShards": 3},
        {"type": "hashed", "numShards": 3, "partitionDimensions": ["l", "s"]},
        {"type": "range", "targetRowsPerSegment": 100, "partitionDimensions": ["l", "s"]},
    ],
)
def test_partitions_go_by_the_values_text_as_with_strings(tmp_path, partitions):
    """A Broker prunes by what a filter's text hashes to, or between which texts it lies."""
    tuning = {"partitionsSpec": partitions, "forceGuaranteedRollup": True}
    dimensions = [AUTO[1], AUTO[3]]
    found = ingest(without_rollup(task(rows_of(400), dimensions, tuning=tuning)), tmp_path / "auto")
    strings = ingest(without_rollup(task(rows_of(400), ["l", "s"], tuning=tuning)), tmp_path / "strings")
    assert len(found.published) == len(strings.published) > 1

    def parts(result):
        return [
            (segment["shardSpec"], sorted((str(row["l"]), str(row["s"])) for row in reader.rows()))
            for segment, reader in zip(result.published, columns(result), strict=True)
        ]

    assert sorted(map(str, parts(found))) == sorted(map(str, parts(strings)))


def test_compaction_keeps_types_values_and_casts(tmp_path):
    overlord = FakeOverlord()
    first = ingest(without_rollup(task(rows_of(300))), tmp_path / "a", overlord=overlord)
    (before,) = columns(first)
    made = compact(tmp_path / "b", overlord=overlord, interval="2024-03-01/2024-03-02")
    assert made.error is None
    (after,) = columns(made)
    assert after.columns() == before.columns()
    assert list(after.rows()) == list(before.rows())
    assert [after.column(name).enforced for name in ("n", "v", "c")] == [False, False, True]


def test_columns_of_mixed_scalars_are_reindexed_as_they_are(tmp_path):
    overlord = FakeOverlord()
    values = ["1", 1, 2.5, "text", None, '"quoted"']
    rows = [{"ts": "2024-03-01", "n": n, "v": value} for n, value in enumerate(values)]
    (before,) = columns(ingest(without_rollup(task(rows, [AUTO[0], AUTO[6]])), tmp_path / "a", overlord=overlord))
    assert before.columns()["v"] == "STRING"
    (after,) = columns(compact(tmp_path / "b", overlord=overlord, interval="2024-03-01/2024-03-02"))
    assert [row["v"] for row in sorted(after.rows(), key=lambda row: row["n"])] == values


def test_discovery_finds_columns_with_their_types_and_leaves_out_the_excluded(tmp_path):
    rows = [
        {"ts": "2024-03-01", "x": 1, "y": "a", "added": 5, "hidden": 1, "null": None},
        {"ts": "2024-03-01", "z": [1.5], "y": "b", "added": 6},
        {"ts": "2024-03-02", "x": "text", "null": None},
    ]
    spec = without_rollup(task(rows))
    spec["spec"]["dataSchema"]["dimensionsSpec"] = {
        "dimensions": ["y"], "useSchemaDiscovery": True, "dimensionExclusions": ["hidden"],
    }  # fmt: skip
    first, second = columns(ingest(spec, tmp_path))
    assert list(first.dimensions) == ["y", "x", "null", "z"]
    assert {name: first.columns()[name] for name in first.dimensions} == {
        "y": "STRING", "x": "LONG", "null": "STRING", "z": "ARRAY<DOUBLE>",
    }  # fmt: skip
    assert (list(second.dimensions), second.columns()["x"]) == (["y", "x", "null"], "STRING")


def test_all_fields_beside_the_listed_ones_may_be_strings(tmp_path):
    rows = [{"ts": "2024-03-01", "x": 1, "y": "a"}, {"ts": "2024-03-01", "z": ["p", "q"]}]
    spec = without_rollup(task(rows))
    spec["spec"]["dataSchema"]["dimensionsSpec"] = {
        "dimensions": [{"type": "long", "name": "x"}], "includeAllDimensions": True,
    }  # fmt: skip
    (reader,) = columns(ingest(spec, tmp_path))
    assert {name: reader.columns()[name] for name in reader.dimensions} == {"x": "LONG", "y": "STRING", "z": "STRING"}


NESTED = [
    {"ts": "2024-03-01", "n": 0, "j": {"a": 1, "b": [{"c": "x"}, {"c": None}]}},
    {"ts": "2024-03-01", "n": 1, "j": [[1, 2], [3]]},
    {"ts": "2024-03-01", "n": 2, "j": None},
    {"ts": "2024-03-01", "n": 3, "j": {"a": "text", "t": True}},
    {"ts": "2024-03-01", "n": 4, "j": 7},
    {"ts": "2024-03-01", "n": 5, "j": {}},
]


@pytest.mark.parametrize("how", ["json", "auto", "discovered"])
def test_nested_values_are_stored_whole_and_compacted_whole(tmp_path, how):
    overlord = FakeOverlord()
    listed = [AUTO[0]] if how == "discovered" else [AUTO[0], {"type": how, "name": "j"}]
    spec = without_rollup(task(NESTED, listed, tuning={"maxRowsInMemory": 2}))
    spec["spec"]["dataSchema"]["dimensionsSpec"]["useSchemaDiscovery"] = how == "discovered"
    (before,) = columns(ingest(spec, tmp_path / "a", overlord=overlord))
    made = compact(tmp_path / "b", overlord=overlord, interval="2024-03-01/2024-03-02")
    (after,) = columns(made)
    for reader in (before, after):
        assert reader.columns()["j"] == "COMPLEX<json>"
        found = {row["n"]: row["j"] for row in reader.rows()}
        assert found == {row["n"]: row["j"] for row in NESTED}
