"""How old what is read is, against what lies in the topic: `emitTimeLagMetrics`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from overlord.model.kafka import client_properties, make_client, partition_name, partition_of
from overlord.supervisors.kafka.groups import Offsets

_PATIENCE_S = 5.0


class Times:
    """Times of single messages. A client is made for each question and closed after it: there are few.

    Parameters
    ----------
    io : mapping
        ioConfig of the supervisor.
    """

    def __init__(self, io: Mapping[str, Any]) -> None:
        self._properties = io["consumerProperties"]
        self._stream: str = io["stream"]
        self._many = io["topicPattern"] is not None

    def lag(self, current: Offsets, latest: Offsets) -> Offsets:
        """Milliseconds between the last message read and the last there is, of each partition that was begun."""
        behind = {name: offset for name, offset in current.items() if 0 < offset < latest.get(name, 0)}
        read = self._at({name: offset - 1 for name, offset in behind.items()})
        last = self._at({name: latest[name] - 1 for name in read})
        level = {name: 0 for name, offset in current.items() if 0 < offset == latest.get(name)}
        return level | {name: last[name] - read[name] for name in read if name in last}

    def _at(self, offsets: Offsets) -> Offsets:
        """Time of the message at each offset; partitions that do not answer in time are left out."""
        if not offsets:
            return {}
        from confluent_kafka import Consumer, TopicPartition

        ours = {
            "group.id": "overlord-kafka-supervisor",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "queued.min.messages": 1,
            "queued.max.messages.kbytes": 1024,
            "log_level": 0,
        }
        consumer, _ = make_client(Consumer, {**client_properties(self._properties), **ours})
        try:
            places = {partition_of(name, self._stream, many=self._many): at for name, at in offsets.items()}
            consumer.assign([TopicPartition(topic, number, at) for (topic, number), at in places.items()])
            return self._first_of_each(consumer, offsets)
        finally:
            consumer.close()

    def _first_of_each(self, consumer: Any, offsets: Offsets) -> Offsets:
        found: Offsets = {}
        until = time.monotonic() + _PATIENCE_S
        while found.keys() != offsets.keys() and time.monotonic() < until:
            for message in consumer.consume(100, 0.2):
                if message.error() is None:
                    name = partition_name(message.topic(), message.partition(), many=self._many)
                    found.setdefault(name, int(message.timestamp()[1]))
        return found
