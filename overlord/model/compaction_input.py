"""What a compact task says of its input, as the Overlord and the worker both read it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from overlord.model.interval import Interval
from overlord.model.segment import DataSegment, SegmentId

NONE_FOUND = "No segments found for compaction. Please check that datasource name and interval are correct."
CHANGED = (
    "Specified segments in the spec are different from the current used segments. "
    "Possibly new segments would have been added or some segments have been unpublished."
)


def input_interval(input_spec: Mapping[str, Any]) -> Interval:
    """The time that an inputSpec names: an interval, or what its segments span."""
    if input_spec["type"] == "segments":
        intervals = [SegmentId.parse(text).interval for text in input_spec["segments"]]
        return Interval(min(i.start for i in intervals), max(i.end for i in intervals))
    return Interval.parse(input_spec["interval"])


def fault_of_input(input_spec: Mapping[str, Any], used: Sequence[DataSegment]) -> str | None:
    """What is wrong with the segments that are there, in Druid's words; None if nothing is."""
    if not used:
        return NONE_FOUND
    if input_spec["type"] == "segments":
        same = sorted(input_spec["segments"]) == sorted(str(segment.id) for segment in used)
    else:
        told = input_spec.get("sha256OfSortedSegmentIds")
        same = told is None or told == hash_of_ids(used)
    return None if same else CHANGED


def hash_of_ids(segments: Iterable[DataSegment]) -> str:
    """Druid's sha256OfSortedSegmentIds: the digest's bytes read as UTF-8, whatever comes of that."""
    digest = hashlib.sha256()
    for segment in sorted(segments, key=lambda s: s.id):
        digest.update(str(segment.id).encode())
    return digest.digest().decode("utf-8", "replace")
