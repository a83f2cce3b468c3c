"""Messages of the partitions a task reads. No group is joined, nothing is committed: offsets are ours to keep."""

from __future__ import annotations

import gc
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import numpy as np
import numpy.typing as npt

from overlord.errors import TaskFailed
from overlord.model.kafka import client_properties, make_client, partition_name, partition_of

_log = logging.getLogger("overlord.kafka")

_MOST_MESSAGES = 50_000
_AT_ONCE = 5_000  # more of the client's objects than that leave the processor's caches
_FEWEST_MESSAGES = 20
_BATCH_BYTES = 8 << 20
_SAID_AGAIN_S = 60.0
_LASTS_S = 30.0  # the client tries again within seconds, and would say so
_CHANGING = re.compile(r"\d+")
_offset, _partition, _topic = methodcaller("offset"), methodcaller("partition"), methodcaller("topic")
_value, _error = methodcaller("value"), methodcaller("error")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's collector of cycles: that would look at each of the new messages again and again."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


class OutOfRange(Exception):
    """The topic does not have the offset of some partitions (any more)."""

    def __init__(self, partitions: list[str]) -> None:
        super().__init__(", ".join(partitions))
        self.partitions = partitions


@dataclass(frozen=True, kw_only=True)
class Messages:
    """What came, in the order in which it came.

    Attributes
    ----------
    messages : list
        The client's own; empty where nobody asked for them.
    values : list of bytes or None
    partitions : list of str
        Their names.
    offsets : ndarray of int64
    """

    messages: list[Any]
    values: list[bytes | None]
    partitions: list[str]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def joined(cls, parts: list[Messages]) -> Messages:
        """Several, one after the other."""
        return cls(
            messages=[message for part in parts for message in part.messages],
            values=[value for part in parts for value in part.values],
            partitions=[name for part in parts for name in part.partitions],
            offsets=np.concatenate([part.offsets for part in parts]),
        )

    def select(self, keep: npt.NDArray[np.bool_]) -> Messages:
        """Those where `keep` is true."""
        if keep.all():
            return self
        at = np.flatnonzero(keep).tolist()
        return Messages(
            messages=[self.messages[i] for i in at] if self.messages else [],
            values=[self.values[i] for i in at],
            partitions=[self.partitions[i] for i in at],
            offsets=self.offsets[keep],
        )


class Trouble:
    """What the client says of its broker: kept while it lasts, logged once a minute and not at each try."""

    def __init__(self) -> None:
        self._logged: dict[str, tuple[float, int]] = {}
        self._last, self._at = "", float("-inf")

    def tell(self, error: Any) -> None:
        """The client has said so."""
        text, now = str(error.str() or error.name()), time.monotonic()
        self._last, self._at = text, now
        kind = _CHANGING.sub("", text)
        when, unsaid = self._logged.get(kind, (float("-inf"), 0))
        if now - when < _SAID_AGAIN_S:
            self._logged[kind] = when, unsaid + 1
            return
        again = f" (said {unsaid} times more since)" if unsaid else ""
        _log.warning("Kafka: %s%s", text, again)
        self._logged[kind] = now, 0

    def over(self) -> None:
        """Messages have come."""
        self._at = float("-inf")

    @property
    def last(self) -> str | None:
        """What it said last, if that was lately and no messages have come since."""
        return self._last if time.monotonic() - self._at < _LASTS_S else None


