"""Whether segments are as a configuration wants them, told from the `lastCompactionState` they carry.

Checks are made in Druid's order, and the first that fails gives the reason. What the configuration leaves open is not
compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from marshmallow import ValidationError

from overlord.errors import BadRequest
from overlord.model.granularity import Granularity
from overlord.model.segment import DataSegment
from overlord.schemas.base import Lenient, ListOf, load
from overlord.schemas.dimensions import Dimension
from overlord.schemas.metrics import metric
from overlord.schemas.tuning import IndexSpec

Json = Mapping[str, Any]
_LONG_MAX = 2**63 - 1
_DYNAMIC_ROWS = 5_000_000


def reason_to_compact(config: Json, segments: Sequence[DataSegment]) -> str | None:
    """Why segments of one time chunk need compaction, in Druid's words; None if they do not."""
    states = {orjson.dumps(each.last_compaction_state, option=orjson.OPT_SORT_KEYS) for each in segments}
    if any(each.last_compaction_state is None for each in segments):
        return "not compacted yet"
    if len(states) > 1:
        return "segments have different last compaction states"
    state = segments[0].last_compaction_state
    assert state is not None
    for check in _CHECKS:
        if reason := check(config, state, segments):
            return reason
    return None


def _mismatch(field: str, wanted: Any, found: Any) -> str | None:
    if wanted is None or wanted == found:
        return None
    return f"'{field}' mismatch: required[{_shown(wanted)}], current[{_shown(found)}]"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _partitions(config: Json, state: Json, _: Sequence[DataSegment]) -> str | None:
    return _mismatch("partitionsSpec", wanted_partitions(config), _effective(state.get("partitionsSpec")))


def wanted_partitions(config: Json) -> dict[str, Any] | None:
    """The partitionsSpec that a configuration asks for, as it is compared."""
    tuning = config.get("tuningConfig") or {}
    if tuning.get("partitionsSpec") is not None:
        return _effective(tuning["partitionsSpec"])
    rows, total = config.get("maxRowsPerSegment"), tuning.get("maxTotalRows")
    if rows is None and total is None:
        return None
    return _effective({"type": "dynamic", "maxRowsPerSegment": rows, "maxTotalRows": total})


def _effective(spec: Json | None) -> dict[str, Any] | None:
    """A partitionsSpec with what it stands for in place of what was left out."""
    if spec is None:
        return None
    kind, rows = spec["type"], spec.get("maxRowsPerSegment")
    if kind == "dynamic":
        total = spec.get("maxTotalRows")
        return {
            "type": kind,
            "maxRowsPerSegment": rows or _DYNAMIC_ROWS,
            "maxTotalRows": total if total and total > 0 else _LONG_MAX,
        }
    if rows is None and spec.get("targetRowsPerSegment"):
        rows = spec["targetRowsPerSegment"] * 3 // 2
    if kind in ("range", "single_dim"):
        names = spec.get("partitionDimensions") or [spec.get("partitionDimension")]
        grouped = bool(spec.get("assumeGrouped"))
        return {"type": "range", "maxRowsPerSegment": rows, "partitionDimensions": names, "assumeGrouped": grouped}
    return {
        "type": kind,
        "maxRowsPerSegment": spec.get("targetRowsPerSegment") or spec.get("maxRowsPerSegment"),
        "numShards": spec.get("numShards"),
        "partitionDimensions": spec.get("partitionDimensions") or [],
        "partitionFunction": spec.get("partitionFunction"),
    }


def _index_spec(config: Json, state: Json, _: Sequence[DataSegment]) -> str | None:
    wanted = (config.get("tuningConfig") or {}).get("indexSpec")
    return _mismatch("indexSpec", load(IndexSpec, wanted or {}), load(IndexSpec, state.get("indexSpec") or {}))


def _granularity(config: Json) -> Json:
    return config.get("granularitySpec") or {}


def _segment_granularity(config: Json, state: Json, segments: Sequence[DataSegment]) -> str | None:
    wanted = _granularity(config).get("segmentGranularity")
    if wanted is None:
        return None
    found = _granularity(state).get("segmentGranularity")
    if found is not None:
        return _mismatch("segmentGranularity", _same(wanted), _same(found))
    granularity = Granularity.parse(wanted)
    if all(granularity.is_aligned(segment.interval) for segment in segments):
        return None
    return f"segmentGranularity: segments do not align with target[{_shown(_same(wanted))}]"


def _same(granularity: Any) -> Any:
    """A granularity in one of its notations."""
    try:
        return None if granularity is None else Granularity.parse(granularity).to_json()
    except BadRequest:
        return granularity


def _query_granularity(config: Json, state: Json, _: Sequence[DataSegment]) -> str | None:
    wanted, found = _granularity(config).get("queryGranularity"), _granularity(state).get("queryGranularity")
    return _mismatch("queryGranularity", _same(wanted), _same(found))


def _rollup(config: Json, state: Json, _: Sequence[DataSegment]) -> str | None:
    return _mismatch("rollup", _granularity(config).get("rollup"), _granularity(state).get("rollup"))


def _dimensions(config: Json, state: Json, _: Sequence[DataSegment]) -> str | None:
    if config.get("dimensionsSpec") is None:
        return None
    wanted = _without_partitioning(config["dimensionsSpec"], (config.get("tuningConfig") or {}).get("partitionsSpec"))
    found = _without_partitioning(state.get("dimensionsSpec"), state.get("partitionsSpec"))
    return _mismatch("dimensionsSpec", wanted, found)


def _without_partitioning(spec: Json | None, partitions: Json | None) -> Any:
    """Dimensions but for those that ranges go by: these come first whatever order was asked for."""
    dimensions = (spec or {}).get("dimensions")
    if dimensions is None:
        return None
    effective = _effective(partitions)
    taken = effective["partitionDimensions"] if effective is not None and effective["type"] == "range" else []
    return [each for each in _read(Dimension(), dimensions) if each["name"] not in taken]


def _metrics(config: Json, state: Json, _: Sequence[DataSegment]) -> str | None:
    if not config.get("metricsSpec"):
        return None
    return _mismatch(
        "metricsSpec", _read(metric(), config["metricsSpec"]), _read(metric(), state.get("metricsSpec") or [])
    )


def _read(item: Lenient, values: Any) -> Any:
    """Values with their defaults; as they are if they cannot be read."""
    try:
        return ListOf(item).deserialize(values)
    except ValidationError:
        return values


def _transform(config: Json, state: Json, _: Sequence[DataSegment]) -> str | None:
    wanted = (config.get("transformSpec") or {}).get("filter")
    return _mismatch("transformSpec filter", wanted, (state.get("transformSpec") or {}).get("filter"))


def _projections(config: Json, state: Json, _: Sequence[DataSegment]) -> str | None:
    return _mismatch("projections", config.get("projections"), state.get("projections"))


_CHECKS: tuple[Callable[[Json, Json, Sequence[DataSegment]], str | None], ...] = (
    _partitions,
    _index_spec,
    _segment_granularity,
    _query_granularity,
    _rollup,
    _dimensions,
    _metrics,
    _transform,
    _projections,
)
