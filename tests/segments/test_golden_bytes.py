"""Golden segments, read and written again, are the same files byte for byte."""

from __future__ import annotations

import json
import zipfile

import pytest

from segments.golden import FIXTURES, SEGMENTS, payload, segment_path
from segments.rewrite import column_for_writer, spec_for_writer
from workers.segment.reader import SegmentReader
from workers.segment.writer import IndexSpec, write_segment

NOT_WRITTEN = {
    "alt_frontcoded_concise_tablelongs": "front-coded dictionaries, concise bitmaps, packed longs",
    "alt_zstd_lzf": "zstd and LZF blocks",
    "first_last": "pairs of a time and a number",
    "json_auto": "nested columns",
    "schema_discovery": "nested columns",
    "projection": "projections",
}
COVERED = [name for name in SEGMENTS if name.split("/")[0] not in NOT_WRITTEN]


def files(path):
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    with zipfile.ZipFile(path) as z:
        return {name: z.read(name) for name in z.namelist()}


def test_the_list_of_what_is_not_written_is_exact():
    assert {name.split("/")[0] for name in SEGMENTS} >= NOT_WRITTEN.keys()
    assert len(COVERED) == 59


@pytest.mark.parametrize("as_series", [True, False], ids=["series", "bytes"])
@pytest.mark.parametrize("name", COVERED)
def test_rewritten_segment_is_druids_byte_for_byte(name, as_series, tmp_path):
    task = json.loads((FIXTURES / name.split("/")[0] / "task.json").read_text())
    index_spec = IndexSpec.from_json(task["spec"]["tuningConfig"].get("indexSpec"), lz4_level=9)
    reader = SegmentReader(segment_path(name))
    columns = [column_for_writer(reader, n, kind, as_series=as_series) for n, kind in reader.columns().items()]
    metrics = tuple(filter(None, payload(name)["metrics"].split(",")))
    size = write_segment(tmp_path, spec_for_writer(reader, metrics, index_spec), columns, reader.num_rows)
    written, golden = files(tmp_path), files(segment_path(name))
    assert sum(map(len, written.values())) == size == payload(name)["size"]
    assert written["meta.smoosh"].decode() == golden["meta.smoosh"].decode()
    assert written == golden
