"""What a supervisor asks of Kafka: which partitions there are, and from where to where they go."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from overlord.errors import OverlordError
from overlord.model.kafka import client_properties, make_client, partition_name, partition_of

_SLICE_S = 1.0
_MOST_S = 10.0


class StreamFault(OverlordError):
    """Kafka cannot be asked, or has not what is asked for."""

    def __init__(self, message: str, java: str = "org.apache.kafka.common.errors.TimeoutException") -> None:
        super().__init__(message)
        self.java = java


class Broker:
    """The cluster of one supervisor. Calls take seconds where nobody answers, and end soon after `stopping` is set.

    Parameters
    ----------
    io_config : mapping
        Of the supervisor.
    stopping : threading.Event
    """

    def __init__(self, io_config: Mapping[str, Any], stopping: threading.Event) -> None:
        self._properties = io_config["consumerProperties"]
        self._topic: str | None = io_config["topic"]
        self._pattern: str | None = io_config["topicPattern"]
        self._stopping = stopping
        self._admin: Any = None
        self._guard = threading.Lock()  # one question at a time
        asked_ms = str(self._properties.get("default.api.timeout.ms") or "")
        self._patience_s = min(_MOST_S, int(asked_ms) / 1000) if asked_ms.isdigit() else _MOST_S

    @property
    def many(self) -> bool:
        """Whether a pattern names the topics."""
        return self._pattern is not None

    def partitions(self) -> list[tuple[str, str, int]]:
        """Name, topic and number of each.

        Raises
        ------
        StreamFault
            Nobody answers, or there is no such topic.
        """
        found = self._ask(lambda admin, seconds: admin.list_topics(timeout=seconds)).topics
        wanted = [name for name in found if self._wants(name)]
        if not wanted:
            raise StreamFault(
                f"Topic [{self._topic or self._pattern}] is not found in KafkaStream's list of topics",
                "org.apache.druid.indexing.seekablestream.common.StreamException",
            )
        return sorted(
            (partition_name(topic, number, many=self.many), topic, number)
            for topic in wanted
            for number in found[topic].partitions
        )

    def _wants(self, topic: str) -> bool:
        if self._pattern is None:
            return topic == self._topic
        return re.fullmatch(self._pattern, topic) is not None

    def latest(self, names: Iterable[str]) -> dict[str, int]:
        """The next offset of each partition."""
        return self._offsets(names, "latest")

    def earliest(self, names: Iterable[str]) -> dict[str, int]:
        """The first offset of each partition."""
        return self._offsets(names, "earliest")

    def _offsets(self, names: Iterable[str], which: str) -> dict[str, int]:
        from confluent_kafka import TopicPartition
        from confluent_kafka import admin as kafka_admin

        specs: Any = kafka_admin
        spec = specs.OffsetSpec.latest() if which == "latest" else specs.OffsetSpec.earliest()
        by_place = {partition_of(name, self._topic or "", many=self.many): name for name in names}
        if not by_place:
            return {}
        asked = {TopicPartition(topic, number): spec for topic, number in by_place}

        def ask(admin: Any, seconds: float) -> dict[str, int]:
            futures = admin.list_offsets(asked, request_timeout=seconds)
            return {
                by_place[place.topic, place.partition]: int(future.result(timeout=seconds + 1).offset)
                for place, future in futures.items()
            }

        found: dict[str, int] = self._ask(ask)
        return found

    def _ask(self, question: Callable[[Any, float], Any]) -> Any:
        """The answer; tries in slices, so that a stop is not held up."""
        with self._guard:
            waited, last = 0.0, "Timeout expired while fetching topic metadata"
            while waited < self._patience_s and not self._stopping.is_set():
                try:
                    return question(self._client(), min(_SLICE_S, self._patience_s))
                except StreamFault:
                    raise
                except Exception as error:
                    last = str(error)
                waited += _SLICE_S
            raise StreamFault(last)

    def _client(self) -> Any:
        if self._admin is None:
            try:
                from confluent_kafka.admin import AdminClient
            except ImportError:
                raise StreamFault(
                    "Kafka is not installed here: pip install 'overlord[kafka]'", "java.lang.ClassNotFoundException"
                ) from None
            ours = {"log_level": 0, "error_cb": lambda error: None}
            try:
                self._admin, _ = make_client(AdminClient, {**client_properties(self._properties), **ours})
            except Exception as error:
                raise StreamFault(str(error), "org.apache.kafka.common.config.ConfigException") from None
        return self._admin
