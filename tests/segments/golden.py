"""The golden segments: made by a real Druid 33.0.0, each with its rows as the broker printed them."""

from __future__ import annotations

import gzip
import json
import math
import struct
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"
SEGMENTS = sorted(path.relative_to(FIXTURES).as_posix() for path in FIXTURES.glob("*/seg*"))


def segment_path(name):
    """The directory of the segment's files, or its `index.zip`."""
    directory = FIXTURES / name / "index"
    return directory if directory.exists() else FIXTURES / name / "index.zip"


def expected_rows(name):
    plain = FIXTURES / name / "rows.jsonl"
    text = plain.read_bytes() if plain.exists() else gzip.decompress((FIXTURES / name / "rows.jsonl.gz").read_bytes())
    return [json.loads(line) for line in text.splitlines()]


def payload(name):
    return json.loads((FIXTURES / name / "payload.json").read_text())


def canonical(value, druid_type="DOUBLE"):
    """A value that equals another exactly when both are the same, -0.0 and 32-bit floats included."""
    if isinstance(value, dict):
        return {k: canonical(v, druid_type) for k, v in value.items()}
    if isinstance(value, list):
        return [canonical(v, druid_type) for v in value]
    if druid_type in ("FLOAT", "COMPLEX<serializablePairLongFloat>") and isinstance(value, int | float):
        return math.inf if abs(value) > 3.5e38 else struct.pack(">f", value)
    if isinstance(value, float) or (druid_type == "DOUBLE" and isinstance(value, int)):
        return struct.pack(">d", value)
    return value
