"""lastCompactionState: what a segment was made with, so that automatic compaction can tell whether to make it anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from overlord.model.segment import DataSegment


def compaction_state(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The state that an ingestion's spec leaves, keys in Druid's order."""
    data, tuning = spec["dataSchema"], spec.get("tuningConfig") or {}
    dimensions = data.get("dimensionsSpec")
    condition = (data.get("transformSpec") or {}).get("filter")
    state = {
        "partitionsSpec": tuning.get("partitionsSpec"),
        "dimensionsSpec": None if dimensions is None else _dimensions(dimensions),
        "metricsSpec": data.get("metricsSpec") or [],
        "transformSpec": None if condition is None else {"filter": condition},
        "indexSpec": tuning.get("indexSpec"),
        "granularitySpec": data.get("granularitySpec"),
    }
    if data.get("projections"):
        state["projections"] = data["projections"]
    return state


def remember(payloads: Iterable[Mapping[str, Any]], state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Payloads of segments that tell how they were made."""
    return [replace(DataSegment.from_json(each), last_compaction_state=state).to_json() for each in payloads]


def _dimensions(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The dimensions and their order; what else a dimensionsSpec says is not compared."""
    out = {
        "dimensions": spec.get("dimensions") or [],
        "dimensionExclusions": [],
        "includeAllDimensions": False,
        "useSchemaDiscovery": False,
    }
    by_time = spec.get("forceSegmentSortByTime")
    return out if by_time is None else out | {"forceSegmentSortByTime": by_time}
