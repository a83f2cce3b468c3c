"""Records of a Kafka topic, for a sample: nothing is committed, and no group is joined."""

from __future__ import annotations

import io
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from overlord.errors import TaskFailed, UnknownKind
from workers.asks import Refused
from workers.ingest.formats import InputFormat, RawChunk, input_formats
from workers.ingest.formats.json import JsonFormat
from workers.ingest.sources import InputObject

_METADATA_S = 10.0
_POLL_S = 0.1
_CHUNK_BYTES = 1 << 20
_JAVA_ONLY = re.compile(
    r"(key|value)\.deserializer|max\.poll\.records|auto\.offset\.reset|enable\.auto\.commit|group\.id"
    r"|druid\.dynamic\.config\.provider|ssl\.(key|trust)store\..*"
)


class Topic:
    """What a kafka supervisor's ioConfig names.

    Parameters
    ----------
    spec : mapping
        ioConfig with `topic` or `topicPattern`, `consumerProperties`, `inputFormat`.
    seconds : float
        How long records are waited for.

    Raises
    ------
    TaskFailed
        The format is not known, or Kafka cannot be reached or has no such topic.
    """

    def __init__(self, spec: Mapping[str, Any], seconds: float) -> None:
        io_config = spec["ioConfig"]
        self._io = io_config
        self._until = time.monotonic() + seconds
        self._earliest = bool(io_config.get("useEarliestOffset"))
        self._format = _format(io_config.get("inputFormat"))
        self._errors: set[str] = set()
        self._consumer = self._connect(io_config["consumerProperties"])
        self._left = self._assign(seconds)

    def chunks(self, *, nested: bool) -> Iterator[RawChunk]:
        """Rows of the records as they come."""
        if nested and isinstance(self._format, JsonFormat):
            self._format.nested = self._format.keep_nulls = True
        return self._format.read(self._objects(), chunk_bytes=_CHUNK_BYTES)

    def _connect(self, properties: Mapping[str, Any]) -> Any:
        try:
            from confluent_kafka import Consumer, KafkaException
        except ImportError:
            raise TaskFailed("Kafka is not installed here", hint="pip install 'overlord[kafka]'") from None
        given = {name: value for name, value in properties.items() if not _JAVA_ONLY.fullmatch(name)}
        ours = {
            "group.id": f"overlord-sampler-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,  # what goes wrong is told in the answer
            "error_cb": lambda error: self._errors.add(error.name()),
        }
        try:
            return Consumer({**given, **ours}, logger=None)
        except (KafkaException, TypeError, ValueError) as error:
            raise Refused(
                f"Unable to create RecordSupplier: {error}", where="spec.ioConfig.consumerProperties"
            ) from None

    def _assign(self, seconds: float) -> set[tuple[str, int]]:
        from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, TopicPartition

        try:
            topics = self._consumer.list_topics(timeout=min(max(seconds, 1.0), _METADATA_S)).topics
        except KafkaException:
            self._consumer.poll(0)  # which hears what went wrong
            if "_RESOLVE" in self._errors:
                text = "Unable to create RecordSupplier: No resolvable bootstrap urls given in bootstrap.servers"
                raise Refused(text, where="spec.ioConfig.consumerProperties") from None
            where = "earliest" if self._earliest else "latest"
            raise Refused(
                f"Exception while seeking to the [{where}] offset of partitions in topic [{self._io['stream']}]: "
                "Timeout expired while fetching topic metadata",
                where="spec.ioConfig.consumerProperties",
            ) from None
        at = OFFSET_BEGINNING if self._earliest else OFFSET_END
        found = [TopicPartition(name, number, at) for name in self._names(topics) for number in topics[name].partitions]
        if not found:
            raise TaskFailed(
                "Consumer is not subscribed to any topics or assigned any partitions",
                where="spec.ioConfig.topic",
                hint=f"there is no topic {self._io['stream']!r}",
            )
        self._consumer.assign(found)
        return {(each.topic, each.partition) for each in found}

    def _names(self, topics: Mapping[str, Any]) -> list[str]:
        pattern = self._io.get("topicPattern")
        if pattern is not None:
            return sorted(name for name in topics if re.fullmatch(pattern, name))
        return [self._io["topic"]] if self._io["topic"] in topics else []

    def _objects(self) -> Iterator[InputObject]:
        """Values of the records, until the time is up or, reading from the start, all that was there is read."""
        from confluent_kafka import KafkaError

        while self._left and time.monotonic() < self._until:
            message = self._consumer.poll(_POLL_S)
            if message is None:
                continue
            if message.error() is not None:
                if message.error().code() == KafkaError._PARTITION_EOF and self._earliest:
                    self._left.discard((message.topic(), message.partition()))
                continue
            if message.value() is not None:
                yield _object(message)


def _object(message: Any) -> InputObject:
    value = message.value()
    name = f"{message.topic()}/{message.partition()}/{message.offset()}"
    return InputObject(name=name, size=len(value), open=lambda: io.BytesIO(value))


def _format(json: Any) -> InputFormat:
    if not isinstance(json, Mapping):
        raise TaskFailed("inputFormat is missing", where="spec.ioConfig.inputFormat")
    try:
        return input_formats[json["type"]].from_json(json)
    except UnknownKind as unknown:
        raise TaskFailed(unknown.message, where="spec.ioConfig.inputFormat.type", hint=unknown.hint) from None
