"""Transforms: columns computed from others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from overlord.registry import Registry
from overlord.schemas.base import Inside, Kinds, ListOf, Poly, Problem, Shape, Text
from overlord.schemas.dimensions import duplicates
from overlord.schemas.filters import filter_field

transform_kinds: Kinds = Registry("transform")


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
    transforms = ListOf(Poly(transform_kinds, "org.apache.druid.segment.transform.Transform", named="transforms"), list)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name in duplicates(str(transform["name"]) for transform in data.get("transforms", ())):
            yield "transforms", f"Transform name '{name}' cannot be used twice"


def transform_spec(default: Callable[[], Any] | None = None) -> Inside:
    """A field for a transformSpec; without one, nothing is filtered or transformed."""
    return Inside(TransformSpec, default or (lambda: {"filter": None, "transforms": []}))
