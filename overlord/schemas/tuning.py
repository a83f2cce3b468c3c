"""tuningConfig: memory, partitions, encodings, and how many faults are borne."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.registry import Registry
from overlord.schemas.base import (
    AnyShape,
    Choice,
    Flag,
    Inside,
    Kinds,
    ListOf,
    OtherwiseDefault,
    PeriodText,
    Poly,
    Problem,
    Raw,
    Shape,
    Text,
    Whole,
    load,
)
from overlord.schemas.partitions import DEFAULT_ROWS, HashedPartitions, partitions_spec, split_hint

tuning_kinds: Kinds = Registry("tuning config")
bitmap_kinds: Kinds = Registry("bitmap")
dictionary_kinds: Kinds = Registry("string dictionary encoding")
appendable_kinds: Kinds = Registry("appendable index spec")
medium_kinds: Kinds = Registry("write-out medium")
TUNING = "org.apache.druid.segment.indexing.TuningConfig"
_DATA = "org.apache.druid.segment.data."
COMPRESSIONS = ("lz4", "lzf", "zstd", "uncompressed", "none")
UNLIMITED = 2_147_483_647


@bitmap_kinds.add("roaring", "concise")
class Bitmap(Shape):
    """Kind of the bitmap indexes."""

    java = _DATA + "BitmapSerdeFactory"


@dictionary_kinds.add("utf8")
class Utf8Dictionary(Shape):
    """Strings one after the other."""

    java = "org.apache.druid.segment.column.StringEncodingStrategy$Utf8"


@dictionary_kinds.add("frontCoded")
class FrontCodedDictionary(Shape):
    """Strings without the prefix they share with the one before."""

    java = "org.apache.druid.segment.column.StringEncodingStrategy$FrontCoded"

    bucketSize = Whole(4)
    formatVersion = Whole(0)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        size, version = data.get("bucketSize", 4), data.get("formatVersion", 0)
        if size.bit_count() != 1:
            yield "bucketSize", f"bucketSize must be a power of two but was[{size:,}]"
        elif not 0 < size <= 128:
            yield "bucketSize", f"bucketSize must be a power of two (from 1 up to 128) but was[{size:,}]"
        if version not in (0, 1):
            yield "formatVersion", f"Unknown format version for FrontCodedIndexed [{version}], must be [0] or [1]"


@appendable_kinds.add("onheap")
class OnHeapIndex(Shape):
    """Rows in memory, as Druid keeps them."""

    java = "org.apache.druid.segment.incremental.OnheapIncrementalIndex$Spec"

    preserveExistingMetrics = Flag(False)


@medium_kinds.add("tmpFile", "offHeapMemory", "onHeapMemory")
class Medium(Shape):
    """Where Druid keeps a segment while it is written."""

    java = "org.apache.druid.segment.writeout.SegmentWriteOutMediumFactory"


class IndexSpec(Shape):
    """How columns are stored."""

    java = "org.apache.druid.segment.IndexSpec"
    omit_null = frozenset({"complexMetricCompression", "jsonCompression", "segmentLoader"})

    bitmap = Poly(bitmap_kinds, Bitmap.java, lambda: {"type": "roaring"})
    dimensionCompression = Choice(_DATA + "CompressionStrategy", COMPRESSIONS, "lz4")
    stringDictionaryEncoding = Poly(
        dictionary_kinds, "org.apache.druid.segment.column.StringEncodingStrategy", lambda: {"type": "utf8"}
    )
    metricCompression = Choice(_DATA + "CompressionStrategy", COMPRESSIONS, "lz4")
    longEncoding = Choice(_DATA + "CompressionFactory$LongEncodingStrategy", ("auto", "longs"), "longs")
    complexMetricCompression = Choice(_DATA + "CompressionStrategy", COMPRESSIONS)
    jsonCompression = Choice(_DATA + "CompressionStrategy", COMPRESSIONS)
    segmentLoader = Raw()


def _index_spec() -> dict[str, Any]:
    return load(IndexSpec, {})


def _onheap() -> dict[str, Any]:
    return {"type": "onheap", "preserveExistingMetrics": False}


class TuningConfig(Shape):
    """What index, index_parallel and compact share."""

    read_only = frozenset({"targetPartitionSize", "rowFlushBoundary", "maxNumSubTasks", "publishTimeout"})
    old_push_timeout = False  # whether publishTimeout, its old name, is known
    order: tuple[str, ...] = ()

    targetPartitionSize = Whole()
    maxRowsPerSegment = Whole()
    appendableIndexSpec = OtherwiseDefault(
        appendable_kinds, "org.apache.druid.segment.incremental.AppendableIndexSpec", _onheap, without_type="onheap"
    )
    maxRowsInMemory = Whole(1_000_000)
    maxBytesInMemory = Whole(0, long=True)
    skipBytesInMemoryOverheadCheck = Flag(False)
    maxTotalRows = Whole(long=True)
    rowFlushBoundary = Whole()
    numShards = Whole()
    partitionDimensions = ListOf(Text(), list)
    partitionsSpec = partitions_spec()
    indexSpec = Inside(IndexSpec, _index_spec)
    indexSpecForIntermediatePersists = Inside(IndexSpec)
    maxPendingPersists = Whole(0)
    forceGuaranteedRollup = Flag(False)
    reportParseExceptions = Flag(False)
    pushTimeout = Whole(long=True)
    publishTimeout = Whole(long=True)
    segmentWriteOutMediumFactory = OtherwiseDefault(
        medium_kinds,
        "org.apache.druid.segment.writeout.SegmentWriteOutMediumFactory",
        without_type="tmpFile",
    )
    logParseExceptions = Flag(False)
    maxParseExceptions = Whole(UNLIMITED)
    maxSavedParseExceptions = Whole(0)
    maxColumnsToMerge = Whole(-1)
    awaitSegmentAvailabilityTimeoutMillis = Whole(0, long=True)
    numPersistThreads = Whole(1)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        spec, perfect = data.get("partitionsSpec"), data.get("forceGuaranteedRollup")
        if data.get("targetPartitionSize") is not None and data.get("maxRowsPerSegment") is not None:
            yield "targetPartitionSize", "Can't use targetPartitionSize and maxRowsPerSegment together"
        if spec is None:
            return
        if perfect and spec["type"] == "dynamic":
            yield "partitionsSpec", "DynamicPartitionsSpec cannot be used for perfect rollup"
        if perfect is False and spec["type"] != "dynamic":
            yield "partitionsSpec", "DynamicPartitionsSpec must be used for best-effort rollup"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        spec = data["partitionsSpec"] or self._spec_of_old_fields(data)
        data |= {"partitionsSpec": spec} | _shown_beside(spec)
        if data["indexSpecForIntermediatePersists"] is None:
            data["indexSpecForIntermediatePersists"] = data["indexSpec"]
        old = data["publishTimeout"] if self.old_push_timeout else None
        data |= {
            "pushTimeout": (old or 0) if data["pushTimeout"] is None else data["pushTimeout"],
            "awaitSegmentAvailabilityTimeoutMillis": max(0, data["awaitSegmentAvailabilityTimeoutMillis"]),
            "numPersistThreads": max(1, data["numPersistThreads"]),
        }
        if data["reportParseExceptions"]:
            data |= {"maxParseExceptions": 0, "maxSavedParseExceptions": min(1, data["maxSavedParseExceptions"])}
        return {name: data[name] for name in self.order}

    @staticmethod
    def _spec_of_old_fields(data: dict[str, Any]) -> dict[str, Any] | None:
        """The partitionsSpec that the fields from before there was one stand for."""
        rows = data["maxRowsPerSegment"] if data["targetPartitionSize"] is None else data["targetPartitionSize"]
        shards, dimensions, total = data["numShards"], data["partitionDimensions"], data["maxTotalRows"]
        if data["forceGuaranteedRollup"]:
            if rows is None and shards is None and not dimensions:
                return None
            given = {"maxRowsPerSegment": rows, "numShards": shards, "partitionDimensions": dimensions}
            return {"type": "hashed", **load(HashedPartitions, given)}
        if rows is None and total is None:
            return None
        return {
            "type": "dynamic",
            "maxRowsPerSegment": DEFAULT_ROWS if rows in (None, -1) else rows,
            "maxTotalRows": total,
        }


def _shown_beside(spec: dict[str, Any] | None) -> dict[str, Any]:
    """The old fields as Druid fills them from the partitionsSpec when it writes a tuningConfig."""
    kind = spec["type"] if spec else None
    rows = spec.get("maxRowsPerSegment") if spec else None
    if spec and rows is None and spec.get("targetRowsPerSegment"):
        rows = spec["targetRowsPerSegment"] * 3 // 2
    return {
        "maxRowsPerSegment": rows,
        "maxTotalRows": spec["maxTotalRows"] if spec and kind == "dynamic" else None,
        "numShards": spec["numShards"] if spec and kind == "hashed" else None,
        "partitionDimensions": spec["partitionDimensions"] if spec and kind == "hashed" else [],
    }


_FIRST = (
    "maxRowsPerSegment", "appendableIndexSpec", "maxRowsInMemory", "maxBytesInMemory",
    "skipBytesInMemoryOverheadCheck", "maxTotalRows", "numShards",
)  # fmt: skip
_STORAGE = (
    "partitionsSpec", "indexSpec", "indexSpecForIntermediatePersists", "maxPendingPersists", "forceGuaranteedRollup",
    "reportParseExceptions", "pushTimeout", "segmentWriteOutMediumFactory",
)  # fmt: skip
_FAULTS = (
    "logParseExceptions", "maxParseExceptions", "maxSavedParseExceptions", "maxColumnsToMerge",
    "awaitSegmentAvailabilityTimeoutMillis",
)  # fmt: skip
_PARALLEL = (
    "maxNumConcurrentSubTasks", "maxRetry", "taskStatusCheckPeriodMs", "chatHandlerTimeout", "chatHandlerNumRetries",
    "maxNumSegmentsToMerge", "totalNumMergeTasks",
)  # fmt: skip


@tuning_kinds.add("index")
class IndexTuning(TuningConfig):
    """One task does all."""

    java = "org.apache.druid.indexing.common.task.IndexTask$IndexTuningConfig"
    order = (*_FIRST, "partitionDimensions", *_STORAGE, *_FAULTS, "numPersistThreads")
    old_push_timeout = True


@tuning_kinds.add("index_parallel")
class ParallelTuning(TuningConfig):
    """Work may be handed to sub-tasks."""

    java = "org.apache.druid.indexing.common.task.batch.parallel.ParallelIndexTuningConfig"
    order = (
        *_FIRST, "splitHintSpec", *_STORAGE, *_PARALLEL, *_FAULTS,
        "maxAllowedLockCount", "numPersistThreads", "partitionDimensions",
    )  # fmt: skip

    splitHintSpec = split_hint()
    maxNumSubTasks = Whole()
    maxNumConcurrentSubTasks = Whole()
    maxRetry = Whole(3)
    taskStatusCheckPeriodMs = Whole(1000, long=True)
    chatHandlerTimeout = PeriodText("PT10S")
    chatHandlerNumRetries = Whole(5)
    maxNumSegmentsToMerge = Whole(100)
    totalNumMergeTasks = Whole(10)
    maxAllowedLockCount = Whole(-1)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().problems(data)
        spec = data.get("partitionsSpec") if data.get("forceGuaranteedRollup") else None
        if spec and spec["type"] in ("single_dim", "range"):
            key = "partitionDimension" if spec["type"] == "single_dim" else "partitionDimensions"
            if not spec.get(key):
                yield "partitionsSpec", "partitionDimensions must be specified"
        old, new = data.get("maxNumSubTasks"), data.get("maxNumConcurrentSubTasks")
        if old is not None and new is not None:
            yield "maxNumSubTasks", "Can't use both maxNumSubTasks and maxNumConcurrentSubTasks"
        numbers = {
            "maxNumConcurrentSubTasks": old if new is None else new,
            "maxNumSegmentsToMerge": data.get("maxNumSegmentsToMerge"),
            "totalNumMergeTasks": data.get("totalNumMergeTasks"),
        }
        for name, number in numbers.items():
            if number is not None and number <= 0:
                yield name, f"{name} must be positive"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["maxNumConcurrentSubTasks"] is None:
            data["maxNumConcurrentSubTasks"] = 1 if data["maxNumSubTasks"] is None else data["maxNumSubTasks"]
        return super().finish(data)


@tuning_kinds.add("compaction")
class CompactionTuning(ParallelTuning):
    """Of a compact task."""

    java = "org.apache.druid.indexing.common.task.CompactionTask$CompactionTuningConfig"
    order = (
        *_FIRST, "splitHintSpec", *_STORAGE, *_PARALLEL, *_FAULTS,
        "numPersistThreads", "maxAllowedLockCount", "partitionDimensions",
    )  # fmt: skip

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().problems(data)
        wait = data.get("awaitSegmentAvailabilityTimeoutMillis", 0)
        if wait:
            yield (
                "awaitSegmentAvailabilityTimeoutMillis",
                "awaitSegmentAvailabilityTimeoutMillis is not supported for Compcation Task",
            )


@tuning_kinds.add("kafka", "KafkaTuningConfig", "kinesis", "realtime")
class OtherTuning(AnyShape):
    """Of a streaming task; it passes as it is."""

    java = TUNING
