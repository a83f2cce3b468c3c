"""The inputs of a real cluster's golden segments, ingested by the whole job: the same files, payloads and counts.

With LZ4's high compression the segment files are Druid's, byte for byte; so rows, order, dictionaries and metadata are.
"""

import json
import zipfile
from pathlib import Path

import pytest

from overlord.model.instant import format_instant, parse_instant
from tests.sketches import content
from workers.segment.reader import SegmentReader

from .ingesting import FakeOverlord, ingest

FIXTURES = Path(__file__).parents[1] / "segments" / "fixtures"
LATER = {  # what a later version builds
    "alt_frontcoded_concise_tablelongs",
    "alt_zstd_lzf",
}
# Druid sorts rows without a discovered field before those where it is [], though nothing tells them apart later.
OTHER_ORDER = {"string_discovery"}
NOW = sorted(p.parent.name for p in FIXTURES.glob("*/task.json") if p.parent.name not in LATER)


def load(name, number=""):
    folder = FIXTURES / name
    text = (folder / f"task{number}.json").read_text()
    task = json.loads(text.replace("{{INPUT_DIR}}", str(folder / "input")).replace("{{DATASOURCE}}", "ds"))
    time = task["spec"]["dataSchema"]["timestampSpec"]  # with the defaults of a posted task
    missing = time.get("missingValue")
    time["missingValue"] = missing and format_instant(parse_instant(missing))
    return task


def golden(name):
    return [
        (json.loads((folder / "payload.json").read_text()), folder) for folder in sorted((FIXTURES / name).glob("seg*"))
    ]


def index(folder):
    return folder / "index" if (folder / "index").exists() else folder / "index.zip"


def files(path):
    if path.is_dir():
        return {p.name: p.read_bytes() for p in path.iterdir()}
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def matched(result, goldens):
    """Our segments beside Druid's. Versions differ; their order does not."""
    versions = sorted({g["version"] for g, _ in goldens})
    ours = sorted(
        result.overlord.segments.values(),
        key=lambda s: (s["version"], s["interval"], s["shardSpec"]["partitionNum"]),
    )
    theirs = sorted(
        goldens, key=lambda g: (versions.index(g[0]["version"]), g[0]["interval"], g[0]["shardSpec"]["partitionNum"])
    )
    return list(zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", NOW)
def test_a_fixtures_input_gives_druids_segments(name, tmp_path):
    overlord = FakeOverlord()
    settings = {"ovl.segment.lz4Level": 9}
    result = ingest(load(name), tmp_path, overlord=overlord, settings=settings)
    assert result.error is None
    counted = json.loads((FIXTURES / name / "rowstats.json").read_text())
    assert result.stats["rowStats"] == counted
    expected = golden(name)
    if name == "overwrite_new_version":  # its second task reads a datasource
        first = min(payload["version"] for payload, _ in expected)
        expected = [(payload, folder) for payload, folder in expected if payload["version"] == first]
    elif (FIXTURES / name / "task2.json").exists():
        overlord.locks.clear()
        result = ingest(load(name, 2), tmp_path, overlord=overlord, settings=settings)
        assert result.error is None
    for ours, (theirs, folder) in matched(result, expected):
        for key in ("interval", "dimensions", "metrics", "shardSpec", "binaryVersion"):
            assert ours[key] == theirs[key], key
        path = Path(ours["loadSpec"]["path"])
        assert (path.name, path.parent.name) == ("index", str(ours["shardSpec"]["partitionNum"]))
        if name in OTHER_ORDER:
            assert sorted(map(str, rows(path))) == sorted(map(str, rows(index(folder))))
            continue
        if name == "sketches":  # whose bytes are not one, but have the same in them
            assert held(path) == held(index(folder))
            assert SegmentReader(path).metadata == SegmentReader(index(folder)).metadata
            continue
        assert rows(path) == rows(index(folder))
        if name != "projection":  # ours has none: queries answer the same without
            assert files(path) == files(index(folder))
            assert ours["size"] == theirs["size"]


def rows(path):
    return list(SegmentReader(path).rows())


def held(path):
    """Rows, and what their sketches hold."""
    reader = SegmentReader(path)
    kinds = {name: kind[8:-1] for name, kind in reader.columns().items() if "Sketch" in kind}
    sketches = {name: [content(kind, cell) for cell in reader.read(name)] for name, kind in kinds.items()}
    plain = [{name: value for name, value in row.items() if name not in kinds} for row in reader.rows()]
    return plain, sketches


SPILLED = [
    "first_last", "rollup_basic", "multi_value", "norollup_blocks_highcard", "numeric_nulls", "part_hashed",
    "part_range", "part_single_dim",
]  # fmt: skip


@pytest.mark.parametrize("name", SPILLED)
def test_spilling_does_not_show(name, tmp_path):
    task = load(name)
    task["spec"]["tuningConfig"]["maxRowsInMemory"] = 1000 if name.startswith("norollup") else 10
    result = ingest(task, tmp_path, settings={"ovl.segment.lz4Level": 9}, memory_bytes=1 << 20)
    for ours, (theirs, folder) in matched(result, golden(name)):
        assert ours["shardSpec"] == theirs["shardSpec"]
        assert rounded(rows(Path(ours["loadSpec"]["path"]))) == rounded(rows(index(folder)))


def rounded(found):
    """Floats are added in another order after a spill."""
    return [{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in found]


@pytest.mark.parametrize("name", sorted(LATER))
def test_what_cannot_be_built_fails_and_says_what_it_is(name, tmp_path):
    result = ingest(load(name), tmp_path)
    assert result.error
    assert result.stats["errorMsg"] == result.error
    assert result.files() == []
