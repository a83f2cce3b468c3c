"""Small inputs of every kind, and what Druid 33.0.0's own reader, incremental index and merger made of each.

`stock_answers.jsonl.gz`, `stock_metrics.jsonl.gz` for metrics, and `stock_dimensions.jsonl.gz` for kinds of dimensions
and encodings hold one case a line: a spec with inline data, the counted rows, the rejected ones with their messages,
and per segment its interval, columns, `metadata.drd` and rows in order, as they were read back; in the last one also
the digest of the columns' bytes.
"""

import copy
import gzip
import hashlib
import json
from pathlib import Path

import pytest

from overlord.model.instant import format_instant, parse_instant
from workers.segment.reader import SegmentReader

from .ingesting import ingest

RECORDED = [Path(__file__).with_name(f"stock_{name}.jsonl.gz") for name in ("answers", "metrics", "dimensions")]
LINES = [line for path in RECORDED for line in gzip.decompress(path.read_bytes()).splitlines()]
CASES = {case["name"]: case for case in map(json.loads, LINES)}


def posted(case):
    """The task, with the defaults that a posted one gets."""
    spec = copy.deepcopy(case["spec"])
    time = spec["dataSchema"]["timestampSpec"]
    missing = time.get("missingValue")
    time["missingValue"] = missing and format_instant(parse_instant(missing))
    return {"type": "index_parallel", "id": "t1", "spec": spec, "context": {"forceTimeChunkLock": True}}


def complaints(events):
    return sorted((event["details"], event["errorType"], event["input"]) for event in events)


@pytest.mark.parametrize("name", CASES)
def test_a_spec_gives_the_rows_counts_and_complaints_of_druids_own_classes(name, tmp_path):
    case = CASES[name]
    result = ingest(posted(case), tmp_path, settings={"ovl.segment.lz4Level": 9})
    assert result.error is None
    counted = result.stats["rowStats"]["buildSegments"]
    assert counted == {key: case["totals"][key] for key in counted}
    assert complaints((result.stats.get("unparseableEvents") or {}).get("buildSegments") or []) == complaints(
        case["bad"]
    )
    ours = sorted(result.published, key=lambda segment: segment["interval"])
    assert [segment["interval"] for segment in ours] == [segment["interval"] for segment in case["segments"]]
    for segment, expected in zip(ours, case["segments"], strict=True):
        path = Path(segment["loadSpec"]["path"])
        reader = SegmentReader(path)
        assert list(reader.dimensions) == expected["dimensions"]
        assert list(reader.metrics) == expected["metrics"]
        assert reader.metadata == expected["metadata"]
        if expected["rows"] is not None:  # of long ones there is the digest alone
            assert [json.dumps(list(row.values()), ensure_ascii=False) for row in reader.rows()] == expected["rows"]
        if "sha256" in expected:
            assert hashlib.sha256((path / "00000.smoosh").read_bytes()).hexdigest() == expected["sha256"]
