"""How rows of a time chunk are parted, and how input is split among sub-tasks."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.registry import Registry
from overlord.schemas.base import (
    Choice,
    Flag,
    Kinds,
    ListOf,
    OtherwiseDefault,
    Poly,
    Problem,
    Raw,
    Shape,
    Text,
    Whole,
    fault,
)

partitions_kinds: Kinds = Registry("partitions spec")
split_hint_kinds: Kinds = Registry("split hint spec")
PARTITIONS_SPEC = "org.apache.druid.indexer.partitions.PartitionsSpec"
_PARTITIONS = "org.apache.druid.indexer.partitions."
DEFAULT_ROWS = 5_000_000


@partitions_kinds.add("dynamic")
class DynamicPartitions(Shape):
    """A new segment whenever one is full."""

    java = _PARTITIONS + "DynamicPartitionsSpec"

    maxRowsPerSegment = Whole(DEFAULT_ROWS)
    maxTotalRows = Whole(long=True)

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["maxRowsPerSegment"] == -1:  # stands for "not given"
            data["maxRowsPerSegment"] = DEFAULT_ROWS
        return data


@partitions_kinds.add("hashed")
class HashedPartitions(Shape):
    """By a hash of dimensions."""

    java = _PARTITIONS + "HashedPartitionsSpec"
    read_only = frozenset({"targetRowsPerSegment", "targetPartitionSize"})

    numShards = Whole()
    partitionDimensions = ListOf(Text(), list)
    partitionFunction = Choice(
        "org.apache.druid.timeline.partition.HashPartitionFunction", ("murmur3_32_abs",), "murmur3_32_abs"
    )
    maxRowsPerSegment = Whole()
    targetRowsPerSegment = Whole()
    targetPartitionSize = Whole()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        given = [
            name for name in ("targetRowsPerSegment", "targetPartitionSize", "maxRowsPerSegment") if _at(data, name)
        ]
        for other in given[1:]:
            yield other, _at_most_one(data, given[0], other)
        if given and _at(data, "numShards"):
            yield "numShards", _at_most_one(data, given[0], "numShards")
        shards = data.get("numShards")
        if shards is not None and shards <= 0 and shards != -1:
            yield "numShards", f"numShards[{shards}] should be positive"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        shards = _at(data, "numShards")
        rows = _at(data, "targetRowsPerSegment") or _at(data, "targetPartitionSize") or _at(data, "maxRowsPerSegment")
        return data | {"numShards": shards, "maxRowsPerSegment": None if shards else rows or DEFAULT_ROWS}


_ROWS = ("targetRowsPerSegment", "maxRowsPerSegment")


class _RangePartitions(Shape):
    targetRowsPerSegment = Whole()
    maxRowsPerSegment = Whole()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        target, most = (None if data.get(name) == -1 else data.get(name) for name in _ROWS)
        if "targetRowsPerSegment" not in data or "maxRowsPerSegment" not in data:
            return
        if (target is None) == (most is None):
            yield "targetRowsPerSegment", "Exactly one of targetRowsPerSegment or maxRowsPerSegment must be present"
            return
        name = "maxRowsPerSegment" if target is None else "targetRowsPerSegment"
        if data[name] <= 0:
            yield name, f"{name} must be greater than 0"


@partitions_kinds.add("range")
class RangePartitions(_RangePartitions):
    """By ranges of the values of dimensions."""

    java = _PARTITIONS + "DimensionRangePartitionsSpec"

    partitionDimensions = ListOf(Text())
    assumeGrouped = Flag(False)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "partitionDimensions" in data and data["partitionDimensions"] is None:
            yield "partitionDimensions", "partitionDimensions must be specified"
        yield from super().problems(data)


@partitions_kinds.add("single_dim")
class SingleDimensionPartitions(_RangePartitions):
    """By ranges of the values of one dimension."""

    java = _PARTITIONS + "SingleDimensionPartitionsSpec"

    partitionDimension = Text()
    assumeGrouped = Flag(False)


def _at_most_one(data: dict[str, Any], *names: str) -> str:
    shown = (f"[Property{{name='{name}', value={data[name]}}}]" for name in names)
    return f"At most one of {' or '.join(shown)} must be present"


def _at(data: dict[str, Any], name: str) -> int | None:
    """A number, or None if it is absent or one of those that mean so (0 and below)."""
    value = data.get(name)
    return value if value is not None and value > 0 else None


def partitions_spec() -> Poly:
    """A field for a partitionsSpec; hashed if it does not say."""
    return OtherwiseDefault(partitions_kinds, PARTITIONS_SPEC, without_type="hashed")


# ---------------------------------------------------------------- splits

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY = {unit + "i": 1024**power for power, unit in enumerate("KMGTP", 1)}


class Bytes(Raw):
    """A number of bytes: a number, or text such as 1GiB."""

    def read(self, value: Any) -> int:
        text = str(value).strip()
        digits = text.rstrip("bBiIkKmMgGtTpP ")
        unit = text[len(digits) :].strip().upper().removesuffix("B").replace("I", "i")
        factor: int | None = (_UNITS | _BINARY).get(unit)
        if factor is None or not digits.isdigit():
            raise fault(f"Cannot construct instance of `HumanReadableBytes`, problem: Invalid format of number: {text}")
        return int(digits) * factor


@split_hint_kinds.add("maxSize")
class MaxSizeSplits(Shape):
    """So many bytes or files a split."""

    java = "org.apache.druid.data.input.MaxSizeSplitHintSpec"

    maxSplitSize = Bytes(1 << 30)
    maxNumFiles = Whole(1000)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("maxSplitSize", 1) <= 0:
            yield "maxSplitSize", "maxSplitSize should be larger than 0"
        if data.get("maxNumFiles", 1) <= 0:
            yield "maxNumFiles", "maxNumFiles should be larger than 0"


@split_hint_kinds.add("segments")
class SegmentsSplits(Shape):
    """So many bytes or segments a split."""

    java = "org.apache.druid.data.input.SegmentsSplitHintSpec"

    maxInputSegmentBytesPerTask = Bytes(1 << 30)
    maxNumSegments = Whole(1000)


def split_hint() -> Poly:
    """A field for a splitHintSpec."""
    return Poly(split_hint_kinds, "org.apache.druid.data.input.SplitHintSpec")
