"""Commit metadata: how far a stream was published, compared and put together as Druid does.

Two kinds: `{"type": "object", "object": any}`, and a stream's `{"type": "kafka", "partitions": {...}}` with sequence
numbers by partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overlord.actions.java_text import metadata as shown
from overlord.errors import BadRequest

Json = dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """Why a publish cannot follow what is stored."""

    text: str
    retryable: bool


def read(value: Any, where: str) -> Json | None:
    """Metadata of an action, or None.

    Raises
    ------
    BadRequest
        It is not of a known kind.
    """
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "object":
        return dict(value)
    if kind in ("kafka", "kinesis") and isinstance(value.get("partitions"), Mapping):
        sequences(value)
        return dict(value)
    raise BadRequest(
        f"Please make sure to load all the necessary extensions and jars with type '{kind}' on 'druid/overlord' "
        f"service. Could not resolve type id '{kind}' as a subtype of "
        "`org.apache.druid.indexing.overlord.DataSourceMetadata` "
        f"known type ids = [kafka, kinesis, object] (for POJO property '{where.rpartition('.')[2]}')",
        where=where,
    )


def follow(stored: Json | None, start: Json, end: Json) -> Json | Refusal:
    """What is stored after a publish from `start` to `end`, or why it cannot be."""
    if start.get("type") == "object":
        return _follow_object(stored, start, end)
    if stored is None:
        return _as_end(end, sequences(end))
    if stored.get("type") != start.get("type") or stream(stored) != stream(start):
        return _inconsistent(stored, start)
    there, begins = sequences(stored), sequences(start)
    common = [(there[partition], begins[partition]) for partition in there if partition in begins]
    if any(_ahead(begin, old) for old, begin in common):
        return Refusal(
            f"The new start metadata state[{shown(start)}] is ahead of the last committed end state"
            f"[{shown(stored)}]. Try resetting the supervisor.",
            True,
        )
    if any(old != begin for old, begin in common):
        return _inconsistent(stored, start)
    return _as_end(end, there | sequences(end))


def _follow_object(stored: Json | None, start: Json, end: Json) -> Json | Refusal:
    if stored is None and start.get("object") is not None:
        return Refusal(
            f"The new start metadata state[{shown(start)}] is ahead of the last committed end state[null]. "
            "Try resetting the supervisor.",
            True,
        )
    if stored is not None and stored != start:
        return _inconsistent(stored, start)
    return end


def _inconsistent(stored: Json, start: Json) -> Refusal:
    return Refusal(
        f"Inconsistency between stored metadata state[{shown(stored)}] and target state[{shown(start)}]. "
        "Try resetting the supervisor.",
        False,
    )


def stream(value: Json) -> Any:
    """Name of the stream."""
    partitions = value["partitions"]
    return partitions.get("stream", partitions.get("topic"))


def sequences(value: Mapping[str, Any]) -> dict[str, Any]:
    """Sequence numbers by partition."""
    partitions = value["partitions"]
    found = partitions.get("partitionSequenceNumberMap", partitions.get("partitionOffsetMap"))
    if not isinstance(found, Mapping):
        raise BadRequest("Commit metadata needs 'partitionSequenceNumberMap', an object", where="action")
    return dict(found)


def _ahead(begin: Any, old: Any) -> bool:
    if isinstance(begin, int) and isinstance(old, int):
        return begin > old
    return (len(str(begin)), str(begin)) > (len(str(old)), str(old))  # Kinesis: decimal digits in texts


def _as_end(end: Json, numbers: dict[str, Any]) -> Json:
    """Both names of each field, as Druid writes an end for older readers."""
    name = stream(end)
    partitions = {
        "type": "end",
        "stream": name,
        "topic": name,
        "partitionSequenceNumberMap": numbers,
        "partitionOffsetMap": numbers,
    }
    return {"type": end["type"], "partitions": partitions}
