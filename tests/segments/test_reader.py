"""Every golden segment decodes to the very rows the broker returned for it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import defaultdict

import polars as pl
import pytest
from pyroaring import BitMap

from segments.golden import SEGMENTS, canonical, expected_rows, payload, segment_path
from workers.segment.errors import SegmentError
from workers.segment.reader import SegmentReader


@pytest.mark.parametrize("name", SEGMENTS)
def test_segment_decodes_to_the_rows_of_the_broker(name):
    reader = SegmentReader(segment_path(name))
    types = reader.columns()
    expected = expected_rows(name)
    rows = list(reader.rows())
    assert len(rows) == len(expected) == reader.num_rows
    for row, want in zip(rows, expected, strict=True):
        assert row.keys() == want.keys()
        for column, value in want.items():
            assert canonical(row[column], types[column]) == canonical(value, types[column]), column


@pytest.mark.parametrize("name", SEGMENTS)
def test_contents_are_those_of_the_payload(name):
    reader = SegmentReader(segment_path(name))
    want = payload(name)
    assert ",".join(reader.dimensions) == want["dimensions"]
    assert sorted(reader.metrics) == sorted(filter(None, want["metrics"].split(",")))
    assert str(reader.interval) == want["interval"]
    assert reader.metadata["ordering"]


@pytest.mark.parametrize("name", SEGMENTS)
def test_bitmap_indexes_hold_the_rows_of_each_value(name):
    reader = SegmentReader(segment_path(name))
    for column, kind in reader.columns().items():
        if kind != "STRING" and not kind.startswith("ARRAY") and kind not in ("LONG", "DOUBLE"):
            continue
        index = {_key(value): rows for value, rows in reader.bitmaps(column)}
        if not index:
            continue
        want = defaultdict(list)
        values = reader.read(column) if kind == "STRING" else reader.column(column).printed(0, reader.num_rows)
        multi = reader.column(column).has_multiple_values
        for row, value in enumerate(values):
            for element in (list(value) or [None]) if multi else [value]:
                want[_key(element)].append(row)
        for value in index.keys() - want.keys():
            assert not index[value], (column, value)
        for value, rows in want.items():
            assert index[value] == BitMap(rows), (column, value)


def _key(value):
    return json.dumps(value)


@pytest.mark.parametrize("name", ["norollup_blocks_highcard/seg00", "multi_value/seg00", "json_auto/seg00"])
def test_a_range_of_rows_is_that_part_of_all_rows(name):
    reader = SegmentReader(segment_path(name))
    n = reader.num_rows
    for column in reader.columns():
        whole = reader.read(column)
        for start, stop in [(0, 1), (1, 1), (n // 3, n // 2), (n - 1, n), (n - 5, n + 5), (n, n + 1), (7, 9)]:
            part = reader.read(column, start, stop)
            assert part.dtype == whole.dtype
            assert part.equals(whole.slice(start, max(min(stop, n) - start, 0)), null_equal=True), (column, start)


def test_frames_give_all_rows_in_order():
    reader = SegmentReader(segment_path("norollup_blocks_highcard/seg00"))
    frames = list(reader.frames(rows=16384))
    assert [len(f) for f in frames] == [16384] * 4 + [70000 - 4 * 16384]
    whole = pl.concat(frames)
    assert whole.columns == list(reader.columns())
    assert whole["__time"].equals(reader.read("__time"))


def test_frames_read_only_the_columns_asked_for():
    reader = SegmentReader(segment_path("rollup_basic/seg00"))
    frame = next(reader.frames(["cnt", "__time"]))
    assert frame.columns == ["cnt", "__time"]


def damaged(tmp_path, name):
    copy = tmp_path / "index"
    shutil.copytree(segment_path(name), copy)
    return copy


def test_a_missing_segment_is_named(tmp_path):
    with pytest.raises(SegmentError, match=r"nowhere: there is no segment"):
        SegmentReader(tmp_path / "nowhere")


def test_a_missing_file_is_named(tmp_path):
    copy = damaged(tmp_path, "rollup_basic/seg00")
    (copy / "00000.smoosh").unlink()
    with pytest.raises(SegmentError, match=r"index: there is no 00000.smoosh"):
        SegmentReader(copy)


def test_a_cut_file_names_the_column(tmp_path):
    copy = damaged(tmp_path, "rollup_basic/seg00")
    chunk = copy / "00000.smoosh"
    chunk.write_bytes(chunk.read_bytes()[:-100])
    with pytest.raises(SegmentError, match=r"index: column 'metadata.drd': the file ends before byte"):
        SegmentReader(copy)


def test_a_column_without_entry_is_named(tmp_path):
    copy = damaged(tmp_path, "rollup_basic/seg00")
    meta = copy / "meta.smoosh"
    meta.write_text("".join(line for line in meta.open() if not line.startswith("city,")))
    with pytest.raises(SegmentError, match=r"index: there is no entry 'city'"):
        SegmentReader(copy).read("city")


def test_torn_bytes_name_file_and_column(tmp_path):
    """Whatever byte of a column is damaged, no other error than ours comes out."""
    copy = damaged(tmp_path, "multi_value/seg00")
    chunk = copy / "00000.smoosh"
    good = chunk.read_bytes()
    failures = 0
    for at in range(0, len(good), 13):
        chunk.write_bytes(good[:at] + bytes([good[at] ^ 0x5A]) + good[at + 1 :])
        try:
            for _ in (reader := SegmentReader(copy)).rows():
                pass
            assert reader.num_rows
        except SegmentError as error:
            failures += 1
            assert str(copy) in error.message
    assert failures


def test_a_zip_with_directories_is_refused(tmp_path):
    archive = tmp_path / "index.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("../evil", b"x")
    with pytest.raises(SegmentError, match="a segment has no directories"):
        SegmentReader(archive)
    archive.write_bytes(b"no zip at all")
    with pytest.raises(SegmentError, match=r"index\.zip: "):
        SegmentReader(archive)
