"""The shape of a kafka supervisor's spec."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.errors import BadRequest
from overlord.model.period import Period
from overlord.model.supervisor import SupervisorSpec
from overlord.registry import Registry
from overlord.schemas.base import (
    Choice,
    Flag,
    Inside,
    InstantText,
    Kinds,
    Lenient,
    Object,
    PeriodText,
    Poly,
    Problem,
    Raw,
    Shape,
    Text,
    Whole,
    fault,
    load,
    token,
)
from overlord.schemas.formats import input_format
from overlord.schemas.ingestion import DataSchema
from overlord.schemas.supervisors import SupervisorShape, supervisor_kinds
from overlord.schemas.tuning import UNLIMITED, IndexSpec, appendable_kinds

kafka_tuning_kinds: Kinds = Registry("kafka tuning config")
auto_scaler_kinds: Kinds = Registry("auto scaler")
_KAFKA = "org.apache.druid.indexing.kafka.supervisor."
OF_THE_SUPERVISOR = frozenset(
    {"workerThreads", "chatRetries", "httpTimeout", "shutdownTimeout", "offsetFetchPeriod"}
) | {"repartitionTransitionDuration"}
"""Properties of a tuningConfig that its tasks do not have."""
_STREAM = "org.apache.druid.indexing.seekablestream.supervisor."


class DurationText(PeriodText):
    """A period of a fixed length, written in seconds."""

    def through_model(self, value: Any) -> str:
        period = Period.parse(value) if isinstance(value, str) else None
        if period is None:
            raise BadRequest(f"Cannot deserialize value of type `org.joda.time.Period` from {token(value)}")
        length_ms = period.utc_ms
        if length_ms is None:
            unit = "years" if period.years else "months"
            raise BadRequest(f"Cannot convert to Duration as this period contains {unit} and {unit} vary in length")
        return duration_text(length_ms)


def duration_text(length_ms: int) -> str:
    """As Joda prints a Duration: `PT90S`, `PT0.500S`."""
    seconds, millis = divmod(length_ms, 1000)
    return f"PT{seconds}.{millis:03d}S" if millis else f"PT{seconds}S"


class Real(Lenient):
    """A double; one in a string is read."""

    def read(self, value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise fault(f"Cannot deserialize value of type `double` from {token(value)}")
        try:
            return float(value)
        except ValueError:
            raise fault(
                f'Cannot deserialize value of type `double` from String "{value}": not a valid `double` value'
            ) from None


@auto_scaler_kinds.add("lagBased")
class LagBasedScaler(Shape):
    """More or fewer tasks, by how far they lag behind."""

    java = _STREAM + "autoscaler.LagBasedAutoScalerConfig"

    lagCollectionIntervalMillis = Whole(30_000, long=True)
    lagCollectionRangeMillis = Whole(600_000, long=True)
    scaleActionStartDelayMillis = Whole(300_000, long=True)
    scaleActionPeriodMillis = Whole(60_000, long=True)
    scaleOutThreshold = Whole(6_000_000, long=True)
    scaleInThreshold = Whole(1_000_000, long=True)
    triggerScaleOutFractionThreshold = Real(0.3)
    triggerScaleInFractionThreshold = Real(0.9)
    taskCountMax = Whole()
    taskCountMin = Whole()
    scaleInStep = Whole(1)
    scaleOutStep = Whole(2)
    enableTaskAutoScaler = Flag(False)
    minTriggerScaleActionFrequencyMillis = Whole(600_000, long=True)
    lagAggregate = Choice(_STREAM + "autoscaler.AggregateFunction", ("max", "sum", "average"))

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if not data.get("enableTaskAutoScaler") or not {"taskCountMax", "taskCountMin"} <= data.keys():
            return
        most, least = data["taskCountMax"], data["taskCountMin"]
        if most is None or least is None:
            yield None, "taskCountMax or taskCountMin can't be null!"
        elif most < least:
            yield "taskCountMax", "taskCountMax can't lower than taskCountMin!"
        elif least < 1:
            yield "taskCountMin", "taskCountMin must be greater than 0"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        if not data["enableTaskAutoScaler"]:
            data |= {"taskCountMax": 0, "taskCountMin": 0}
        if data["lagAggregate"] is not None:
            data["lagAggregate"] = data["lagAggregate"].upper()
        return data


class AutoScaler(Poly):
    """An autoscaler; the kind is not called `type` here."""

    def __init__(self) -> None:
        super().__init__(auto_scaler_kinds, _STREAM + "autoscaler.AutoScalerConfig", without_type="lagBased")

    def read(self, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            value = {"type": value.get("autoScalerStrategy", "lagBased")} | value
        loaded = super().read(value)
        return {"autoScalerStrategy": loaded.pop("type"), **loaded}


class IdleConfig(Shape):
    """When a stream that brings nothing new lets its supervisor rest."""

    java = _STREAM + "IdleConfig"

    enabled = Flag(False)
    inactiveAfterMillis = Whole(long=True)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("inactiveAfterMillis") is not None and data["inactiveAfterMillis"] <= 0:
            yield "inactiveAfterMillis", "inactiveAfterMillis should be a postive number"


class KafkaIo(Shape):
    """Which topic, and how it is read."""

    java = _KAFKA + "KafkaSupervisorIOConfig"

    topic = Text()
    topicPattern = Text()
    inputFormat = input_format()
    replicas = Whole(1)
    taskCount = Whole(1)
    taskDuration = DurationText("PT3600S")
    consumerProperties = Object()
    autoScalerConfig = AutoScaler()
    pollTimeout = Whole(100, long=True)
    startDelay = DurationText("PT5S")
    period = DurationText("PT30S")
    useEarliestOffset = Flag(False)
    completionTimeout = DurationText("PT1800S")
    lateMessageRejectionPeriod = DurationText()
    earlyMessageRejectionPeriod = DurationText()
    lateMessageRejectionStartDateTime = InstantText()
    configOverrides = Raw()
    idleConfig = Inside(IdleConfig)
    stopTaskCount = Whole()
    emitTimeLagMetrics = Flag(False)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from self._topic_problems(data)
        if data.get("lateMessageRejectionPeriod") and data.get("lateMessageRejectionStartDateTime"):
            yield (
                None,
                "SeekableStreamSupervisorIOConfig does not support both properties "
                "lateMessageRejectionStartDateTime and lateMessageRejectionPeriod.",
            )
        if data.get("stopTaskCount") is not None and data["stopTaskCount"] <= 0:
            yield "stopTaskCount", "stopTaskCount must be greater than 0"
        for name in ("taskCount", "replicas"):
            if data.get(name, 1) < 1:
                yield name, f"{name} must be greater than 0"
        if "consumerProperties" not in data:
            return
        if data["consumerProperties"] is None:
            yield "consumerProperties", "consumerProperties"
        elif data["consumerProperties"].get("bootstrap.servers") is None:
            yield "consumerProperties", "consumerProperties must contain entry for [bootstrap.servers]"

    @staticmethod
    def _topic_problems(data: dict[str, Any]) -> Iterator[Problem]:
        if not {"topic", "topicPattern"} <= data.keys():
            return
        topic, pattern = data["topic"], data["topicPattern"]
        if topic is None and pattern is None:
            yield None, "Either topic or topicPattern must be specified"
        elif topic is not None and pattern is not None:
            yield None, f"Only one of topic [{topic}] or topicPattern [{pattern}] must be specified"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        scaler = data["autoScalerConfig"]
        if scaler is not None and scaler["enableTaskAutoScaler"]:
            data["taskCount"] = scaler["taskCountMin"]
        stream = data["topic"] if data["topicPattern"] is None else data["topicPattern"]
        return data | {"stream": stream, "useEarliestSequenceNumber": data["useEarliestOffset"]}


@kafka_tuning_kinds.add("kafka")
class KafkaTuning(Shape):
    """Memory, segments and waits."""

    java = _KAFKA + "KafkaSupervisorTuningConfig"

    appendableIndexSpec = Poly(
        appendable_kinds,
        "org.apache.druid.segment.incremental.AppendableIndexSpec",
        lambda: {"type": "onheap", "preserveExistingMetrics": False},
        without_type="onheap",
    )
    maxRowsInMemory = Whole(150_000)
    maxBytesInMemory = Whole(0, long=True)
    skipBytesInMemoryOverheadCheck = Flag(False)
    maxRowsPerSegment = Whole(5_000_000)
    maxTotalRows = Whole(long=True)
    intermediatePersistPeriod = PeriodText("PT10M")
    maxPendingPersists = Whole(0)
    indexSpec = Inside(IndexSpec, lambda: load(IndexSpec, {}))
    indexSpecForIntermediatePersists = Inside(IndexSpec)
    reportParseExceptions = Flag(False)
    handoffConditionTimeout = Whole(900_000, long=True)
    resetOffsetAutomatically = Flag(False)
    segmentWriteOutMediumFactory = Raw()
    workerThreads = Whole()
    chatRetries = Whole(8, long=True)
    httpTimeout = DurationText("PT10S")
    shutdownTimeout = DurationText("PT80S")
    offsetFetchPeriod = DurationText("PT30S")
    intermediateHandoffPeriod = PeriodText("P2147483647D")
    logParseExceptions = Flag(False)
    maxParseExceptions = Whole(UNLIMITED)
    maxSavedParseExceptions = Whole(0)
    numPersistThreads = Whole(1)
    maxColumnsToMerge = Whole(-1)
    skipSequenceNumberAvailabilityCheck = Flag(False)
    repartitionTransitionDuration = DurationText("PT120S")

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["indexSpecForIntermediatePersists"] is None:
            data["indexSpecForIntermediatePersists"] = data["indexSpec"]
        if data["reportParseExceptions"]:
            data |= {"maxParseExceptions": 0, "maxSavedParseExceptions": min(1, data["maxSavedParseExceptions"])}
        return data


def _tuning() -> Poly:
    return Poly(kafka_tuning_kinds, KafkaTuning.java, named="tuningConfig")


class KafkaParts(Shape):
    """The three parts, in one object."""

    java = _KAFKA + "KafkaSupervisorIngestionSpec"

    dataSchema = Inside(DataSchema)
    ioConfig = Inside(KafkaIo)
    tuningConfig = _tuning()


@supervisor_kinds.add("kafka")
class KafkaShape(SupervisorShape):
    """A supervisor of tasks that read Kafka; the parts may stand in `spec` or, as of old, beside it."""

    java = _KAFKA + "KafkaSupervisorSpec"

    id = Text()
    spec_ = Inside(KafkaParts, data_key="spec")
    dataSchema = Inside(DataSchema)
    tuningConfig = _tuning()
    ioConfig = Inside(KafkaIo)
    context = Object()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "spec_" not in data:
            return
        parts = data if data["spec_"] is None else data["spec_"]
        for name in ("dataSchema", "ioConfig"):
            if name in parts and parts[name] is None:
                yield (name if parts is data else "spec"), name
                return

    def spec(self, kind: str, data: dict[str, Any]) -> SupervisorSpec:
        parts = data["spec_"] or {name: data[name] for name in ("dataSchema", "ioConfig", "tuningConfig")}
        if parts["tuningConfig"] is None:
            parts["tuningConfig"] = {"type": "kafka", **load(KafkaTuning, {})}
        datasource = parts["dataSchema"]["dataSource"]
        payload: dict[str, Any] = {"type": kind}
        if data["id"] is not None:
            payload["id"] = data["id"]
        payload |= {
            "spec": parts,
            "dataSchema": parts["dataSchema"],
            "tuningConfig": parts["tuningConfig"],
            "ioConfig": parts["ioConfig"],
            "context": data["context"],
            "suspended": data["suspended"],
        }
        return SupervisorSpec(
            id=data["id"] or datasource,
            type=kind,
            source=parts["ioConfig"]["stream"],
            datasources=(datasource,),
            payload=payload,
            suspended=data["suspended"],
        )
