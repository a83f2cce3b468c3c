"""Filters of rows. Of each kind, what Druid insists on and what it fills in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from overlord.errors import BadRequest
from overlord.model.interval import Interval
from overlord.registry import Registry
from overlord.schemas.base import AnyShape, Kinds, Lenient, Poly, Problem, fault, no_creator

filter_kinds: Kinds = Registry("filter")
FILTER = "org.apache.druid.query.filter.DimFilter"
_JAVA = "org.apache.druid.query.filter."


def dimension_to_read(kind: str, name: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A column that is read, as Druid writes it again."""
    found = given or {}
    return {
        "type": kind,
        "dimension": name,
        "outputName": found.get("outputName") or name,
        "outputType": found.get("outputType") or "STRING",
    }


class DimensionToRead(Lenient):
    """A column that is read: its name, or an object that names it."""

    def read(self, value: Any) -> dict[str, Any]:
        if isinstance(value, str):
            return dimension_to_read("LegacyDimensionSpec", value)
        if not isinstance(value, Mapping):
            raise fault(no_creator("org.apache.druid.query.dimension.DimensionSpec", value))
        if value.get("type", "default") == "default" and isinstance(value.get("dimension"), str):
            return dimension_to_read("default", value["dimension"], value)
        return dict(value)


class AnyFilter(AnyShape):
    """A filter; those inside it must be of a known type too."""

    java = FILTER

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        found = {name: faults for name in ("fields", "field") if (faults := _faults_within(data.get(name)))}
        if found:
            raise ValidationError(found)
        return self.own_problems(data)

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        """Druid's rules for this kind."""
        return iter(())

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        out = dict(data)
        if isinstance(data.get("fields"), list):
            out["fields"] = [_written(each) for each in data["fields"]]
        if isinstance(data.get("field"), Mapping):
            out["field"] = _written(data["field"])
        return self.completed(out)

    def completed(self, data: dict[str, Any]) -> dict[str, Any]:
        """With what Druid fills in."""
        return data


def _faults_within(value: Any) -> Any:
    """Faults of a filter, or by their places of a list of filters."""
    if isinstance(value, list):
        return {place: faults for place, each in enumerate(value) if (faults := _faults_within(each))}
    if not isinstance(value, Mapping):
        return None
    try:
        filter_field().read(value)
    except ValidationError as e:
        return e.messages
    return None


def _written(value: Any) -> Any:
    return filter_field().read(value) if isinstance(value, Mapping) else value


def filter_field() -> Poly:
    """A field for a filter."""
    return Poly(filter_kinds, FILTER, named="filter")


filter_kinds.add(
    "spatial", "expression", "true", "false", "istrue", "isfalse", "arrayContainsElement", "inType", "bloom",
)(AnyFilter)  # fmt: skip


class _Junction(AnyFilter):
    word = ""

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if not data.get("fields"):
            yield "fields", f"{self.word} operator requires at least one field"


@filter_kinds.add("and")
class And(_Junction):
    """All of several."""

    java = _JAVA + "AndDimFilter"
    word = "AND"


@filter_kinds.add("or")
class Or(_Junction):
    """Any of several."""

    java = _JAVA + "OrDimFilter"
    word = "OR"


@filter_kinds.add("not")
class Not(AnyFilter):
    """None of one."""

    java = _JAVA + "NotDimFilter"

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("field") is None:
            yield "field", "NOT operator requires at least one field"


class _Needy(AnyFilter):
    """A filter that cannot do without some properties."""

    needs: tuple[tuple[str, str], ...] = ()
    fills: tuple[str, ...] = ()

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name, text in self.needs:
            if data.get(name) is None:
                yield name, text

    def completed(self, data: dict[str, Any]) -> dict[str, Any]:
        return data | {name: data.get(name) for name in self.fills}


@filter_kinds.add("selector")
class Selector(_Needy):
    """A column that has one value, as text."""

    java = _JAVA + "SelectorDimFilter"
    needs = (("dimension", "dimension must not be null"),)

    def completed(self, data: dict[str, Any]) -> dict[str, Any]:
        value = _text(data.pop("value", None))
        return data | {"value": value}  # the last, as Druid writes it


@filter_kinds.add("in")
class In(_Needy):
    """A column that has one of several values."""

    java = _JAVA + "InDimFilter"
    needs = (("dimension", "dimension cannot be null"), ("values", "values cannot be null"))

    def completed(self, data: dict[str, Any]) -> dict[str, Any]:
        values = data["values"]
        if not isinstance(values, list):
            return data
        texts = {_text(each) for each in values}
        return data | {"values": sorted(texts, key=lambda text: (text is not None, text or ""))}


