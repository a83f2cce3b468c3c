"""Segments: their ids and the description that stands in `druid_segments`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from overlord.errors import BadRequest
from overlord.model.instant import format_instant, parse_instant
from overlord.model.interval import Interval
from overlord.model.shard_spec import ShardSpec

_INSTANT = r"-?\d{4,9}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_ID = re.compile(
    rf"(?P<ds>.+?)_(?P<start>{_INSTANT})_(?P<end>{_INSTANT})_(?P<version>.+?)(?:_(?P<partition>\d+))?", re.DOTALL
)


@dataclass(frozen=True, order=True, slots=True)
class SegmentId:
    """`dataSource_start_end_version[_partition]`; partition 0 is not written."""

    datasource: str
    interval: Interval
    version: str
    partition: int = 0

    @staticmethod
    def parse(text: str) -> SegmentId:
        """Read an id.

        Raises
        ------
        BadRequest
            If it is none.
        """
        match = _ID.fullmatch(text)
        if not match:
            raise BadRequest(f"Could not parse Segment ID[{text}]")
        interval = Interval(parse_instant(match["start"]), parse_instant(match["end"]))
        return SegmentId(match["ds"], interval, match["version"], int(match["partition"] or 0))

    def __str__(self) -> str:
        interval = f"{format_instant(self.interval.start)}_{format_instant(self.interval.end)}"
        partition = f"_{self.partition}" if self.partition else ""
        return f"{self.datasource}_{interval}_{self.version}{partition}"


@dataclass(frozen=True, kw_only=True)
class DataSegment:
    """What is known of a segment. Two are equal if their ids are.

    Attributes
    ----------
    load_spec : mapping or None
        Where it lies in deep storage.
    dimensions, metrics : tuple of str
        Stored columns, in the order of the spec.
    binary_version : int or None
        9; None for a tombstone.
    size : int
        Bytes of all its files.
    last_compaction_state : mapping or None
        What it was made with, if it was told to remember.
    """

    datasource: str
    interval: Interval
    version: str
    shard_spec: ShardSpec
    load_spec: Mapping[str, Any] | None = field(default=None, compare=False)
    dimensions: tuple[str, ...] = field(default=(), compare=False)
    metrics: tuple[str, ...] = field(default=(), compare=False)
    binary_version: int | None = field(default=9, compare=False)
    size: int = field(default=0, compare=False)
    last_compaction_state: Mapping[str, Any] | None = field(default=None, compare=False)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> DataSegment:
        """Read a payload of `druid_segments` or a segment in a task action.

        Raises
        ------
        BadRequest
            If dataSource, interval or version is missing or malformed.
        """
        for name in ("dataSource", "interval", "version"):
            if not isinstance(value.get(name), str):
                raise BadRequest(
                    f"Cannot construct instance of `org.apache.druid.timeline.DataSegment`, problem: {name}",
                    where=name,
                )
        binary_version = value.get("binaryVersion")
        return DataSegment(
            datasource=value["dataSource"],
            interval=Interval.parse(value["interval"]),
            version=value["version"],
            shard_spec=ShardSpec.parse(value.get("shardSpec")),
            load_spec=value.get("loadSpec"),
            dimensions=_names(value.get("dimensions")),
            metrics=_names(value.get("metrics")),
            binary_version=None if binary_version is None else int(binary_version),
            size=int(value.get("size") or 0),
            last_compaction_state=value.get("lastCompactionState"),
        )

    def to_json(self) -> dict[str, Any]:
        """As it is stored, keys in Druid's order."""
        out: dict[str, Any] = {
            "dataSource": self.datasource,
            "interval": str(self.interval),
            "version": self.version,
            "loadSpec": self.load_spec,
            "dimensions": ",".join(self.dimensions),
            "metrics": ",".join(self.metrics),
            "shardSpec": self.shard_spec.to_json(),
        }
        if self.last_compaction_state is not None:
            out["lastCompactionState"] = self.last_compaction_state
        return out | {"binaryVersion": self.binary_version, "size": self.size, "identifier": str(self.id)}

    @property
    def id(self) -> SegmentId:
        """Its id."""
        return SegmentId(self.datasource, self.interval, self.version, self.shard_spec.partition_num)

    @property
    def tombstone(self) -> bool:
        """Whether it only says that its time chunk is empty."""
        return self.shard_spec.type == "tombstone"


def _names(value: Iterable[str] | str | None) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value or ()
    return tuple(name for name in names if name)
