"""Sources of sources, and fields that tell where a row lies."""

from __future__ import annotations

import pytest

from overlord.errors import TaskFailed
from workers.ingest import Input
from workers.ingest.sources import SplitHint, input_sources


def spec(source, dimensions=("a", "__file_path")):
    return {
        "dataSchema": {
            "dataSource": "ds",
            "timestampSpec": {"column": "t"},
            "dimensionsSpec": {"dimensions": list(dimensions)},
            "granularitySpec": {},
        },
        "ioConfig": {"inputSource": source, "inputFormat": {"type": "json"}},
    }


@pytest.fixture
def source(tmp_path):
    for name in "xy":
        (tmp_path / f"{name}.json").write_text(f'{{"t": "2024-01-01", "a": "{name}"}}\n')
    local = {"type": "local", "baseDir": str(tmp_path), "filter": "*.json", "systemFields": ["__file_path"]}
    return {"type": "combining", "delegates": [local, {"type": "inline", "data": '{"t": 1, "a": "z"}'}]}


def test_delegates_are_read_one_after_the_other_and_rows_tell_their_file(source, tmp_path):
    rows = []
    for chunk in Input(spec(source), {}).read(1 << 20):
        columns = chunk.batch.columns
        rows += zip(columns["a"].to_list(), columns["__file_path"].to_list(), strict=True)
    assert rows == [("x", f"{tmp_path}/x.json"), ("y", f"{tmp_path}/y.json"), ("z", None)]


def test_each_delegate_is_split_by_itself(source, tmp_path):
    splits = list(input_sources["combining"].from_json(source, {}).splits(SplitHint(max_objects=1)))
    local = {"type": "local", "systemFields": ["__file_path"]}
    assert splits == [
        {**local, "files": [f"{tmp_path}/x.json"]},
        {**local, "files": [f"{tmp_path}/y.json"]},
        source["delegates"][1],
    ]


def test_a_source_of_rows_cannot_be_combined():
    druid = {"type": "druid", "dataSource": "x", "interval": "2024/2025"}
    with pytest.raises(TaskFailed, match="cannot be combined"):
        input_sources["combining"].from_json({"type": "combining", "delegates": [druid]}, {})