@filter_kinds.add("bound")
class Bound(_Needy):
    """A column between two texts."""

    java = _JAVA + "BoundDimFilter"
    needs = (("dimension", "dimension can not be null"),)

    def completed(self, data: dict[str, Any]) -> dict[str, Any]:
        named = data.get("ordering") or ("alphanumeric" if data.get("alphaNumeric") else "lexicographic")
        out = {name: value for name, value in data.items() if name != "alphaNumeric"}
        return out | {"ordering": {"type": named} if isinstance(named, str) else named}


@filter_kinds.add("like")
class Like(_Needy):
    """A column that fits an SQL pattern."""

    java = _JAVA + "LikeDimFilter"
    needs = (("dimension", "dimension"), ("pattern", "pattern"))
    fills = ("escape", "extractionFn")


@filter_kinds.add("regex")
class Regex(_Needy):
    """A column in which a regular expression is found."""

    java = _JAVA + "RegexDimFilter"
    needs = (("dimension", "dimension must not be null"), ("pattern", "pattern must not be null"))
    fills = ("extractionFn",)


@filter_kinds.add("search")
class Search(_Needy):
    """A column that holds some text."""

    java = _JAVA + "SearchQueryDimFilter"
    needs = (("dimension", "dimension must not be null"), ("query", "query must not be null"))
    fills = ("extractionFn",)

    def completed(self, data: dict[str, Any]) -> dict[str, Any]:
        query = data["query"]
        if isinstance(query, Mapping) and query.get("type") in ("contains", "insensitive_contains"):
            sensitive = query["type"] == "contains" and bool(query.get("caseSensitive"))
            data["query"] = {"type": query["type"], "value": query.get("value"), "caseSensitive": sensitive}
        return super().completed(data)


@filter_kinds.add("javascript")
class JavaScript(_Needy):
    """A column of which a function of JavaScript says so."""

    java = _JAVA + "JavaScriptDimFilter"
    needs = (("dimension", "dimension must not be null"), ("function", "function must not be null"))
    fills = ("extractionFn",)


filter_kinds.add("extraction")(AnyFilter)


@filter_kinds.add("interval")
class InInterval(_Needy):
    """A column whose time is in one of several intervals."""

    java = _JAVA + "IntervalDimFilter"
    needs = (("dimension", "dimension can not be null"), ("intervals", "intervals can not be null"))
    fills = ("extractionFn",)

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().own_problems(data)
        intervals = data.get("intervals")
        if intervals == []:
            yield "intervals", "must specify at least one interval"
        for each in intervals if isinstance(intervals, list) else [intervals] if isinstance(intervals, str) else ():
            try:
                Interval.parse(str(each))
            except BadRequest as e:
                yield "intervals", e.message

    def completed(self, data: dict[str, Any]) -> dict[str, Any]:
        given = data["intervals"]
        texts = given if isinstance(given, list) else [given]
        return super().completed(data | {"intervals": [str(Interval.parse(str(each))) for each in texts]})


@filter_kinds.add("columnComparison")
class ColumnComparison(_Needy):
    """Columns that have a value in common."""

    java = _JAVA + "ColumnComparisonDimFilter"
    needs = (("dimensions", "dimensions"),)

    def completed(self, data: dict[str, Any]) -> dict[str, Any]:
        given = data["dimensions"]
        return (
            data | {"dimensions": [DimensionToRead().read(each) for each in given]} if isinstance(given, list) else data
        )


@filter_kinds.add("equals")
class Equals(AnyFilter):
    """A column that has one value of a type."""

    java = _JAVA + "EqualityFilter"

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        column = data.get("column")
        if column is None:
            yield "column", "Invalid equality filter, column cannot be null"
        for name in ("matchValueType", "matchValue"):
            if column is not None and data.get(name) is None:
                yield name, f"Invalid equality filter on column [{column}], {name} cannot be null"


@filter_kinds.add("range")
class Range(AnyFilter):
    """A column between two values of a type."""

    java = _JAVA + "RangeFilter"

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        column = data.get("column")
        if column is None:
            yield "column", "Invalid range filter, column cannot be null"
        elif data.get("matchValueType") is None:
            yield "matchValueType", f"Invalid range filter on column [{column}], matchValueType cannot be null"
        elif data.get("lower") is None and data.get("upper") is None:
            yield "lower", f"Invalid range filter on column [{column}], lower and upper cannot be null at the same time"


@filter_kinds.add("null")
class Null(AnyFilter):
    """A column without a value."""

    java = _JAVA + "NullFilter"

    def own_problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("column") is None:
            yield "column", "Invalid null filter, column cannot be null"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
