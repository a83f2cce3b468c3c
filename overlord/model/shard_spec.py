"""Shard specs: which part of its time chunk a segment is.

==================  ========================================================================================
numbered            `partitionNum`; `partitions` = size of the core set (0: complete without one)
hashed              the same, and the bucket of the hash
single, range       the same by the values of one or several dimensions; core set `numCorePartitions`
numbered_overwrite  `partitionId` >= 32768, replaces root partitions [start, end) of the same version
tombstone           marks an emptied time chunk
none, linear        the only segment, or one of any number
==================  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from overlord.errors import BadRequest

Bound = Sequence[str | None] | None
"""Where a range begins or ends: one value a dimension, or None for no bound."""

FIRST_OVERWRITE_PARTITION = 32_768
"""Partition numbers below are root partitions, those from here on replace some of them."""

# Fields in the order in which Druid writes them, with the value that stands for an absent one.
_FIELDS: dict[str, dict[str, Any]] = {
    "none": {},
    "linear": {"partitionNum": 0},
    "numbered": {"partitionNum": 0, "partitions": 0},
    "hashed": {
        "partitionNum": 0,
        "partitions": 0,
        "bucketId": None,
        "numBuckets": None,
        "partitionDimensions": [],
        "partitionFunction": None,
    },
    "single": {"start": None, "end": None, "dimension": None, "partitionNum": 0, "numCorePartitions": -1},
    "range": {"dimensions": [], "start": None, "end": None, "partitionNum": 0, "numCorePartitions": 0},
    "numbered_overwrite": {
        "partitionId": FIRST_OVERWRITE_PARTITION,
        "startRootPartitionId": 0,
        "endRootPartitionId": 1,
        "minorVersion": 0,
        "atomicUpdateGroupSize": -1,
    },
    "tombstone": {"partitionNum": 0, "partitions": 0},
}
_NUMBERS = {
    "partitionNum",
    "partitions",
    "bucketId",
    "numBuckets",
    "numCorePartitions",
    "partitionId",
    "startRootPartitionId",
    "endRootPartitionId",
    "minorVersion",
    "atomicUpdateGroupSize",
}


@dataclass(frozen=True, kw_only=True)
class ShardSpec:
    """One shard spec; `values` are its fields by Druid's names, in Druid's order."""

    type: str
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @staticmethod
    def parse(value: Any) -> ShardSpec:
        """Read the JSON of a shard spec; null stands for "none".

        Raises
        ------
        BadRequest
            If the type is unknown or a number is none.
        """
        if value is None:
            return ShardSpec(type="none")
        kind = value.get("type") if isinstance(value, Mapping) else None
        if kind not in _FIELDS:
            raise BadRequest(
                f"Please make sure to load all the necessary extensions and jars with type '{kind}' on "
                f"'druid/overlord' service. Could not resolve type id '{kind}' as a subtype of "
                f"`org.apache.druid.timeline.partition.ShardSpec` known type ids = [{', '.join(sorted(_FIELDS))}]"
            )
        values = {}
        for name, default in _FIELDS[kind].items():
            given = value.get(name, default)
            values[name] = _number(name, given) if name in _NUMBERS else given
        if kind == "hashed":
            values["bucketId"] = values["partitionNum"] if values["bucketId"] is None else values["bucketId"]
            values["numBuckets"] = values["partitions"] if values["numBuckets"] is None else values["numBuckets"]
        return ShardSpec(type=kind, values=values)

    def to_json(self) -> dict[str, Any]:
        """As Druid writes it."""
        return {"type": self.type, **self.values}

    @property
    def partition_num(self) -> int:
        """Number of the partition within its time chunk and version."""
        number = self.values.get("partitionId" if self.type == "numbered_overwrite" else "partitionNum", 0)
        return int(number)

    @property
    def core_partitions(self) -> int:
        """Size of the set that is complete only as a whole; 0 if each segment stands for itself."""
        if self.core_partitions_unknown:
            return 0
        return int(self.values.get("numCorePartitions", self.values.get("partitions", 0)) or 0)

    def counted(self, partition_num: int, core_partitions: int) -> ShardSpec:
        """The same part with its number within the time chunk, and the size of the core set."""
        core = "numCorePartitions" if "numCorePartitions" in self.values else "partitions"
        return ShardSpec(type=self.type, values={**self.values, "partitionNum": partition_num, core: core_partitions})

    @property
    def core_partitions_unknown(self) -> bool:
        """Whether it is an old `single` spec, which does not tell the size of its core set."""
        return self.type == "single" and self.values["numCorePartitions"] < 0

    @property
    def root_range(self) -> tuple[int, int]:
        """Root partitions it stands for, end excluded."""
        if self.type == "numbered_overwrite":
            return int(self.values["startRootPartitionId"]), int(self.values["endRootPartitionId"])
        return self.partition_num, self.partition_num + 1

    @property
    def minor_version(self) -> int:
        """Higher wins over the same root partitions; 0 for all but numbered_overwrite."""
        return int(self.values.get("minorVersion", 0))

    @property
    def atomic_update_group_size(self) -> int:
        """How many of the same root range and minor version it takes to replace what was before."""
        return int(self.values.get("atomicUpdateGroupSize", 1))


def parse(value: Any) -> ShardSpec:
    """See `ShardSpec.parse`."""
    return ShardSpec.parse(value)


def numbered(partition_num: int, partitions: int) -> ShardSpec:
    """A numbered shard spec."""
    return ShardSpec(type="numbered", values={"partitionNum": partition_num, "partitions": partitions})


def hashed(bucket: int, buckets: int, dimensions: Sequence[str]) -> ShardSpec:
    """A hashed shard spec that is not counted yet."""
    return ShardSpec(
        type="hashed",
        values={
            "partitionNum": 0,
            "partitions": 0,
            "bucketId": bucket,
            "numBuckets": buckets,
            "partitionDimensions": list(dimensions),
            "partitionFunction": "murmur3_32_abs",
        },
    )


def ranged(dimensions: Sequence[str], start: Bound, end: Bound) -> ShardSpec:
    """A range that is not counted yet; over one dimension it is "single", as Druid stores it."""
    if len(dimensions) > 1:
        bounds = {"start": start and list(start), "end": end and list(end)}
        return ShardSpec(
            type="range",
            values={"dimensions": list(dimensions), **bounds, "partitionNum": 0, "numCorePartitions": 0},
        )
    only = {"start": start and start[0], "end": end and end[0], "dimension": dimensions[0]}
    return ShardSpec(type="single", values={**only, "partitionNum": 0, "numCorePartitions": 0})


def _number(name: str, given: Any) -> int | None:
    if given is None:
        return None
    try:
        return int(given)
    except (TypeError, ValueError):
        raise BadRequest(f"Cannot deserialize value of type `int` from {given!r} (shardSpec.{name})") from None
