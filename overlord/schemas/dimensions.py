"""Dimensions: what a row is grouped and filtered by."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from overlord.registry import Registry
from overlord.schemas.base import (
    Choice,
    Flag,
    Inside,
    Kinds,
    ListOf,
    Poly,
    Problem,
    Shape,
    Text,
    Whole,
    fault,
    load,
    no_creator,
)

dimension_kinds: Kinds = Registry("dimension")
DIMENSION = "org.apache.druid.data.input.impl.DimensionSchema"
_MULTI_VALUE = "org.apache.druid.data.input.impl.DimensionSchema$MultiValueHandling"


class MultiValueHandling(Choice):
    """What to do with several values of one row; written in upper case."""

    def __init__(self) -> None:
        super().__init__(_MULTI_VALUE, ("sorted_array", "sorted_set", "array"), "SORTED_ARRAY")

    def read(self, value: Any) -> str:
        return super().read(value).upper()


def multi_value_handling() -> MultiValueHandling:
    """A field for what to do with several values of one row."""
    return MultiValueHandling()


class DimensionSchema(Shape):
    """What all dimensions have."""

    java = DIMENSION

    name = Text()
    multiValueHandling = multi_value_handling()


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

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kw: Any) -> Any:
        if value is None:
            raise fault("A dimension must not be null")
        return super().deserialize(value, attr, data, **kw)

    def read(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Mapping):
            kind, name = self.resolve(value)
            return {"type": name, **load(kind, {k: v for k, v in value.items() if k != "type"})}
        if isinstance(value, str):
            return {"type": "string", **load(StringDimension, {"name": value})}
        raise fault(no_creator(StringDimension.java, value))

    def resolve(self, value: Any) -> tuple[type[Shape], str]:
        name = value.get("type") if isinstance(value, Mapping) else None
        return super().resolve(value if isinstance(name, str) and name in dimension_kinds else {"type": "string"})


class _OldSpatial(Shape):
    java = "org.apache.druid.data.input.impl.SpatialDimensionSchema"

    dimName = Text()
    dims = ListOf(Text(), list)


class DimensionsSpec(Shape):
    """All dimensions of a datasource."""

    java = "org.apache.druid.data.input.impl.DimensionsSpec"
    omit_null = frozenset({"forceSegmentSortByTime"})
    read_only = frozenset({"spatialDimensions"})

    dimensions = ListOf(Dimension(), list)
    dimensionExclusions = ListOf(Text(), list)
    spatialDimensions = ListOf(Inside(_OldSpatial), list)
    includeAllDimensions = Flag(False)
    useSchemaDiscovery = Flag(False)
    forceSegmentSortByTime = Flag()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        dimensions = data.get("dimensions", ())
        for position, dimension in enumerate(dimensions):
            if not dimension.get("name"):
                yield "dimensions", f"Encountered dimension with null or empty name at position[{position}]"
        names = [dimension["name"] for dimension in dimensions if dimension.get("name")]
        excluded = data.get("dimensionExclusions", [])
        if set(excluded) & set(names):
            yield "dimensionExclusions", "dimensions and dimensions exclusions cannot overlap"
        for field, values in (("dimensions", names), ("dimensionExclusions", excluded)):
            if twice := duplicates(values):
                yield field, f"Duplicate column entries found : [{', '.join(twice)}]"
        yield from self._time_problems(data)

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        old = (
            {"type": "spatial", **load(SpatialDimension, {"name": each["dimName"], "dims": each["dims"]})}
            for each in data["spatialDimensions"]
        )
        return data | {"dimensions": [*data["dimensions"], *old]}

    @staticmethod
    def _time_problems(data: dict[str, Any]) -> Iterator[Problem]:
        for position, dimension in enumerate(data.get("dimensions", ())):
            if dimension.get("name") != "__time":
                continue
            if dimension["type"] != "long":
                kind = dimension["type"].upper()
                yield "dimensions", f"Encountered dimension[__time] with incorrect type[{kind}]. Type must be 'long'."
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