class Stream:
    """A consumer of some partitions.

    Parameters
    ----------
    io_config : mapping
        Of an index_kafka task.
    buffer_bytes : int
        How much the client may fetch ahead.
    whole : bool
        Whether the client's messages are needed too: their keys, headers, times.
    """

    def __init__(self, io_config: Mapping[str, Any], *, buffer_bytes: int, whole: bool = False) -> None:
        try:
            from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
        except ImportError:
            raise TaskFailed(
                "Kafka is not installed here: the package confluent-kafka is missing",
                hint="pip install 'overlord[kafka]'",
            ) from None
        self._partition, self._errors = TopicPartition, KafkaError
        numbers = io_config["startSequenceNumbers"]
        self._topic = numbers["stream"]
        self._many = bool(io_config.get("multiTopic"))
        self._names: dict[tuple[str, int], str] = {}
        self._each_bytes = 200.0
        self._whole = whole
        self.trouble = Trouble()
        ours = {
            "group.id": "overlord-index-kafka",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 10,
            "queued.min.messages": 500_000,
            "queued.max.messages.kbytes": max(1024, min(65_536, buffer_bytes >> 10)),
            "error_cb": self.trouble.tell,
        }
        # What the client would write to stderr by itself comes to `error_cb` as well.
        properties = {"log_level": 2} | client_properties(io_config["consumerProperties"])
        try:
            self._consumer, dropped = make_client(Consumer, {**properties, **ours})
        except (KafkaException, TypeError, ValueError) as error:
            raise TaskFailed(f"Kafka refuses the consumerProperties: {error}") from None
        if dropped:
            _log.info("Properties that only a Java client knows are left out: %s", ", ".join(dropped))

    def assign(self, offsets: Mapping[str, int]) -> None:
        """Read these partitions from these offsets on, and no others."""
        found = []
        for name, offset in offsets.items():
            topic, number = partition_of(name, self._topic, many=self._many)
            self._names[topic, number] = name
            found.append(self._partition(topic, number, offset))
        self._consumer.assign(found)

    def read(self, timeout_s: float) -> Messages:
        """Messages that are there; waits if there are none.

        Raises
        ------
        OutOfRange
        """
        most = int(max(_FEWEST_MESSAGES, min(_MOST_MESSAGES, _BATCH_BYTES / self._each_bytes)))
        parts, left = [self._read(min(most, _AT_ONCE), timeout_s)], most
        while len(parts[-1]) == _AT_ONCE and (left := left - _AT_ONCE) > 0:
            parts.append(self._read(min(left, _AT_ONCE), 0.0))
        read = parts[0] if len(parts) == 1 else Messages.joined(parts)
        if read.values:
            self.trouble.over()
            self._each_bytes = max(1.0, sum(map(len, filter(None, read.values))) / len(read.values))
        return read

    def _read(self, most: int, timeout_s: float) -> Messages:
        with _no_collection():
            found = self._consumer.consume(most, timeout_s)
            if any(map(_error, found)):
                found = self._without_errors(found)
            return Messages(
                messages=found if self._whole else [],
                values=list(map(_value, found)),
                partitions=self._partitions_of(found),
                offsets=np.fromiter(map(_offset, found), np.int64, len(found)),
            )

    def _partitions_of(self, found: list[Any]) -> list[str]:
        if len(self._names) == 1:
            return list(self._names.values()) * len(found)
        if self._many:
            numbers = zip(map(_topic, found), map(_partition, found), strict=True)
            return [partition_name(topic, number, many=True) for topic, number in numbers]
        return list(map(str, map(_partition, found)))

    def _without_errors(self, found: list[Any]) -> list[Any]:
        lost = []
        for message in found:
            error = message.error()
            if error is None:
                continue
            if error.code() in (self._errors._AUTO_OFFSET_RESET, self._errors.OFFSET_OUT_OF_RANGE):
                lost.append(partition_name(message.topic(), message.partition(), many=self._many))
            elif error.fatal():
                raise TaskFailed(f"Kafka: {error}")
            else:
                self.trouble.tell(error)
        if lost:
            raise OutOfRange(sorted(set(lost)))
        return [message for message in found if message.error() is None]

    def range(self, name: str) -> tuple[int, int] | None:
        """First and next offset of a partition; None if the broker does not say."""
        topic, number = partition_of(name, self._topic, many=self._many)
        try:
            low, high = self._consumer.get_watermark_offsets(self._partition(topic, number), timeout=5.0)
        except Exception as error:
            _log.info("Kafka: %s", error)
            return None
        return int(low), int(high)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
