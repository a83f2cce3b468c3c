"""The shape of a compact task."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.errors import BadRequest
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment, SegmentId
from overlord.registry import Registry
from overlord.schemas.base import (
    Flag,
    GranularityJson,
    Inside,
    IntervalText,
    Kinds,
    Lenient,
    ListOf,
    Poly,
    Problem,
    Raw,
    Shape,
    Text,
    fault,
    load,
    token,
)
from overlord.schemas.dimensions import dimensions_spec
from overlord.schemas.filters import filter_field
from overlord.schemas.ingestion import io_kinds
from overlord.schemas.inputs import one_of
from overlord.schemas.metrics import metrics_spec
from overlord.schemas.task import TaskShape, task_kinds
from overlord.schemas.tuning import TUNING, tuning_kinds

input_spec_kinds: Kinds = Registry("compaction input spec")
runner_kinds: Kinds = Registry("compaction runner")
_TASK = "org.apache.druid.indexing.common.task."
_INPUT = _TASK + "CompactionInputSpec"


@input_spec_kinds.add("interval")
class IntervalInput(Shape):
    """All that is visible in an interval."""

    java = _TASK + "CompactionIntervalSpec"

    interval = IntervalText()
    sha256OfSortedSegmentIds = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "interval" not in data:
            return
        if data["interval"] is None:
            yield "interval", "interval"
        elif Interval.parse(data["interval"]).empty:
            yield "interval", f"Interval[{data['interval']}] is empty, must specify a nonempty interval"


@input_spec_kinds.add("segments")
class SegmentsInput(Shape):
    """Just these, which must be all that is visible in the time they span."""

    java = _TASK + "SpecificSegmentsSpec"

    segments = ListOf(Text())

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "segments" not in data:
            return
        if not data["segments"]:
            yield "segments", "segments"
        for text in data["segments"] or ():
            try:
                SegmentId.parse(text)
            except BadRequest as error:
                yield "segments", error.message


@io_kinds.add("compact")
class CompactIo(Shape):
    """Of a compact task."""

    java = _TASK + "CompactionIOConfig"
    omit_false = frozenset({"allowNonAlignedInterval"})

    inputSpec = Poly(input_spec_kinds, _INPUT, named="inputSpec")
    dropExisting = Flag(False)
    allowNonAlignedInterval = Flag(False)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "inputSpec" in data and data["inputSpec"] is None:
            yield "inputSpec", "inputSpec must be specified"


class CompactGranularity(Shape):
    """What shall change; null is as it was."""

    java = "org.apache.druid.client.indexing.ClientCompactionTaskGranularitySpec"

    segmentGranularity = GranularityJson()
    queryGranularity = GranularityJson()
    rollup = Flag()


class CompactTransform(Shape):
    """Rows to keep."""

    java = "org.apache.druid.segment.transform.CompactionTransformSpec"

    filter = filter_field()


@runner_kinds.add("native")
class NativeRunner(Shape):
    """By tasks, not by MSQ, which is an extension."""

    java = _TASK + "NativeCompactionRunner"


class SegmentIdOf(Lenient):
    """A whole segment, of which the id is kept."""

    def read(self, value: Any) -> str:
        if not isinstance(value, dict):
            raise fault(f"Cannot construct instance of `org.apache.druid.timeline.DataSegment` from {token(value)}")
        try:
            return str(DataSegment.from_json(value).id)
        except BadRequest as error:
            raise fault(error.message) from None


@task_kinds.add("compact")
class Compact(TaskShape):
    """Rewrites segments."""

    java = _TASK + "CompactionTask"
    order = (
        "type", "id", "resource", "dataSource", "ioConfig", "dimensionsSpec", "transformSpec", "metricsSpec",
        "segmentGranularity", "granularitySpec", "projections", "tuningConfig", "context", "compactionRunner",
        "groupId",
    )  # fmt: skip
    omit_null = frozenset({"segmentGranularity"})

    ioConfig = Poly(io_kinds, "org.apache.druid.segment.indexing.IOConfig", only=("compact",))
    interval = IntervalText()
    segments = ListOf(SegmentIdOf())
    dimensions = dimensions_spec()
    dimensionsSpec = dimensions_spec()
    transformSpec = Inside(CompactTransform)
    metricsSpec = metrics_spec(None)
    segmentGranularity = GranularityJson()
    granularitySpec = Inside(CompactGranularity)
    projections = ListOf(Raw())
    tuningConfig = Poly(tuning_kinds, TUNING, only=("compaction", "index_parallel", "index"))
    compactionRunner = Poly(runner_kinds, _TASK + "CompactionRunner", lambda: {"type": "native"})

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().own_problems(data)
        inputs = ("ioConfig", "interval", "segments")
        if data.keys() >= set(inputs) and (text := one_of({name: data[name] for name in inputs})):
            yield None, text
        if data.get("interval") is not None and Interval.parse(data["interval"]).empty:
            yield "interval", f"Interval[{data['interval']}] is empty, must specify a nonempty interval"
        old, new = data.get("segmentGranularity"), data.get("granularitySpec")
        if old is not None and new is not None and old != new["segmentGranularity"]:
            yield (
                "segmentGranularity",
                f"Conflicting segment granularities found {old}(segmentGranularity) and "
                f"{new['segmentGranularity']}(granularitySpec.segmentGranularity).\nRemove `segmentGranularity` and "
                "set the `granularitySpec.segmentGranularity` to the expected granularity",
            )

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        """Old fields become what stands for them now."""
        data["ioConfig"] = data["ioConfig"] or _io(data)
        data["dimensionsSpec"] = data["dimensionsSpec"] or data["dimensions"]
        if data["granularitySpec"] is None and data["segmentGranularity"] is not None:
            given = {"segmentGranularity": data["segmentGranularity"], "queryGranularity": None, "rollup": None}
            data["granularitySpec"] = given
        data["segmentGranularity"] = (data["granularitySpec"] or {}).get("segmentGranularity")
        if data["tuningConfig"] is not None and data["tuningConfig"]["type"] != "compaction":
            kind = tuning_kinds["compaction"]
            known = {name: value for name, value in data["tuningConfig"].items() if name in _fields(kind)}
            data["tuningConfig"] = {"type": "compaction", **load(kind, _without_shown(known))}
        if data["transformSpec"] is None:  # else lookups may be wanted
            data["context"] = {"lookupLoadingMode": "NONE", **(data["context"] or {})}
        return data


def _io(data: dict[str, Any]) -> dict[str, Any]:
    if data["interval"] is not None:
        given = {"type": "interval", "interval": data["interval"], "sha256OfSortedSegmentIds": None}
    else:
        given = {"type": "segments", "segments": data["segments"]}
    return {"type": "compact", "inputSpec": given, "dropExisting": False}


def _fields(kind: type[Shape]) -> frozenset[str]:
    return frozenset(kind().fields)


def _without_shown(tuning: dict[str, Any]) -> dict[str, Any]:
    """Without the old fields that only show what partitionsSpec says."""
    if tuning.get("partitionsSpec") is None:
        return tuning
    shown = ("maxRowsPerSegment", "maxTotalRows", "numShards", "partitionDimensions")
    return {name: value for name, value in tuning.items() if name not in shown}
