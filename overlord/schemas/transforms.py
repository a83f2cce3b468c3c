"""Transforms and filters. Their inner fields pass as they are; their types must be Druid's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from overlord.registry import Registry
from overlord.schemas.base import AnyShape, Inside, Kinds, ListOf, Poly, Problem, Shape, Text
from overlord.schemas.dimensions import duplicates

filter_kinds: Kinds = Registry("filter")
transform_kinds: Kinds = Registry("transform")
FILTER = "org.apache.druid.query.filter.DimFilter"


class AnyFilter(AnyShape):
    """A filter; those inside it must be of a known type too."""

    java = FILTER

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        inner = data.get("fields")
        found: dict[str, Any] = {}
        for name, values in (("fields", inner if isinstance(inner, list) else []), ("field", [data.get("field")])):
            for index, value in enumerate(values):
                if isinstance(value, Mapping):
                    try:
                        filter_field().read(value)
                    except ValidationError as e:
                        found[name] = {index: e.messages} if name == "fields" else e.messages
        if found:
            raise ValidationError(found)
        return iter(())


filter_kinds.add(
    "and", "or", "not", "selector", "in", "bound", "interval", "regex", "like", "search", "spatial", "javascript",
    "columnComparison", "expression", "true", "false", "equals", "range", "null", "istrue", "isfalse",
    "arrayContainsElement", "extraction", "inType", "bloom",
)(AnyFilter)  # fmt: skip


def filter_field() -> Poly:
    """A field for a filter."""
    return Poly(filter_kinds, FILTER, named="filter")


@transform_kinds.add("expression")
class ExpressionTransform(Shape):
    """A column computed from others."""

    java = "org.apache.druid.segment.transform.ExpressionTransform"

    name = Text()
    expression = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name in ("name", "expression"):
            if name in data and data[name] is None:
                yield name, name


class TransformSpec(Shape):
    """Filter first, then transforms; both before anything is indexed."""

    java = "org.apache.druid.segment.transform.TransformSpec"

    filter = filter_field()
    transforms = ListOf(Poly(transform_kinds, "org.apache.druid.segment.transform.Transform"), list)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name in duplicates(str(transform["name"]) for transform in data.get("transforms", ())):
            yield "transforms", f"Transform name '{name}' cannot be used twice"


def transform_spec(default: Callable[[], Any] | None = None) -> Inside:
    """A field for a transformSpec; without one, nothing is filtered or transformed."""
    return Inside(TransformSpec, default or (lambda: {"filter": None, "transforms": []}))
