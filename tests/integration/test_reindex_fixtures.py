"""Segments of a real cluster, compacted one by one: the same rows in the same order, and nothing lost on the way."""

import json
from pathlib import Path

import pytest

from workers.segment.reader import SegmentReader

from .ingesting import FakeOverlord, compact
from .test_ingest_fixtures import FIXTURES, OTHER_ORDER, held, index, rows

LATER = {  # encodings that are read and not written
    "alt_frontcoded_concise_tablelongs",
    "alt_zstd_lzf",
}
# Ordered by dimensions that no segment has, or not by those that it found: the next segment's are those it has.
OTHER_NAMES = {"empty_columns_not_stored", "schema_discovery", "string_discovery"}
SEGMENTS = sorted(p.parent for p in FIXTURES.glob("*/seg*/payload.json") if p.parent.parent.name not in LATER)


def name_of(folder):
    return f"{folder.parent.name}-{folder.name}"


def stored(folder, **changes):
    """The segment as the metadata store has it, its files where they are here."""
    payload = json.loads((folder / "payload.json").read_text()) | {"dataSource": "ds"}
    payload["version"] = "2020-01-01T00:00:00.000Z"
    payload["shardSpec"] = {"type": "numbered", "partitionNum": 0, "partitions": 1}
    payload["loadSpec"] = {"type": "local", "path": str(index(folder))}
    return payload | changes


@pytest.mark.parametrize("folder", SEGMENTS, ids=name_of)
def test_a_compacted_segment_has_the_same_rows(folder, tmp_path):
    overlord = FakeOverlord()
    payload = stored(folder)
    overlord.segments["old"] = payload
    result = compact(tmp_path, overlord=overlord, datasource="ds", interval=payload["interval"])
    assert result.error is None
    (made,) = result.published
    assert made["interval"] == payload["interval"] and made["version"] > payload["version"]
    look = held if folder.parent.name == "sketches" else rows
    ours, theirs = look(Path(made["loadSpec"]["path"])), look(index(folder))
    if folder.parent.name in OTHER_ORDER:
        ours, theirs = sorted(map(str, ours)), sorted(map(str, theirs))
    assert ours == theirs
    before, after = (SegmentReader(path).metadata for path in (index(folder), Path(made["loadSpec"]["path"])))
    for key in ("aggregators", "queryGranularity", "rollup", "ordering"):
        if key == "ordering" and folder.parent.name in OTHER_NAMES:
            continue
        assert after[key] == before[key], key
    report = result.report["ingestionStatsAndErrors_0"]["payload"]
    assert report["rowStats"]["buildSegments"]["processed"] == len(rows(index(folder)))
    assert report["rowStats"]["buildSegments"]["processedBytes"] == payload["size"]
    assert (report["segmentsRead"], report["segmentsPublished"]) == (1, 1)
