"""Partial shard specs: what an allocation knows of a segment's shard before it has a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from overlord.actions.base import wrong
from overlord.errors import BadRequest
from overlord.model.shard_spec import FIRST_OVERWRITE_PARTITION, ShardSpec

KINDS = ("hashed", "numbered", "numbered_overwrite", "single_dim")
_JAVA = "org.apache.druid.timeline.partition.PartialShardSpec"
_ROOT_PARTITIONS = FIRST_OVERWRITE_PARTITION


@dataclass(frozen=True, kw_only=True)
class PartialSpec:
    """One of them; `values` are the fields of the shard spec that it decides."""

    type: str = "numbered"
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def overwrites(self) -> bool:
        """Whether it numbers from 32768, apart from root partitions."""
        return self.type == "numbered_overwrite"

    @property
    def first(self) -> int:
        """Number of the first segment of a chunk."""
        return FIRST_OVERWRITE_PARTITION if self.overwrites else 0

    def complete(self, number: int, cores: int) -> ShardSpec:
        """The shard spec of the segment of this number."""
        kind = "single" if self.type == "single_dim" else self.type
        counted: dict[str, Any] = {"partitionNum": number, "partitions": cores}
        if kind == "single":
            counted = {"partitionNum": number, "numCorePartitions": cores}
        if self.overwrites:
            counted = {"partitionId": number}
        return ShardSpec.parse({"type": kind, **self.values, **counted})


def read(value: Any) -> PartialSpec:
    """Of an action's `shardSpecFactory`; numbered when it is absent.

    Raises
    ------
    BadRequest
        The type is unknown, or a field is not what it must be.
    """
    if value is None:
        return PartialSpec()
    if not isinstance(value, Mapping):
        raise wrong("shardSpecFactory", "an object", value)
    kind = value.get("type")
    if "type" not in value:
        raise BadRequest(
            f"Could not resolve subtype of [simple type, class {_JAVA}]: missing type id property 'type' "
            "(for POJO property 'shardSpecFactory')",
            where="action.shardSpecFactory.type",
        )
    if kind not in KINDS:
        raise BadRequest(
            f"Please make sure to load all the necessary extensions and jars with type '{kind}' on 'druid/overlord' "
            f"service. Could not resolve type id '{kind}' as a subtype of `{_JAVA}` known type ids = "
            f"[{', '.join(KINDS)}] (for POJO property 'shardSpecFactory')",
            where="action.shardSpecFactory.type",
        )
    return PartialSpec(type=kind, values=_FIELDS[kind](value))


def _hashed(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bucketId": _whole(value, "bucketId"),
        "numBuckets": _whole(value, "numPartitions"),
        "partitionDimensions": value.get("partitionDimensions") or [],
        "partitionFunction": value.get("partitionFunction"),
    }


def _single_dim(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"start": value.get("start"), "end": value.get("end"), "dimension": value.get("partitionDimension")}


def _overwrite(value: Mapping[str, Any]) -> dict[str, Any]:
    start, end = _whole(value, "startRootPartitionId"), _whole(value, "endRootPartitionId")
    minor = _whole(value, "minorVersion")
    if not 0 <= start < end <= _ROOT_PARTITIONS:
        raise wrong("shardSpecFactory", "startRootPartitionId < endRootPartitionId of root partitions", [start, end])
    if minor < 1:
        raise wrong("shardSpecFactory.minorVersion", "a positive number", minor)
    return {"startRootPartitionId": start, "endRootPartitionId": end, "minorVersion": minor}


def _whole(value: Mapping[str, Any], name: str) -> int:
    given = value.get(name, 0)
    if given is None:
        return 0
    if isinstance(given, bool) or not isinstance(given, int) or not -(2**31) <= given < 2**31:
        raise wrong(f"shardSpecFactory.{name}", "a whole number", given)
    return given


_FIELDS: dict[str, Any] = {
    "hashed": _hashed,
    "numbered": lambda value: {},
    "numbered_overwrite": _overwrite,
    "single_dim": _single_dim,
}
