"""Typed batches to segments: dictionary codes, packed keys, sorted runs, and their merge when memory is short.

`columns` turns a batch into integers, `run` sorts and rolls up, `merge` joins what was spilled, `emit` writes a
segment of a stretch of rows; `builder` drives them.
"""

from __future__ import annotations

from workers.ingest.building.buckets import AllocatedBuckets, Buckets, FixedBuckets
from workers.ingest.building.builder import Limits, SegmentBuilder
from workers.ingest.building.emit import BuiltSegment
from workers.ingest.building.schema import BuildSchema

__all__ = ["AllocatedBuckets", "Buckets", "BuildSchema", "BuiltSegment", "FixedBuckets", "Limits", "SegmentBuilder"]
