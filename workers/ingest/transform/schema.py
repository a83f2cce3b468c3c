"""What dataSchema asks of each row: its dimensions and the inputs of its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overlord.errors import TaskFailed
from workers.ingest.structured import cast_of
from workers.ingest.transform.metrics import MetricInput, name_of, read_metric
from workers.ingest.transform.numbers import DoubleDimension, FloatDimension, LongDimension, Reader
from workers.ingest.transform.strings import HANDLINGS, SORTED_ARRAY
from workers.ingest.transform.timestamps import TimestampSpec
from workers.ingest.transform.transforms import TransformSpec

TIME = "__time"

_NUMBERS: dict[str, type[Reader]] = {"long": LongDimension, "double": DoubleDimension, "float": FloatDimension}
_LATER = ("spatial",)


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One dimension.

    Attributes
    ----------
    name : str
        Its column, and the input field.
    reader : Reader or None
        For numbers; None is a string dimension.
    handling : str
        Of several values in one row.
    discovered : bool
        Whether it was found in a row rather than listed.
    auto : bool
        Whether its type follows from its values.
    cast : str or None
        The type that these are made to have.
    """

    name: str
    reader: Reader | None = None
    handling: str = SORTED_ARRAY
    discovered: bool = False
    auto: bool = False
    cast: str | None = None


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The part of dataSchema that concerns single rows.

    Attributes
    ----------
    time : TimestampSpec
        Where a row's time is.
    dimensions : tuple of Dimension
        Those listed.
    discover : bool
        Whether fields that are not listed become dimensions.
    finds_types : bool
        Whether the types of these follow from their values; else they are strings.
    excluded : frozenset of str
        Fields that never do.
    metrics : tuple of (str, MetricInput or None)
        Name and input of each metric, None for `count`.
    transforms : TransformSpec
        What becomes of the fields before all that, and which rows stay.
    """

    time: TimestampSpec
    dimensions: tuple[Dimension, ...]
    discover: bool
    finds_types: bool
    excluded: frozenset[str]
    metrics: tuple[tuple[str, MetricInput | None], ...]
    transforms: TransformSpec

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Schema:
        """From a task's dataSchema.

        Raises
        ------
        TaskFailed
            For what cannot be understood, or is not done yet.
        """
        spec = json.get("dimensionsSpec") or {}
        finds_types = bool(spec.get("useSchemaDiscovery"))
        if spec.get("spatialDimensions"):
            raise TaskFailed("dimensionsSpec.spatialDimensions is not supported")
        time = TimestampSpec.from_json(json.get("timestampSpec"))
        dimensions = tuple(map(_dimension, spec.get("dimensions") or []))
        metrics = tuple((name_of(entry), read_metric(entry)) for entry in json.get("metricsSpec") or [])
        excluded = {TIME, time.column, *(spec.get("dimensionExclusions") or []), *(name for name, _ in metrics)}
        excluded.update(*(metric.excluded for _, metric in metrics if metric is not None))
        return cls(
            time=time,
            dimensions=dimensions,
            discover=not dimensions or finds_types or bool(spec.get("includeAllDimensions")),
            finds_types=finds_types,
            excluded=frozenset(excluded),
            metrics=metrics,
            transforms=TransformSpec.from_json(json.get("transformSpec")),
        )

    @property
    def inputs(self) -> frozenset[str] | None:
        """All input fields that matter; None if any field may."""
        if self.discover:
            return None
        fields = {field for _, metric in self.metrics if metric is not None for field in metric.fields}
        named = (d.name for d in self.dimensions if d.name != TIME)
        return frozenset({self.time.column, *fields, *named, *self.transforms.inputs})


def _dimension(entry: Any) -> Dimension:
    if isinstance(entry, str):
        return Dimension(name=entry)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise TaskFailed("dimensionsSpec.dimensions: each must be a name, or an object with a name")
    name, kind = entry["name"], entry.get("type") or "string"
    if kind in _NUMBERS:
        return Dimension(name=name, reader=_NUMBERS[kind](name, name))
    if kind in ("auto", "json"):
        return Dimension(name=name, auto=True, cast=cast_of(entry.get("castToType")))
    if kind in _LATER:
        raise TaskFailed(
            f"Dimension {name!r}: type {kind} is not built. Built: auto, double, float, json, long, string"
        )
    handling = str(entry.get("multiValueHandling") or SORTED_ARRAY).upper()
    if handling not in HANDLINGS:
        raise TaskFailed(f"Dimension {name!r}: unknown multiValueHandling {handling!r}. Known: {', '.join(HANDLINGS)}")
    return Dimension(name=name, handling=handling)  # a type unknown to Druid is a string too
