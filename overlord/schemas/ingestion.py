"""dataSchema, ioConfig and the whole spec of a batch ingestion."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.model.java_hash import hash_order
from overlord.registry import Registry
from overlord.schemas.base import Flag, Inside, Kinds, ListOf, Poly, Problem, Raw, Shape, Text, load
from overlord.schemas.dimensions import dimensions_spec, duplicates
from overlord.schemas.formats import input_format
from overlord.schemas.inputs import WITHOUT_FORMAT, input_source
from overlord.schemas.metrics import metric_inputs, metric_name, metrics_spec
from overlord.schemas.names import problem_of
from overlord.schemas.time import TimestampSpec, granularity_spec
from overlord.schemas.transforms import transform_spec
from overlord.schemas.tuning import tuning_kinds

io_kinds: Kinds = Registry("io config")
_TASK = "org.apache.druid.indexing.common.task."
_PARALLEL = _TASK + "batch.parallel.ParallelIndex"


class DataSchema(Shape):
    """What rows become."""

    java = "org.apache.druid.segment.indexing.DataSchema"
    omit_null = frozenset({"projections"})

    dataSource = Text()
    timestampSpec = Inside(TimestampSpec)
    dimensionsSpec = dimensions_spec()
    metricsSpec = metrics_spec()
    granularitySpec = granularity_spec()
    transformSpec = transform_spec()
    projections = ListOf(Raw())

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "dataSource" in data and (text := problem_of("dataSource", data["dataSource"])):
            yield "dataSource", text
        columns = [each["name"] for each in (data.get("dimensionsSpec") or {}).get("dimensions", ())]
        metrics = [name for each in data.get("metricsSpec") or () if (name := metric_name(each)) is not None]
        if data.get("dimensionsSpec") is not None and data.get("timestampSpec", "") is None:
            yield "timestampSpec", "timestampSpec"
        time = ["__time"] if "__time" in metrics else []
        if twice := duplicates([*dict.fromkeys(columns), *metrics, *time]):
            seen = (f"[{name}] seen in {_seen(name, columns, metrics)}" for name in sorted(twice))
            yield None, f"Cannot specify a column more than once: {'; '.join(seen)}"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        """Columns that are no dimensions unless they are listed as such are excluded, as Druid computes it."""
        spec = data["dimensionsSpec"]
        if spec is not None:
            taken = ["__time"]
            if data["timestampSpec"] is not None:
                taken.append(data["timestampSpec"]["column"])
            for metric in data["metricsSpec"] or ():
                taken += [*sorted(metric_inputs(metric)), *filter(None, [metric_name(metric)])]
            listed = {each["name"] for each in spec["dimensions"]}
            others = [name for name in taken if name not in listed]
            spec["dimensionExclusions"] = hash_order([*spec["dimensionExclusions"], *others])
        return data


def _seen(name: str, columns: list[str], metrics: list[str]) -> str:
    """Where a name stands, in Druid's words."""
    found = []
    for place, count in (("dimensions list", int(name in columns)), ("metricsSpec list", metrics.count(name))):
        if count:
            found.append(place if count == 1 else f"{place} ({count} occurrences)")
    if name == "__time":
        found.append("primary timestamp (__time cannot appear elsewhere except as long-typed dimension)")
    return ", ".join(found)


class _IoConfig(Shape):
    inputSource = input_source()
    inputFormat = input_format()
    appendToExisting = Flag(False)
    dropExisting = Flag(False)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "inputSource" in data and data["inputSource"] is None:
            yield "inputSource", "inputSource"
        if (data.get("inputFormat") or {}).get("type") == "kafka":
            yield "inputFormat", "The input format kafka is for messages of Kafka: only a kafka supervisor can use it"


@io_kinds.add("index")
class IndexIo(_IoConfig):
    """Of an index task."""

    java = _TASK + "IndexTask$IndexIOConfig"


@io_kinds.add("index_parallel")
class ParallelIo(_IoConfig):
    """Of an index_parallel task."""

    java = _TASK + "batch.parallel.ParallelIndexIOConfig"


class IngestionSpec(Shape):
    """dataSchema, ioConfig and tuningConfig."""

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name in ("dataSchema", "ioConfig"):
            if name in data and data[name] is None:
                yield name, name
        io = data.get("ioConfig")
        source = io.get("inputSource") if io else None
        if io and source and io.get("inputFormat", "") is None and source.get("type") not in WITHOUT_FORMAT:
            yield "ioConfig", "At least one of properties[[parser, inputFormat]] must be present"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["tuningConfig"] is None:
            name = data["ioConfig"]["type"]
            data["tuningConfig"] = {"type": name, **load(tuning_kinds[name], {})}
        return data


class IndexSpecShape(IngestionSpec):
    """Of an index task."""

    java = _TASK + "IndexTask$IndexIngestionSpec"

    dataSchema = Inside(DataSchema)
    ioConfig = Poly(io_kinds, _TASK + "IndexTask$IndexIOConfig", only=("index",), named="ioConfig")
    tuningConfig = Poly(
        tuning_kinds, _TASK + "IndexTask$IndexTuningConfig", only=("index", "index_parallel"), named="tuningConfig"
    )


class ParallelSpecShape(IngestionSpec):
    """Of an index_parallel task."""

    java = _TASK + "batch.parallel.ParallelIndexIngestionSpec"

    dataSchema = Inside(DataSchema)
    ioConfig = Poly(io_kinds, _PARALLEL + "IOConfig", only=("index_parallel",), named="ioConfig")
    tuningConfig = Poly(
        tuning_kinds, _PARALLEL + "TuningConfig", only=("compaction", "index_parallel"), named="tuningConfig"
    )
