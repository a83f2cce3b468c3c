"""What a Java client's `consumerProperties` are to librdkafka, and the names of partitions. Imports no client."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

NOT_SET = 2**63 - 1
"""End offset of a partition that is read until somebody says how far."""
_PATIENCE = {"socket.timeout.ms": 15_000, "reconnect.backoff.max.ms": 2_000}
"""How long our clients wait where the spec does not say: a broker that is killed, or too busy to answer, is asked again
after seconds, not after a minute."""

_JAVA_ONLY = re.compile(
    r"(key|value)\.deserializer|max\.poll\.(records|interval\.ms)|auto\.offset\.reset|enable\.auto\.commit|group\.id"
    r"|druid\.dynamic\.config\.provider|ssl\.(key|trust)store\..*|sasl\.jaas\.config|default\.api\.timeout\.ms"
    r"|request\.timeout\.ms|interceptor\.classes|metric\.reporters|sasl\.client\.callback\.handler\.class"
    r"|sasl\.login\.callback\.handler\.class"
)
_JAAS = re.compile(r'\b(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"')
_UNKNOWN = re.compile(r'No such configuration property: "([^"]+)"')


def client_properties(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that librdkafka has as well; the user of a JAAS configuration becomes `sasl.username`."""
    given = {name: _revealed(value) for name, value in given.items()}
    found = {name: value for name, value in given.items() if not _JAVA_ONLY.fullmatch(name) and _plain(value)}
    for name, value in _JAAS.findall(str(given.get("sasl.jaas.config") or "")):
        found.setdefault(f"sasl.{name}", re.sub(r"\\(.)", r"\1", value))
    return found


def _revealed(value: Any) -> Any:
    """The text of a password provider."""
    if not isinstance(value, Mapping):
        return value
    if value.get("type") == "environment":
        return os.environ.get(str(value.get("variable")))
    return value.get("password")


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def make_client(make: Callable[[dict[str, Any]], Any], properties: dict[str, Any]) -> tuple[Any, list[str]]:
    """A client, patient as ours are, without those properties that it does not know; gives them too.

    Raises
    ------
    Exception
        What the client says of a value.
    """
    left, dropped = _PATIENCE | properties, list[str]()
    while True:
        try:
            return make(left), dropped
        except Exception as error:
            unknown = _UNKNOWN.search(str(error))
            if unknown is None or unknown[1] not in left:
                raise
            del left[unknown[1]]
            dropped.append(unknown[1])


def partition_name(topic: str, number: int, *, many: bool) -> str:
    """A partition as a key of offsets: its number, or `topic:number` where a pattern names the topics."""
    return f"{topic}:{number}" if many else str(number)


def partition_of(name: str, topic: str, *, many: bool) -> tuple[str, int]:
    """Topic and number of such a name."""
    if many:
        found, _, number = name.rpartition(":")
        return found, int(number)
    return topic, int(name)


def metadata(stream: str, offsets: Mapping[str, int], kind: str) -> dict[str, Any]:
    """Commit metadata: `kind` is start or end."""
    return {"type": "kafka", "partitions": sequence_numbers(stream, offsets, kind)}


def sequence_numbers(stream: str, offsets: Mapping[str, int], kind: str) -> dict[str, Any]:
    """Offsets as Druid writes them, under both names."""
    numbers = dict(offsets)
    found: dict[str, Any] = {
        "type": kind,
        "stream": stream,
        "topic": stream,
        "partitionSequenceNumberMap": numbers,
        "partitionOffsetMap": numbers,
    }
    return found | {"exclusivePartitions": []} if kind == "start" else found
