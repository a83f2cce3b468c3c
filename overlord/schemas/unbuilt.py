"""What Druid takes in a spec and this version does not build: told when a spec is posted, not when its task has begun.

Stored specs, configurations and compaction states are read without this: they may be of a stock Overlord.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from overlord.model.index_spec import unwritten
from overlord.model.metric_types import BUILT, INSTALL, NO_LIBRARY, SKETCHES, TAKEN, has_library
from overlord.schemas.base import Fault
from overlord.schemas.faults import SpecRefused

Json = Mapping[str, Any]
Found = tuple[str, Fault]

_UNBUILT_DIMENSIONS = {
    "spatial": "store the coordinates in two dimensions of type double",
}


def refuse_unbuilt(payload: Json) -> None:
    """Refuse a task's or supervisor's payload that asks for what is not built.

    Raises
    ------
    SpecRefused
        Each fault names its property, what is wrong, and what to do.
    """
    if found := list(_faults(payload)):
        raise SpecRefused(found)


def _faults(payload: Json) -> Iterator[Found]:
    spec = payload.get("spec")
    if isinstance(spec, Mapping) and "ioConfig" in spec and "dataSchema" in spec:
        yield from _schema(spec.get("dataSchema") or {}, "spec.dataSchema.")
        yield from _tuning(spec, "spec.")
    elif payload.get("type") == "autocompact" and isinstance(spec, Mapping):
        yield from _schema(spec, "spec.")
        yield from _tuning(spec, "spec.")
    elif payload.get("type") == "compact":
        yield from _schema(payload, "")
        yield from _tuning(payload, "")


def _schema(schema: Json, path: str) -> Iterator[Found]:
    for place, dimension in enumerate((schema.get("dimensionsSpec") or {}).get("dimensions") or ()):
        kind = dimension["type"]
        if kind in _UNBUILT_DIMENSIONS:
            yield (
                f"{path}dimensionsSpec.dimensions[{place}].type",
                Fault(
                    f"Dimension [{dimension['name']}] has type [{kind}], which this version cannot build. "
                    "It builds: [auto, double, float, json, long, string]",
                    hint=_UNBUILT_DIMENSIONS[kind],
                ),
            )
    yield from _metrics(schema.get("metricsSpec") or (), f"{path}metricsSpec")
    if schema.get("projections"):
        yield (
            f"{path}projections",
            Fault(
                "Projections are not built by this version",
                hint="leave them out: queries answer the same without",
            ),
        )


def _metrics(metrics: Sequence[Json], path: str) -> Iterator[Found]:
    for place, metric in enumerate(metrics):
        where, within = f"{path}[{place}]", metric
        while within.get("type") == "filtered" and isinstance(within.get("aggregator"), Mapping):
            where, within = f"{where}.aggregator", within["aggregator"]
        kind, name = within.get("type"), within.get("name") or metric.get("name")
        if kind not in (*BUILT, *TAKEN):
            yield (
                f"{where}.type",
                Fault(
                    f"Metric [{name}] has type [{kind}], which this version cannot build. "
                    f"It builds: [{', '.join(BUILT)}]",
                    hint="leave it out, or use one of those",
                ),
            )
        elif kind in SKETCHES and not has_library():
            yield f"{where}.type", Fault(f"Metric [{name}] of type [{kind}]: {NO_LIBRARY}", hint=INSTALL)


def _tuning(parts: Json, path: str) -> Iterator[Found]:
    tuning = parts.get("tuningConfig")
    for choice in unwritten((tuning or {}).get("indexSpec")):
        where = f"{path}tuningConfig.indexSpec.{choice.key}"
        yield where, Fault(f"{where}: {choice.message} ({choice.hint})", hint=choice.hint)
