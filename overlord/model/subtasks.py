"""Which tasks hand work to sub-tasks, and what those are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SUB_TASK_TYPES = (
    "single_phase_sub_task",
    "partial_dimension_cardinality",
    "partial_dimension_distribution",
    "partial_index_generate",
    "partial_range_index_generate",
    "partial_index_generic_merge",
)
WHOLE_SOURCES = frozenset({"inline"})
"""Input sources that no two tasks can share."""


def is_parent(payload: Mapping[str, Any]) -> bool:
    """Whether a task wants sub-tasks: `maxNumConcurrentSubTasks` of 2 or more, of 1 for ranges, and input to share."""
    if payload.get("type") != "index_parallel":
        return False
    spec = payload.get("spec") or {}
    source = (spec.get("ioConfig") or {}).get("inputSource") or {}
    tuning = spec.get("tuningConfig") or {}
    ranges = (tuning.get("partitionsSpec") or {}).get("type") in ("range", "single_dim")
    least = 1 if ranges else 2
    return int(tuning.get("maxNumConcurrentSubTasks") or 1) >= least and source.get("type") not in WHOLE_SOURCES


def parent_of(payload: Mapping[str, Any]) -> str | None:
    """The task whose sub-task this is."""
    parent = payload.get("supervisorTaskId")
    return parent if payload.get("type") in SUB_TASK_TYPES and isinstance(parent, str) else None
