"""Samples, as a helper process takes them; the wire's own shapes are in tests/conformance."""

from __future__ import annotations

import json

import pytest

from overlord.errors import TaskFailed
from overlord.schemas.sampler import load_sampler
from workers.sampling import sample
from workers.sampling.schema import type_of


def lines(*rows):
    return "\n".join(json.dumps({"ts": "2024-01-01", **row}) for row in rows)


def take(data, *, dimensions=None, granularity=None, metrics=(), source=None, fmt=None, **config):
    body = {
        "type": "index",
        "spec": {
            "type": "index",
            "ioConfig": {
                "type": "index",
                "inputSource": source or {"type": "inline", "data": data},
                "inputFormat": fmt or {"type": "json"},
            },
            "dataSchema": {
                "dataSource": "d",
                "timestampSpec": {"column": "ts", "format": "iso"},
                "dimensionsSpec": dimensions or {},
                "granularitySpec": granularity or {"rollup": False},
                "metricsSpec": list(metrics),
            },
        },
        "samplerConfig": config,
    }
    request = load_sampler(body)
    return sample(request["spec"], request["samplerConfig"], {})


def parsed(answer, name):
    return [row["parsed"][name] for row in answer["data"] if "parsed" in row]


def test_a_row_after_the_last_one_taken_adds_no_dimension(tmp_path):
    answer = take(lines({"a": 1}, {"a": 2}, {"b": 3}), numRows=2)
    assert [each["name"] for each in answer["logicalDimensions"]] == ["a"]
    assert answer["numRowsRead"] == 2


def test_the_limit_of_rows_holds_over_several_files_and_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("workers.sampling.sampler.CHUNK_BYTES", 300)
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(lines(*({"n": 10 * number + row} for row in range(10))))
    answer = take("", source={"type": "local", "baseDir": str(tmp_path), "filter": "*.json"}, numRows=25)
    assert parsed(answer, "n") == [str(number) for number in range(25)]


def test_messages_of_rows_from_files_name_the_file(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('{"ts":"2024-01-01","a":1}\nnonsense\n{"ts":"late"}\n')
    answer = take("", source={"type": "local", "files": [str(path)]})
    assert [row.get("error") for row in answer["data"]] == [
        None,
        f"Unable to parse row [nonsense] into JSON (Path: file:{path}, Line: 2)",
        f"Timestamp[late] is unparseable! Event: {{ts=late}} (Path: file:{path}, Line: 3)",
    ]


def test_rows_that_roll_up_are_counted_and_shown_once():
    answer = take(
        lines({"a": ["y", "x"], "n": 1}, {"a": None, "n": 2}, {"a": [], "n": 4}, {"a": ["x", "y"], "n": 8}),
        dimensions={"dimensions": ["a"]},
        granularity={"rollup": True},
        metrics=[{"type": "longSum", "name": "s", "fieldName": "n"}],
    )
    assert (answer["numRowsRead"], answer["numRowsIndexed"], len(answer["data"])) == (4, 4, 2)
    assert parsed(answer, "a") == [["x", "y"], None]
    assert parsed(answer, "s") == [9, 6]


def test_a_faulty_row_that_rolls_up_into_another_keeps_its_error():
    answer = take(
        lines({"l": "q"}, {"l": "r"}),
        dimensions={"dimensions": [{"type": "long", "name": "l"}]},
        granularity={"rollup": True},
    )
    assert ["parsed" in row for row in answer["data"]] == [True, False]
    assert [row["error"].rpartition("[Could")[2] for row in answer["data"]] == [
        " not convert value [q] to long for dimension [l].]",
        " not convert value [r] to long for dimension [l].]",
    ]


def test_numbers_that_json_has_no_word_for_are_named():
    answer = take(
        lines({"d": "NaN", "f": 0.1}, {"d": "-Infinity", "f": "Infinity"}),
        dimensions={"dimensions": [{"type": "double", "name": "d"}, {"type": "float", "name": "f"}]},
    )
    assert parsed(answer, "d") == ["NaN", "-Infinity"]
    assert parsed(answer, "f") == [0.1, "Infinity"]


@pytest.mark.parametrize(
    ("most", "rows"), [(0, 0), (257, 1), (258, 2), (516, 2), (517, 3), (777, 3), (778, 4), (10_000, 4)]
)
def test_memory_is_counted_as_in_druids_index(most, rows):
    data = lines(*({"a": "x" * number, "b": number} for number in range(1, 5)))
    assert take(data, maxBytesInMemory=most)["numRowsRead"] == rows


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, None], "STRING"),
        ([True, 2], "LONG"),
        ([1, 2.5], "DOUBLE"),
        ([1, "x"], "STRING"),
        ([[], []], "ARRAY<LONG>"),
        ([[], [1.5]], "ARRAY<DOUBLE>"),
        ([[1, "a"], 2], "ARRAY<STRING>"),
        ([[None, 1], 2.5], "ARRAY<DOUBLE>"),
        ([[[1]], None], "COMPLEX<json>"),
        ([{"x": 1}, 5], "COMPLEX<json>"),
    ],
)
def test_the_type_of_a_discovered_column_holds_all_its_values(values, kind):
    assert type_of(values) == kind


def test_a_cast_makes_the_values_of_an_auto_column_alike():
    dimension = {"type": "auto", "name": "v", "castToType": "ARRAY<LONG>"}
    answer = take(lines({"v": 1}, {"v": "2.5"}, {"v": [3, "x", None]}), dimensions={"dimensions": [dimension]})
    assert parsed(answer, "v") == [[1], [2], [3, None, None]]
    assert answer["logicalSegmentSchema"][1]["type"] == "ARRAY<LONG>"


def test_no_rows_can_be_asked_for():
    with pytest.raises(TaskFailed, match="Invalid max row count: 0"):
        take(lines({}), numRows=0)


def test_states_of_metrics_are_shown_as_druid_prints_them():
    metrics = [
        {"type": "longLast", "name": "last", "fieldName": "n"},
        {"type": "stringFirst", "name": "first", "fieldName": "s"},
        {"type": "hyperUnique", "name": "hyper", "fieldName": "s"},
        {"type": "thetaSketch", "name": "theta", "fieldName": "s"},
        {"type": "filtered", "aggregator": {"type": "count", "name": "few"}, "filter": {
            "type": "selector", "dimension": "s", "value": "b"}},
    ]  # fmt: skip
    rows = lines({"k": "x", "n": 1, "s": "a"}, {"k": "x", "n": 2, "s": "b"}, {"k": "y"})
    answer = take(rows, dimensions={"dimensions": ["k"]}, granularity={"rollup": True}, metrics=metrics)
    day = 1704067200000
    assert parsed(answer, "last")[0] == {"lhs": day, "rhs": 2}
    assert parsed(answer, "first") == [{"lhs": day, "rhs": "a"}, {"lhs": 2**62 - 1, "rhs": None}]
    assert parsed(answer, "few") == [1, 0]
    assert parsed(answer, "hyper")[1] == "AQAAAAAAAA=="
    kinds = {each["name"]: each["type"] for each in answer["logicalSegmentSchema"]}
    assert kinds["hyper"] == "COMPLEX<hyperUnique>" and kinds["last"] == "COMPLEX<serializablePairLongLong>"
