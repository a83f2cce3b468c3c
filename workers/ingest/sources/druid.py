"""Segments of a datasource, read again.

By interval, the segments that are visible in it are read, each for the stretches of time in which it is the one that
is seen. By `segments`, the task (or the parent that split its input) says so itself: `{"segmentId", "intervals"}` each.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overlord.errors import TaskFailed
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.model.timeline import lookup
from workers.ingest.sources.base import Access, ByteStream, InputObject, RowSource, SplitHint, input_sources, strings

if TYPE_CHECKING:
    from workers.ingest.formats.base import RawChunk

Window = tuple[Interval, DataSegment]

_log = logging.getLogger("overlord.ingest")


@input_sources.add("druid")
class DruidSource(RowSource):
    """`{"type": "druid", "dataSource", "interval" | "segments", "filter"}`; `dimensions`, `metrics` are ignored."""

    splittable = True

    def __init__(self, json: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self.json = json
        self.datasource = str(json["dataSource"])
        self.interval = None if json.get("interval") is None else Interval.parse(str(json["interval"]))
        self._settings = settings
        self._access: Access | None = None
        self._found: list[Window] | None = None

    @classmethod
    def from_json(cls, json: Mapping[str, Any], settings: Mapping[str, Any]) -> DruidSource:
        if not isinstance(json.get("dataSource"), str):
            raise TaskFailed("inputSource.dataSource of a druid source must be a string")
        if (json.get("interval") is None) == (json.get("segments") is None):
            raise TaskFailed("Specify exactly one of 'interval' and 'segments'", where="spec.ioConfig.inputSource")
        for field in ("dimensions", "metrics"):
            strings(json, field, "inputSource")
        return cls(json, settings)

    def bind(self, access: Access) -> None:
        self._access = access

    @property
    def segments_read(self) -> int:
        return len({segment.id for _, segment in self.windows()})

    def objects(self) -> Iterator[InputObject]:
        """One for each stretch of a segment; they are read by `rows`, not opened."""
        for _, segment in self.windows():
            yield InputObject(name=str(segment.id), size=segment.size, open=_not_opened)

    def windows(self) -> list[Window]:
        """What is read, in order of time: a stretch of time and a segment that is seen there."""
        if self._found is None:
            self._found = self._in_interval() if self.interval is not None else self._by_id()
            if not self._found:
                _log.warning("There are no segments of dataSource[%s] in the input", self.datasource)
        return self._found

    def _in_interval(self) -> list[Window]:
        assert self.interval is not None
        action = {
            "type": "segmentListUsed",
            "dataSource": self.datasource,
            "intervals": [str(self.interval)],
            "visibility": "ONLY_VISIBLE",
        }
        used = map(DataSegment.from_json, self._bound.actions.submit(action) or [])
        return [(stretch, segment) for stretch, seen in lookup(used, self.interval) for segment in seen]

    def _by_id(self) -> list[Window]:
        asked = [(str(each["segmentId"]), list(map(Interval.parse, each["intervals"]))) for each in self._windowed()]
        ids = [segment_id for segment_id, _ in asked]
        action = {"type": "retrieveSegmentsById", "dataSource": self.datasource, "segmentIds": ids}
        there = {str(s.id): s for s in map(DataSegment.from_json, self._bound.actions.submit(action) or [])}
        if missing := [segment_id for segment_id in ids if segment_id not in there]:
            raise TaskFailed(f"Segment[{missing[0]}] of inputSource.segments is not in the metadata store")
        windows = [(stretch, there[segment_id]) for segment_id, stretches in asked for stretch in stretches]
        windows.sort(key=lambda window: (window[0], window[1].id))
        _check_disjoint(windows)
        return windows

    def _windowed(self) -> list[Mapping[str, Any]]:
        given = self.json["segments"]
        for each in given if isinstance(given, list) else [None]:
            if (
                not isinstance(each, Mapping)
                or not each.get("segmentId")
                or not isinstance(each.get("intervals"), list)
            ):
                raise TaskFailed(
                    "inputSource.segments must be a list of objects with segmentId and intervals",
                    where="spec.ioConfig.inputSource.segments",
                )
        return list(given)

    def splits(self, hint: SplitHint) -> Iterator[dict[str, Any]]:
        """Segments in order, as many as fit; the stretches of one segment stay together."""
        stretches: dict[str, list[str]] = {}
        sizes: dict[str, int] = {}
        for stretch, segment in self.windows():
            stretches.setdefault(str(segment.id), []).append(str(stretch))
            sizes[str(segment.id)] = segment.size
        group: list[dict[str, Any]] = []
        size = 0
        for segment_id, intervals in stretches.items():
            if group and (size + sizes[segment_id] > hint.max_bytes or len(group) >= hint.max_objects):
                yield self._split(group)
                group, size = [], 0
            group.append({"segmentId": segment_id, "intervals": intervals})
            size += sizes[segment_id]
        if group:
            yield self._split(group)

    def _split(self, group: list[dict[str, Any]]) -> dict[str, Any]:
        kept = {name: value for name, value in self.json.items() if value is not None and name != "interval"}
        return {**kept, "type": "druid", "segments": group}

    def rows(self, *, chunk_bytes: int, wanted: Collection[str] | None = None) -> Iterator[RawChunk]:
        from workers.ingest.formats.segment import read_windows  # formats know of sources

        return read_windows(
            self.windows(),
            self._settings,
            self._scratch(),
            chunk_bytes=chunk_bytes,
            wanted=wanted,
            condition=self.json.get("filter"),
        )

    def _scratch(self) -> Path:
        return self._bound.scratch

    @property
    def _bound(self) -> Access:
        assert self._access is not None, "a druid source is bound to its task before it is read"
        return self._access


def _check_disjoint(windows: list[Window]) -> None:
    """Stretches are equal, of one version, or do not overlap; else rows would be read twice."""
    for (before, old), (after, new) in pairwise(windows):
        if before == after and old.version != new.version:
            raise TaskFailed(
                "Timeline segments with the same interval should have the same version: "
                f"existing version[{old.version}] vs new segment[{new.id}]"
            )
        if before != after and before.overlaps(after):
            raise TaskFailed(f"Distinct intervals in input segments may not overlap: [{before}] vs [{after}]")


def _not_opened() -> ByteStream:
    raise TaskFailed("Segments are not read as bytes")
