"""Dimensions: what a row is grouped and filtered by."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from overlord.registry import Registry
from overlord.schemas.base import (
    Enum,
    Flag,
    Inside,
    Kinds,
    ListOf,
    Poly,
    Problem,
    Raw,
    Shape,
    Text,
    Whole,
    fault,
    load,
    token,
)

dimension_kinds: Kinds = Registry("dimension")
DIMENSION = "org.apache.druid.data.input.impl.DimensionSchema"
_MULTI_VALUE = "org.apache.druid.data.input.impl.DimensionSchema$MultiValueHandling"


def multi_value_handling() -> Enum:
    """A field for what to do with several values of one row."""
    return Enum(_MULTI_VALUE, ("SORTED_ARRAY", "SORTED_SET", "ARRAY"), "SORTED_ARRAY")


class DimensionSchema(Shape):
    """What all dimensions have."""

    java = DIMENSION

    name = Text()
    multiValueHandling = multi_value_handling()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "name" in data and not data["name"]:
            yield "name", "Dimension name cannot be null or empty"


@dimension_kinds.add("string")
class StringDimension(DimensionSchema):
    """Text, indexed by bitmaps unless told otherwise."""

    java = "org.apache.druid.data.input.impl.StringDimensionSchema"

    createBitmapIndex = Flag(True)


class _NumericDimension(DimensionSchema):
    createBitmapIndex = Flag(False)

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return data | {"createBitmapIndex": False}


@dimension_kinds.add("long")
class LongDimension(_NumericDimension):
    """A 64-bit integer."""

    java = "org.apache.druid.data.input.impl.LongDimensionSchema"


@dimension_kinds.add("double")
class DoubleDimension(_NumericDimension):
    """A 64-bit floating-point number."""

    java = "org.apache.druid.data.input.impl.DoubleDimensionSchema"


@dimension_kinds.add("float")
class FloatDimension(_NumericDimension):
    """A 32-bit floating-point number."""

    java = "org.apache.druid.data.input.impl.FloatDimensionSchema"


@dimension_kinds.add("auto")
class AutoDimension(DimensionSchema):
    """A column whose type follows from its values."""

    java = "org.apache.druid.segment.AutoTypeColumnSchema"
    omit_null = frozenset({"castToType"})

    createBitmapIndex = Flag(True)
    castToType = Text()


@dimension_kinds.add("json")
class JsonDimension(DimensionSchema):
    """A nested column."""

    java = "org.apache.druid.segment.NestedDataColumnSchema"

    createBitmapIndex = Flag(True)
    formatVersion = Whole(5)


@dimension_kinds.add("spatial")
class SpatialDimension(DimensionSchema):
    """Coordinates."""

    java = "org.apache.druid.data.input.impl.NewSpatialDimensionSchema"

    createBitmapIndex = Flag(True)
    dims = ListOf(Text(), list)


class Dimension(Poly):
    """A dimension: a bare name is a string; so is an object of a type that nobody knows, as in Druid."""

    def __init__(self) -> None:
        super().__init__(dimension_kinds, DIMENSION, without_type="string")

    def read(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Mapping):
            kind, name = self.resolve(value)
            return {"type": name, **load(kind, {k: v for k, v in value.items() if k != "type"})}
        if isinstance(value, bool | int | float | str):
            return {"type": "string", **load(StringDimension, {"name": Text().read(value)})}
        raise fault(f"Cannot construct instance of `{DIMENSION}` from {token(value)}")

    def resolve(self, value: Any) -> tuple[type[Shape], str]:
        name = value.get("type") if isinstance(value, Mapping) else None
        return super().resolve(value if isinstance(name, str) and name in dimension_kinds else {"type": "string"})


class DimensionsSpec(Shape):
    """All dimensions of a datasource."""

    java = "org.apache.druid.data.input.impl.DimensionsSpec"
    omit_null = frozenset({"forceSegmentSortByTime"})
    read_only = frozenset({"spatialDimensions"})

    dimensions = ListOf(Dimension(), list)
    dimensionExclusions = ListOf(Text(), list)
    spatialDimensions = ListOf(Raw(), list)
    includeAllDimensions = Flag(False)
    useSchemaDiscovery = Flag(False)
    forceSegmentSortByTime = Flag()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        names = [dimension["name"] for dimension in data.get("dimensions", ())]
        excluded = data.get("dimensionExclusions", [])
        if set(excluded) & set(names):
            yield "dimensionExclusions", "dimensions and dimensions exclusions cannot overlap"
        for field, values in (("dimensions", names), ("dimensionExclusions", excluded)):
            if twice := duplicates(values):
                yield field, f"Duplicate column entries found : [{', '.join(twice)}]"
        yield from self._time_problems(data)

    @staticmethod
    def _time_problems(data: dict[str, Any]) -> Iterator[Problem]:
        for position, dimension in enumerate(data.get("dimensions", ())):
            if dimension["name"] != "__time":
                continue
            if dimension["type"] != "long":
                yield (
                    "dimensions",
                    f"Encountered dimension[__time] with incorrect type[{dimension['type']}]. Type must be 'long'.",
                )
            if position and data.get("forceSegmentSortByTime") is not False:
                yield (
                    "dimensions",
                    "Column[__time] must be first, unless dimensionsSpec.forceSegmentSortByTime is set to false.",
                )


def duplicates(names: Iterable[str]) -> list[str]:
    """Names that occur more than once, in their order."""
    return [name for name, times in Counter(names).items() if times > 1]


def dimensions_spec() -> Inside:
    """A field for a dimensionsSpec."""
    return Inside(DimensionsSpec)


__all__ = ["Dimension", "DimensionsSpec", "dimension_kinds", "dimensions_spec", "duplicates"]
