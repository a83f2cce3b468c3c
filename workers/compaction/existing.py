"""What segments say of themselves, made into the parts of a spec that a compaction was not given.

Segments are looked at newest interval first, so that a newer order and newer types win.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from overlord.errors import BadRequest, TaskFailed
from overlord.model import java_hash
from overlord.model.granularity import Granularity
from overlord.model.segment import DataSegment
from workers.publish.fetch import fetch
from workers.segment.nested import GlobalReader, JsonReader, ScalarReader
from workers.segment.read_columns import NullReader, StringReader
from workers.segment.reader import TIME, SegmentReader

_NUMBERS = {"LONG": "long", "DOUBLE": "double", "FLOAT": "float"}
_SIMPLE = {f"{kind}{what}" for kind in ("long", "double", "float") for what in ("Sum", "Min", "Max")}
_JAVA = "org.apache.druid.java.util.common."


class Existing:
    """What is learnt from segments.

    Attributes
    ----------
    rollup : bool
        Whether all of them are rolled up.
    query_granularity : Granularity or None
        The finest; None if none tells.
    """

    def __init__(self) -> None:
        self.rollup = True
        self.query_granularity: Granularity | None = None
        self._order: dict[str, None] = {}
        self._dimensions: dict[str, dict[str, Any]] = {}
        self._aggregators: list[Sequence[Mapping[str, Any]]] = []

    @classmethod
    def of(cls, segments: Iterable[DataSegment], settings: Mapping[str, Any], scratch: Path) -> Existing:
        """Look at all of them; tombstones know nothing."""
        existing = cls()
        for segment in sorted((s for s in segments if not s.tombstone), key=lambda s: s.interval, reverse=True):
            folder = scratch / f"looked-at-{uuid.uuid4().hex}"
            folder.mkdir(parents=True)
            try:
                existing.add(segment, SegmentReader(fetch(segment, settings, folder), scratch=folder))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return existing

    def add(self, segment: DataSegment, reader: SegmentReader) -> None:
        """Look at one."""
        metadata = reader.metadata
        if not metadata:
            raise TaskFailed(
                f"{_JAVA}RE: Index metadata doesn't exist for segment [{segment.id}]. Try providing explicit rollup, "
                "queryGranularity, dimensionsSpec, and metricsSpec."
            )
        self.rollup = self.rollup and metadata.get("rollup") is True
        self._finer(metadata.get("queryGranularity"))
        ordering = [each["columnName"] for each in metadata.get("ordering") or [{"columnName": TIME}]]
        for name in [*ordering, *reader.dimensions]:
            self._order.setdefault(name)
            if name not in self._dimensions and (name == TIME or name in reader.dimensions):
                self._dimensions[name] = _dimension(reader, name)
        aggregators = metadata.get("aggregators")
        if aggregators is not None and aggregators not in self._aggregators:
            self._aggregators.append(aggregators)

    def _finer(self, told: Any) -> None:
        if told is None:
            return
        try:
            granularity = Granularity.parse(told)
        except BadRequest:
            return
        known = self.query_granularity
        if known is None or _length(granularity) < _length(known):
            self.query_granularity = granularity

    def dimensions_spec(self) -> dict[str, Any]:
        """A dimensionsSpec; `__time` is in it only where rows are not sorted by it first."""
        by_time = next(iter(self._order), TIME) == TIME
        names = [n for n in self._order if n in self._dimensions and not (n == TIME and by_time)]
        spec: dict[str, Any] = {
            "dimensions": [self._dimensions[name] for name in names],
            "dimensionExclusions": [],
            "includeAllDimensions": False,
            "useSchemaDiscovery": False,
        }
        return spec if by_time else spec | {"forceSegmentSortByTime": False}

    def metrics_spec(self) -> list[dict[str, Any]]:
        """Aggregators that combine what is there.

        Raises
        ------
        TaskFailed
            Two segments have different ones of the same name.
        """
        merged: dict[str, dict[str, Any]] = {}
        for aggregators in self._in_druids_order():
            for each in aggregators:
                # a stock Druid lists a filtered metric of two names with the wrong one as its field
                known = merged.setdefault(each["name"], dict(each) | {"fieldName": each["name"]})
                if known["type"] != each["type"]:
                    raise TaskFailed(
                        f"{_JAVA}ISE: Failed to merge existing aggregators when generating metricsSpec; "
                        "try providing explicit metricsSpec"
                    )
        return list(merged.values())

    def _in_druids_order(self) -> list[Sequence[Mapping[str, Any]]]:
        """Druid keeps them in a HashSet; metrics whose codes are not known here stay as they came."""
        if not all(each["type"] in _SIMPLE for aggregators in self._aggregators for each in aggregators):
            return self._aggregators
        return java_hash.order(self._aggregators, lambda those: java_hash.of_all(map(_code, those)))


def _code(aggregator: Mapping[str, Any]) -> int:
    return java_hash.of_all(java_hash.of_text(aggregator.get(key)) for key in ("fieldName", "expression", "name"))


def _length(granularity: Granularity) -> int:
    bucket = granularity.bucket(0)
    return bucket.end - bucket.start


def _dimension(reader: SegmentReader, name: str) -> dict[str, Any]:
    """The dimension a column was made by; several values of a string are to stay as they are."""
    column = reader.column(name)
    if isinstance(column, StringReader | NullReader):
        indexed = column.indexed if isinstance(column, StringReader) else True
        return {"type": "string", "name": name, "multiValueHandling": "ARRAY", "createBitmapIndex": indexed}
    if isinstance(column, ScalarReader | GlobalReader | JsonReader):
        auto = {"type": "auto", "name": name, "multiValueHandling": "SORTED_ARRAY", "createBitmapIndex": True}
        return auto | {"castToType": column.type_name} if column.enforced else auto
    kind = _NUMBERS.get(column.type_name, "auto")
    return {"type": kind, "name": name, "multiValueHandling": "SORTED_ARRAY", "createBitmapIndex": False}
