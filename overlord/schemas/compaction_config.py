"""The shapes of automatic compaction: of the cluster, and of one datasource."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from overlord.errors import BadRequest
from overlord.registry import Registry
from overlord.schemas.base import (
    Choice,
    Flag,
    GranularityJson,
    Inside,
    Kinds,
    Lenient,
    ListOf,
    Object,
    PeriodText,
    Poly,
    Problem,
    Raw,
    Shape,
    Text,
    Whole,
    fault,
    shape,
    token,
)
from overlord.schemas.dimensions import Dimension
from overlord.schemas.faults import refused
from overlord.schemas.filters import filter_field
from overlord.schemas.metrics import metric
from overlord.schemas.partitions import partitions_spec, split_hint
from overlord.schemas.tuning import IndexSpec, appendable_kinds

policy_kinds: Kinds = Registry("compaction policy")
_SERVER = "org.apache.druid.server."
_COORDINATOR = _SERVER + "coordinator."
ENGINE = "org.apache.druid.indexer.CompactionEngine"
ENGINES = ("native", "msq")


class Ratio(Lenient):
    """A double."""

    def read(self, value: Any) -> float:
        try:
            if isinstance(value, int | float | str) and not isinstance(value, bool):
                return float(value)
        except ValueError:
            pass
        raise fault(f"Cannot deserialize value of type `java.lang.Double` from {token(value)}")


@policy_kinds.add("newestSegmentFirst")
class NewestFirst(Shape):
    """The newest first."""

    java = _SERVER + "compaction.NewestSegmentFirstPolicy"

    priorityDatasource = Text()


@policy_kinds.add("fixedIntervalOrder")
class FixedOrder(Shape):
    """Just these intervals, in this order."""

    java = _SERVER + "compaction.FixedIntervalOrderPolicy"

    eligibleCandidates = ListOf(Raw(), list)


class ClusterCompaction(Shape):
    """How much may be compacted at once, what first, and who does it."""

    java = _COORDINATOR + "ClusterCompactionConfig"

    compactionTaskSlotRatio = Ratio(0.1)
    maxCompactionTaskSlots = Whole(2147483647)
    compactionPolicy = Poly(
        policy_kinds,
        _SERVER + "compaction.CompactionCandidateSearchPolicy",
        lambda: {"type": "newestSegmentFirst", "priorityDatasource": None},
    )
    useSupervisors = Flag(False)
    engine = Choice(ENGINE, ENGINES, "native")

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("engine") == "msq" and data.get("useSupervisors") is False:
            yield "engine", "MSQ Compaction engine can be used only with compaction supervisors."


class CompactionTuning(Shape):
    """The tuningConfig of compaction tasks: what is not given stays open."""

    java = _COORDINATOR + "UserCompactionTaskQueryTuningConfig"

    maxRowsInMemory = Whole()
    appendableIndexSpec = Poly(
        appendable_kinds, "org.apache.druid.segment.incremental.AppendableIndexSpec", without_type="onheap"
    )
    maxBytesInMemory = Whole(long=True)
    maxTotalRows = Whole(long=True)
    splitHintSpec = split_hint()
    partitionsSpec = partitions_spec()
    indexSpec = Inside(IndexSpec)
    indexSpecForIntermediatePersists = Inside(IndexSpec)
    maxPendingPersists = Whole()
    pushTimeout = Whole(long=True)
    segmentWriteOutMediumFactory = Raw()
    maxNumConcurrentSubTasks = Whole()
    maxRetry = Whole()
    taskStatusCheckPeriodMs = Whole(long=True)
    chatHandlerTimeout = PeriodText()
    chatHandlerNumRetries = Whole()
    maxNumSegmentsToMerge = Whole()
    totalNumMergeTasks = Whole()
    maxColumnsToMerge = Whole()

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        spec = data["partitionsSpec"]
        perfect = spec is not None and spec["type"] != "dynamic"
        return data | {"type": "index_parallel", "forceGuaranteedRollup": perfect}


class CompactionGranularity(Shape):
    """granularitySpec."""

    java = _COORDINATOR + "UserCompactionTaskGranularityConfig"

    segmentGranularity = GranularityJson()
    queryGranularity = GranularityJson()
    rollup = Flag()


class CompactionDimensions(Shape):
    """dimensionsSpec."""

    java = _COORDINATOR + "UserCompactionTaskDimensionsConfig"

    dimensions = ListOf(Dimension())


class CompactionTransform(Shape):
    """transformSpec."""

    java = "org.apache.druid.segment.transform.CompactionTransformSpec"

    filter = filter_field()


class CompactionIo(Shape):
    """ioConfig."""

    java = _COORDINATOR + "UserCompactionTaskIOConfig"

    dropExisting = Flag(False)


class DatasourceCompaction(Shape):
    """How one datasource is compacted. Druid takes any unknown `type` for `inline`."""

    java = _COORDINATOR + "InlineSchemaDataSourceCompactionConfig"

    dataSource = Text()
    taskPriority = Whole(25)
    inputSegmentSizeBytes = Whole(100_000_000_000_000, long=True)
    maxRowsPerSegment = Whole()
    skipOffsetFromLatest = PeriodText("P1D")
    tuningConfig = Inside(CompactionTuning)
    granularitySpec = Inside(CompactionGranularity)
    dimensionsSpec = Inside(CompactionDimensions)
    metricsSpec = ListOf(metric())
    transformSpec = Inside(CompactionTransform)
    projections = ListOf(Raw())
    ioConfig = Inside(CompactionIo)
    engine = Choice(ENGINE, ENGINES)
    taskContext = Object()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "dataSource" in data and data["dataSource"] is None:
            yield "dataSource", "dataSource"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"type": "inline", **data}


def load_config(kind: type[Shape], body: Any) -> dict[str, Any]:
    """A configuration with every default.

    Raises
    ------
    BadRequest
        In Druid's words; `where` is the field at fault.
    """
    found = shape(kind)
    if not isinstance(body, Mapping):
        raise BadRequest(f"Cannot construct instance of `{found.java}` from {token(body)}")
    try:
        loaded = found.load({name: value for name, value in body.items() if name != "type"})
    except ValidationError as error:
        raise refused(error.messages, body) from None
    return {name: loaded[name] for name in ("type", *found.fields, *loaded) if name in loaded}
