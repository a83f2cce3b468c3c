"""Objects as Druid's messages print them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from overlord.model.lock import SEGMENT, TaskLock
from overlord.model.segment import DataSegment
from overlord.model.shard_spec import ShardSpec

_SHARD_SPECS = {
    "numbered": "NumberedShardSpec",
    "hashed": "HashBasedNumberedShardSpec",
    "single": "SingleDimensionShardSpec",
    "range": "DimensionRangeShardSpec",
    "numbered_overwrite": "NumberedOverwriteShardSpec",
    "tombstone": "TombstoneShardSpec",
    "linear": "LinearShardSpec",
    "none": "NoneShardSpec",
}
_STREAMS = {"kafka": "KafkaDataSourceMetadata", "kinesis": "KinesisDataSourceMetadata"}


def listed(texts: Iterable[str]) -> str:
    """A list."""
    return f"[{', '.join(texts)}]"


def segment(value: DataSegment) -> str:
    """A `DataSegment`."""
    return (
        f"DataSegment{{binaryVersion={_plain(value.binary_version)}, id={value.id}, "
        f"loadSpec={_map(value.load_spec, '=>')}, dimensions={listed(value.dimensions)}, "
        f"metrics={listed(value.metrics)}, shardSpec={shard_spec(value.shard_spec)}, "
        f"lastCompactionState={_plain(value.last_compaction_state)}, size={value.size}}}"
    )


def shard_spec(value: ShardSpec) -> str:
    """A `ShardSpec`."""
    if value.type == "none":
        return _SHARD_SPECS["none"]
    fields = ", ".join(f"{name}={_plain(field)}" for name, field in value.values.items())
    return f"{_SHARD_SPECS[value.type]}{{{fields}}}"


def lock(value: TaskLock) -> str:
    """A `TaskLock`."""
    by_segment = value.granularity == SEGMENT
    partition = f"partitionId={value.partition_id}, " if by_segment else ""
    return (
        f"{'SegmentLock' if by_segment else 'TimeChunkLock'}{{type={value.type.value}, groupId='{value.group_id}', "
        f"dataSource='{value.datasource}', interval={value.interval}, version='{value.version}', {partition}"
        f"priority={value.priority}, revoked={_plain(value.revoked)}}}"
    )


def metadata(value: Mapping[str, Any]) -> str:
    """Commit metadata."""
    if value.get("type") not in _STREAMS:
        return f"ObjectMetadata{{theObject={_plain(value.get('object'))}}}"
    partitions = value["partitions"]
    start = partitions.get("type") == "start"
    name = partitions.get("stream", partitions.get("topic"))
    numbers = partitions.get("partitionSequenceNumberMap", partitions.get("partitionOffsetMap")) or {}
    key = _kafka_partition if value["type"] == "kafka" else str
    shown = ", ".join(f"{key(partition)}={_plain(number)}" for partition, number in numbers.items())
    exclusive = listed(key(each) for each in partitions.get("exclusivePartitions") or ())
    return (
        f"{_STREAMS[value['type']]}{{SeekableStreamStartSequenceNumbers="
        f"SeekableStream{'Start' if start else 'End'}SequenceNumbers{{stream='{name}', "
        f"partitionSequenceNumberMap={{{shown}}}{f', exclusivePartitions={exclusive}' if start else ''}}}}}"
    )


def _kafka_partition(given: Any) -> str:
    topic, _, number = str(given).rpartition(":")
    several = "true" if topic else "false"
    return f"KafkaTopicPartition{{partition={number}, topic='{topic or 'null'}', multiTopicPartition={several}}}"


def _map(value: Mapping[str, Any] | None, arrow: str = "=") -> str:
    if value is None:
        return "null"
    return "{" + ", ".join(f"{name}{arrow}{_plain(field)}" for name, field in value.items()) + "}"


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return _map(value)
    if isinstance(value, list | tuple):
        return listed(map(_plain, value))
    return str(value)
