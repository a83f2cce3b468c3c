"""What the builder has to know of an ingestion spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from overlord.errors import TaskFailed
from overlord.model.granularity import Granularity
from overlord.model.metric_types import BUILT
from workers.ingest.rollup import Aggregator, aggregators
from workers.ingest.structured import cast_of

_DTYPES: dict[str, pl.DataType] = {"long": pl.Int64(), "double": pl.Float64(), "float": pl.Float32()}


@dataclass(frozen=True, kw_only=True)
class BuildSchema:
    """How rows become segments.

    Attributes
    ----------
    dimensions : tuple of str
        Those the spec names, in its order, `__time` included if it is among them.
    dtypes : mapping of str to polars dtype
        Of the dimensions the spec names, without `__time`.
    casts : mapping of str to str or None
        Of the dimensions of the spec whose type follows from their values: the type that these are made to have.
    finds_types : bool
        Whether those that the spec does not name are such too.
    unindexed : frozenset of str
        String dimensions without a bitmap index.
    store_empty : bool
        Whether a string dimension of the spec that is null in a whole segment is kept.
    store_all_empty : bool
        The same for dimensions the spec does not name.
    time_first : bool
        Whether rows are sorted by time before all else.
    """

    dimensions: tuple[str, ...]
    aggregators: Sequence[Aggregator]
    query_granularity: Granularity
    rollup: bool
    timestamp_spec: Mapping[str, Any]
    dtypes: Mapping[str, pl.DataType] = field(default_factory=dict)
    casts: Mapping[str, str | None] = field(default_factory=dict)
    finds_types: bool = False
    unindexed: frozenset[str] = frozenset()
    store_empty: bool = True
    store_all_empty: bool = False
    time_first: bool = True
    index_spec: Mapping[str, Any] = field(default_factory=dict)
    lz4_level: int = 0

    @classmethod
    def from_spec(
        cls, spec: Mapping[str, Any], context: Mapping[str, Any], settings: Mapping[str, Any] | None = None
    ) -> BuildSchema:
        """From a task's `spec`, all defaults filled in, its context, and the server's settings."""
        data = spec["dataSchema"]
        dimensions = data.get("dimensionsSpec") or {}
        named = [{"name": d} if isinstance(d, str) else d for d in dimensions.get("dimensions") or []]
        granularity = data.get("granularitySpec") or {}
        everything = bool(dimensions.get("useSchemaDiscovery")) or bool(dimensions.get("includeAllDimensions"))
        return cls(
            dimensions=tuple(d["name"] for d in named),
            aggregators=[aggregator(metric) for metric in data.get("metricsSpec") or []],
            query_granularity=Granularity.parse(granularity.get("queryGranularity") or "NONE"),
            rollup=granularity.get("rollup", True) is not False,
            timestamp_spec=data["timestampSpec"],
            dtypes={d["name"]: _dtype(d) for d in named if d["name"] != "__time"},
            casts={d["name"]: cast_of(d.get("castToType")) for d in named if d.get("type") in ("auto", "json")},
            finds_types=bool(dimensions.get("useSchemaDiscovery")),
            unindexed=frozenset(d["name"] for d in named if d.get("createBitmapIndex") is False),
            store_empty=context.get("storeEmptyColumns", True) is not False,
            store_all_empty=everything,
            time_first=dimensions.get("forceSegmentSortByTime", True) is not False,
            index_spec=(spec.get("tuningConfig") or {}).get("indexSpec") or {},
            lz4_level=int((settings or {}).get("ovl.segment.lz4Level") or 0),
        )

    def is_auto(self, dimension: str) -> bool:
        """Whether its type follows from its values."""
        return dimension in self.casts or (self.finds_types and dimension not in self.dimensions)

    def sort_order(self, known: Iterable[str]) -> list[str]:
        """Names of the columns rows are sorted by; dimensions that turned up on the way come last."""
        named = list(self.dimensions)
        if self.time_first:
            named = ["__time", *(n for n in named if n != "__time")]
        elif "__time" not in named:
            named.append("__time")
        there = set(known) | {"__time"}
        return [n for n in named if n in there] + [n for n in there_in_order(known) if n not in named]

    def stored_order(self, known: Iterable[str]) -> list[str]:
        """Dimensions in the order a segment lists them."""
        named = [n for n in self.dimensions if n != "__time"]
        return named + [n for n in there_in_order(known) if n not in named]

    def keeps_empty(self, dimension: str) -> bool:
        """Whether `dimension` is stored where it is null throughout."""
        return self.store_empty and (self.store_all_empty or dimension in self.dimensions)

    def metadata(self) -> dict[str, Any]:
        """Contents of `metadata.drd`."""
        ordered = self.sort_order(self.dimensions)
        return {
            "container": {},
            "aggregators": [a.combining() for a in sorted(self.aggregators, key=lambda a: a.name)],
            "timestampSpec": dict(self.timestamp_spec),
            "queryGranularity": self.query_granularity.to_json(),
            "rollup": self.rollup,
            "ordering": [{"columnName": name, "order": "ascending"} for name in ordered],
        }


def _dtype(dimension: Mapping[str, Any]) -> pl.DataType:
    return _DTYPES.get(dimension.get("type", "string"), pl.String())


def aggregator(metric: Mapping[str, Any]) -> Aggregator:
    """The aggregator a metricsSpec entry asks for."""
    kind = str(metric.get("type"))
    if kind == "filtered":  # the filter has been applied where the metric's input was read
        inner = aggregator(metric["aggregator"])
        inner.name = str(metric.get("name") or inner.name)
        return inner
    if kind not in aggregators:
        raise TaskFailed(
            f"Metric [{metric.get('name')}] has type [{kind}], which this version cannot build. "
            f"It builds: [{', '.join(BUILT)}]"
        )
    return aggregators[kind].from_json(metric)


def there_in_order(known: Iterable[str]) -> list[str]:
    """Names in the order they turned up, each once, without `__time`."""
    return [n for n in dict.fromkeys(known) if n != "__time"]
