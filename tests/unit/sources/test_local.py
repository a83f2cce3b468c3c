"""Files of this machine: which ones are read, and which sub-tasks read them."""

from overlord.schemas.base import load
from overlord.schemas.inputs import input_source_kinds
from workers.ingest.sources import SplitHint
from workers.ingest.sources.local import LocalSource


def source(**json):
    return LocalSource.from_json({"type": "local", **json}, {})


def names(found):
    return [item.name.rsplit("/", 1)[-1] for item in found.objects()]


def test_files_are_read_beside_a_folder_and_none_twice(tmp_path):
    for name in ("a.json", "b.json", "c.txt"):
        (tmp_path / name).write_text("{}")
    json = {"baseDir": str(tmp_path), "filter": "*.json", "files": [f"{tmp_path}/b.json", f"{tmp_path}/c.txt"]}
    assert load(input_source_kinds["local"], json)["files"] == json["files"]
    assert names(source(**json)) == ["a.json", "b.json", "c.txt"]


def test_a_folder_may_be_one_file_that_the_filter_takes(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert names(source(baseDir=f"{tmp_path}/a.json", filter="*.json")) == ["a.json"]


def test_no_sub_task_gets_empty_files(tmp_path):
    for name, text in (("a.json", ""), ("b.json", "{}"), ("c.json", "")):
        (tmp_path / name).write_text(text)
    splits = source(baseDir=str(tmp_path), filter="*").splits(SplitHint(max_objects=1))
    assert [split["files"] for split in splits] == [[f"{tmp_path}/b.json"]]
