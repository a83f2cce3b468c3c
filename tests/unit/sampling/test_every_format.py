"""Every format through the sampler: the rows as they were read, and as they would be stored."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.integration import test_input_faults as faults
from workers.ingest.formats import input_formats
from workers.sampling.sampler import sample

ROWS = faults.ROWS[:3]
NAMES = ("ts", "page", "lang", "added")
TEXT = [[str(row[name]) for name in NAMES] for row in faults.ROWS]
FORMATS = {
    "json": ({"type": "json"}, faults.LINES, ROWS),
    "json.gz": ({"type": "json"}, gzip.compress(faults.LINES), ROWS),
    "flattened": (
        {"type": "json", "flattenSpec": {"fields": [{"type": "jq", "name": "page", "expr": ".page | ascii_upcase"}]}},
        faults.LINES,
        ROWS,
    ),
    "csv": ({"type": "csv", "columns": list(NAMES)}, "".join(",".join(row) + "\n" for row in TEXT).encode(), None),
    "tsv": ({"type": "tsv", "columns": list(NAMES)}, "".join("\t".join(row) + "\n" for row in TEXT).encode(), None),
    "regex": (
        {"type": "regex", "pattern": "(.*),(.*),(.*),(.*)", "columns": list(NAMES)},
        "".join(",".join(row) + "\n" for row in TEXT).encode(),
        None,
    ),
    "parquet": ({"type": "parquet"}, faults.parquet(), ROWS),
    "orc": ({"type": "orc"}, faults.orc(), ROWS),
    "avro_ocf": ({"type": "avro_ocf"}, faults.avro(), ROWS),
}


def asked(file, form, **schema):
    return {
        "dataSchema": {
            "dataSource": "d",
            "timestampSpec": {"column": "ts", "format": "auto"},
            "dimensionsSpec": {},
            "granularitySpec": {"rollup": False, "queryGranularity": "NONE"},
            "metricsSpec": [],
            **schema,
        },
        "ioConfig": {"type": "index", "inputSource": {"type": "local", "files": [str(file)]}, "inputFormat": form},
    }


LIMITS = {"numRows": 3, "timeoutMs": 30_000, "maxBytesInMemory": 2**63 - 1, "maxClientResponseBytes": 0}


def test_no_format_is_left_out():
    assert {form["type"] for form, _, _ in FORMATS.values()} == set(input_formats.names())


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_shown_as_read_and_as_stored(name, tmp_path):
    form, data, raw = FORMATS[name]
    file = tmp_path / "in"
    file.write_bytes(data)
    answer = sample(asked(file, form), LIMITS, {})
    assert (answer["numRowsRead"], answer["numRowsIndexed"]) == (3, 3)
    texts = [{**row, "added": str(row["added"])} for row in ROWS]
    assert [row["input"] for row in answer["data"]] == (texts if raw is None else raw)
    for row, wanted in zip(answer["data"], texts, strict=True):
        page = wanted["page"].upper() if name == "flattened" else wanted["page"]
        assert row["parsed"] == {"__time": 1704067200000, "page": page, "lang": "x", "added": wanted["added"]}


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("csv", "tsv", "regex")])
def test_types_are_found_where_the_format_has_them(name, tmp_path):
    form, data, _ = FORMATS[name]
    file = tmp_path / "in"
    file.write_bytes(data)
    spec = asked(file, form, dimensionsSpec={"useSchemaDiscovery": True})
    answer = json.loads(json.dumps(sample(spec, LIMITS, {})))
    kinds = {each["name"]: each["type"] for each in answer["logicalDimensions"]}
    assert kinds == {"page": "string", "lang": "string", "added": "long"}
