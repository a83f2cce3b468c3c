"""How the rows of a time chunk are parted into segments. `partitioning` is the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overlord.errors import TaskFailed
from overlord.registry import Registry
from workers.ingest.partition.base import Partitions, Parts
from workers.ingest.partition.dynamic import DynamicPartitions
from workers.ingest.partition.hashed import HashedPartitions
from workers.ingest.partition.ranges import RangePartitions

__all__ = [
    "DynamicPartitions",
    "HashedPartitions",
    "Partitions",
    "Parts",
    "RangePartitions",
    "partitioning",
    "partitionings",
]

partitionings: Registry[type[Partitions]] = Registry("partitionsSpec")
partitionings.add("dynamic")(DynamicPartitions)
partitionings.add("hashed")(HashedPartitions)
partitionings.add("range", "single_dim")(RangePartitions)


def partitioning(tuning: Mapping[str, Any]) -> Partitions:
    """What a tuningConfig asks for.

    Raises
    ------
    TaskFailed
        Its partitionsSpec is of a type that cannot be built.
    """
    spec = tuning.get("partitionsSpec")
    if spec is None:  # the older way: limits beside the other tuning parameters
        if tuning.get("numShards") is not None or tuning.get("forceGuaranteedRollup"):
            names = ("numShards", "maxRowsPerSegment", "partitionDimensions")
            spec = {"type": "hashed"} | {k: tuning.get(k) for k in names}
        else:
            spec = {"type": "dynamic"} | {k: tuning.get(k) for k in ("maxRowsPerSegment", "maxTotalRows")}
    kind = str(spec.get("type", "dynamic"))
    if kind not in partitionings:
        raise TaskFailed(
            f"partitionsSpec of type [{kind}] cannot be built by this version. "
            f"It builds: {', '.join(partitionings.names())}; set tuningConfig.partitionsSpec to one of these",
            where="spec.tuningConfig.partitionsSpec",
        )
    return partitionings[kind].from_json(spec)
