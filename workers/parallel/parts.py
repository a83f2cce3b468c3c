"""Parts of chunks as they travel in sub-tasks' payloads, in Druid's shapes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from overlord.model.interval import Interval
from overlord.model.shard_spec import ShardSpec
from workers.segment import utf16

Bound = tuple[str | None, ...]


def bounds_to_json(bounds: Sequence[Bound]) -> list[Any]:
    """`[null, "p1", "p4", null]`, or with lists for several dimensions."""
    return [None, *(bound[0] if len(bound) == 1 else list(bound) for bound in bounds), None]


def bounds_from_json(given: Sequence[Any]) -> list[Bound]:
    """The inverse."""
    return [tuple(bound) if isinstance(bound, list) else (bound,) for bound in given[1:-1]]


def building(shard_spec: ShardSpec, bucket: int, partition_num: int) -> dict[str, Any]:
    """A shard spec under way, as Druid writes it."""
    values = shard_spec.values
    if shard_spec.type == "hashed":
        return {
            "type": "building_hashed",
            "partitionId": partition_num,
            "bucketId": values["bucketId"],
            "numBuckets": values["numBuckets"],
            "partitionDimensions": values["partitionDimensions"],
            "partitionFunction": values["partitionFunction"],
        }
    bounds = {"start": values["start"], "end": values["end"], "bucketId": bucket}
    if shard_spec.type == "single":
        return {
            "type": "building_single_dim",
            **bounds,
            "dimension": values["dimension"],
            "partitionNum": partition_num,
        }
    return {"type": "building_range", **bounds, "dimensions": values["dimensions"], "partitionNum": partition_num}


def built(json_: Mapping[str, Any]) -> ShardSpec:
    """The shard spec that `building` came from, with its partition number."""
    values = {name: value for name, value in json_.items() if name not in ("type", "partitionId", "partitionNum")}
    kind = {"building_hashed": "hashed", "building_single_dim": "single", "building_range": "range"}[json_["type"]]
    number = json_.get("partitionId", json_.get("partitionNum", 0))
    if kind != "hashed":
        del values["bucketId"]
        values["numCorePartitions"] = 0
    return ShardSpec.parse({"type": kind, **values, "partitionNum": number})


@dataclass(frozen=True, kw_only=True)
class Location:
    """Rows of a part that one sub-task has handed on."""

    sub_task: str
    interval: Interval
    shard_spec: ShardSpec

    @classmethod
    def grouped(cls, given: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Interval, ShardSpec, list[Location]]]:
        """Those of a merge task, by part, in the order they are given in."""
        groups: dict[str, list[Location]] = {}
        for json_ in given:
            interval, shard_spec = Interval.parse(json_["interval"]), built(json_["shardSpec"])
            location = cls(sub_task=json_["subTaskId"], interval=interval, shard_spec=shard_spec)
            groups.setdefault(key_of(str(interval), shard_spec), []).append(location)
        for locations in groups.values():
            yield locations[0].interval, locations[0].shard_spec, locations

    def matches(self, piece: Mapping[str, Any]) -> bool:
        """Whether a piece of the sub-task's result is meant."""
        return key_of(piece["interval"], ShardSpec.parse(piece["shardSpec"])) == key_of(
            str(self.interval), self.shard_spec
        )


def key_of(interval: str, shard_spec: ShardSpec) -> str:
    """What tells parts apart."""
    return json.dumps([interval, shard_spec.counted(0, 0).to_json()])


def order_of(shard_spec: ShardSpec) -> tuple[int, list[bytes]]:
    """Where a part lies among those of its chunk."""
    if shard_spec.type == "hashed":
        return int(shard_spec.values["bucketId"]), []
    start = shard_spec.values["start"]
    if start is None:
        return 0, []
    values = [start] if isinstance(start, str) else start
    return 1, [b"" if value is None else b"\1" + utf16.sort_key(value.encode()) for value in values]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part and the sub-tasks that have rows of it."""

    interval: str
    shard_spec: ShardSpec
    sub_tasks: tuple[str, ...]


def parts_of(results: Sequence[Mapping[str, Any]]) -> list[Part]:
    """All parts of several results, by chunk and order."""
    found: dict[str, Part] = {}
    for result in results:
        for piece in result["pieces"]:
            shard_spec = ShardSpec.parse(piece["shardSpec"])
            key = key_of(piece["interval"], shard_spec)
            before = found[key].sub_tasks if key in found else ()
            sub_tasks = (*before, result["subTaskId"])
            found[key] = Part(interval=piece["interval"], shard_spec=shard_spec, sub_tasks=sub_tasks)
    return sorted(found.values(), key=lambda part: (Interval.parse(part.interval).start, order_of(part.shard_spec)))


def merge_inputs(parts: Sequence[Part], tasks: int, host: str, port: int) -> list[list[dict[str, Any]]]:
    """`partitionLocations` of so many merge tasks, or of fewer when there are not as many parts."""
    numbers: dict[str, int] = {}
    located: list[list[dict[str, Any]]] = []
    for part in parts:
        number = numbers.setdefault(part.interval, 0)
        numbers[part.interval] += 1
        shard_spec = building(part.shard_spec, number, number)
        where = {"type": "local", "host": host, "port": port, "useHttps": False}
        located.append(
            [{**where, "subTaskId": t, "interval": part.interval, "shardSpec": shard_spec} for t in part.sub_tasks]
        )
    tasks = min(tasks, len(located))
    cuts = [len(located) * i // tasks for i in range(tasks + 1)] if tasks else []
    return [list(chain.from_iterable(located[a:b])) for a, b in pairwise(cuts)]
