"""Metrics: what a row is summed up to."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from overlord.registry import Registry
from overlord.schemas.base import AnyShape, Choice, Flag, Kinds, ListOf, Poly, Problem, Real, Shape, Text, Whole
from overlord.schemas.filters import DimensionToRead, dimension_to_read, filter_field

aggregator_kinds: Kinds = Registry("aggregator")
AGGREGATOR = "org.apache.druid.query.aggregation.AggregatorFactory"
_IDENTIFIER = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'(?:[^'\\]|\\.)*'|([A-Za-z_$][\w$]*)(?!\w*\s*\()")
NO_NAME = "Must have a valid, non-null aggregator name"
NO_INPUT = "Must have a valid, non-null fieldName or expression"


def metric(named: str | None = None) -> Poly:
    """A field for an aggregator."""
    return Poly(aggregator_kinds, AGGREGATOR, named=named)


def metrics_spec(default: Any = list) -> ListOf:
    """A field for a list of aggregators."""
    return ListOf(metric("metricsSpec"), default)


class Aggregator(Shape):
    """What all aggregators have."""

    java = AGGREGATOR

    name = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "name" in data and data["name"] is None:
            yield "name", NO_NAME


@aggregator_kinds.add("count")
class Count(Aggregator):
    """Number of rows that went into one."""

    java = "org.apache.druid.query.aggregation.CountAggregatorFactory"


class _FieldAggregator(Aggregator):
    omit_null = frozenset({"fieldName", "expression"})

    fieldName = Text()
    expression = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().problems(data)
        if "fieldName" in data and "expression" in data:
            given = [data["fieldName"], data["expression"]]
            if given == [None, None]:
                yield "fieldName", NO_INPUT
            elif None not in given:
                yield "fieldName", "Must have a valid, non-null fieldName or expression, but not both"


def _simple(name: str) -> None:
    java = f"org.apache.druid.query.aggregation.{name[0].upper()}{name[1:]}AggregatorFactory"
    aggregator_kinds.add(name)(type(f"_{name}", (_FieldAggregator,), {"java": java}))


for _name in (f"{kind}{what}" for kind in ("long", "double", "float") for what in ("Sum", "Min", "Max")):
    _simple(_name)


class _NamedInput(Aggregator):
    """An aggregator over one named field."""

    fieldName = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().problems(data)
        if "fieldName" in data and data["fieldName"] is None:
            yield "fieldName", "Must have a valid, non-null fieldName"


class _FirstLast(_NamedInput):
    timeColumn = Text("__time")


class _StringFirstLast(_FirstLast):
    maxStringBytes = Whole(1024)


class _StringAny(_NamedInput):
    maxStringBytes = Whole(1024)
    aggregateMultipleValues = Flag(True)


for _kind in ("long", "double", "float", "string"):
    _text = _kind == "string"
    for _what in ("First", "Last"):
        aggregator_kinds.add(_kind + _what)(_StringFirstLast if _text else _FirstLast)
    aggregator_kinds.add(_kind + "Any")(_StringAny if _text else _NamedInput)


@aggregator_kinds.add("hyperUnique")
class HyperUnique(_NamedInput):
    """Approximate number of distinct values, in Druid's own HyperLogLog."""

    java = "org.apache.druid.query.aggregation.hyperloglog.HyperUniquesAggregatorFactory"

    isInputHyperUnique = Flag(False)
    round = Flag(False)


@aggregator_kinds.add("thetaSketch")
class ThetaSketch(_NamedInput):
    """A DataSketches theta sketch."""

    java = "org.apache.druid.query.aggregation.datasketches.theta.SketchMergeAggregatorFactory"
    omit_null = frozenset({"errorBoundsStdDev"})
    omit_when: ClassVar = {"shouldFinalize": True, "isInputThetaSketch": False}

    size = Whole(16384)
    shouldFinalize = Flag(True)
    isInputThetaSketch = Flag(False)
    errorBoundsStdDev = Whole()


@aggregator_kinds.add("HLLSketchBuild", "HLLSketchMerge")
class HllSketch(_NamedInput):
    """A DataSketches HLL sketch."""

    java = "org.apache.druid.query.aggregation.datasketches.hll.HllSketchAggregatorFactory"
    omit_when: ClassVar = {"stringEncoding": "utf16le", "shouldFinalize": True, "round": False}

    lgK = Whole(12)
    tgtHllType = Text("HLL_4")
    stringEncoding = Choice("org.apache.druid.java.util.common.StringEncoding", ("utf8", "utf16le"), "utf16le")
    shouldFinalize = Flag(True)
    round = Flag(False)


@aggregator_kinds.add("quantilesDoublesSketch")
class QuantilesDoublesSketch(_NamedInput):
    """A DataSketches quantiles sketch of doubles."""

    java = "org.apache.druid.query.aggregation.datasketches.quantiles.DoublesSketchAggregatorFactory"
    omit_when: ClassVar = {"shouldFinalize": True}

    k = Whole(128)
    maxStreamLength = Whole(1_000_000_000, long=True)
    shouldFinalize = Flag(True)


@aggregator_kinds.add("filtered")
class Filtered(Shape):
    """An aggregator that sees only some rows."""

    java = "org.apache.druid.query.aggregation.FilteredAggregatorFactory"

    aggregator = metric()
    filter = filter_field()
    name = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "aggregator" in data and data["aggregator"] is None:
            yield "aggregator", "delegate"
        if "filter" in data and data["filter"] is None:
            yield "filter", "filter"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return data | {"name": data["name"] or metric_name(data["aggregator"])}


@aggregator_kinds.add("histogram")
class Histogram(_NamedInput):
    """Counts between given breaks."""

    java = "org.apache.druid.query.aggregation.HistogramAggregatorFactory"

    breaks = ListOf(Real(), list)


@aggregator_kinds.add("cardinality")
class Cardinality(Aggregator):
    """Approximate number of distinct values of several columns."""

    java = "org.apache.druid.query.aggregation.cardinality.CardinalityAggregatorFactory"
    read_only = frozenset({"fieldNames"})

    fieldNames = ListOf(Text())
    fields_ = ListOf(DimensionToRead(), data_key="fields")
    byRow = Flag(False)
    round = Flag(False)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        yield from super().problems(data)
        if data.get("fieldNames", "") is None and data.get("fields_", "") is None:
            yield "fields", "Must provide 'fieldNames' if 'fields' is null."

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        given = data["fields_"]
        if given is None:
            given = [dimension_to_read("default", name) for name in data["fieldNames"]]
        return {"name": data["name"], "fields": given, "byRow": data["byRow"], "round": data["round"]}


class OtherAggregator(AnyShape):
    """An aggregator of Druid's that passes as it is."""

    java = AGGREGATOR


aggregator_kinds.add(
    "doubleMean", "expression", "grouping", "javascript", "sqlSumForce", "singleValue",
    "arrayOfDoublesSketch", "KllDoublesSketch", "KllFloatsSketch", "KllDoublesSketchMerge", "KllFloatsSketchMerge",
    "quantilesDoublesSketchMerge", "bloom", "variance", "varianceFold", "momentSketch", "momentSketchMerge",
    "tDigestSketch", "spectatorHistogram", "approxHistogram", "approxHistogramFold", "fixedBucketsHistogram",
    "longPairLast", "doublePairLast", "floatPairLast", "serializablePairLongString",
    "stringFirstFold", "stringLastFold",
)(OtherAggregator)  # fmt: skip


def metric_name(spec: Mapping[str, Any]) -> str | None:
    """Name of the column that a metric makes."""
    name = spec.get("name")
    inner = spec.get("aggregator")
    if name is None and isinstance(inner, Mapping):
        return metric_name(inner)
    return None if name is None else str(name)


def metric_inputs(spec: Mapping[str, Any]) -> set[str]:
    """Columns that a metric reads."""
    inputs = {str(spec[key]) for key in ("fieldName", "timeColumn") if isinstance(spec.get(key), str)}
    for several in ("fieldNames", "fields"):
        given = spec.get(several)
        for each in given or ():
            name = each.get("dimension") if isinstance(each, Mapping) else each
            if isinstance(name, str):
                inputs.add(name)
    if isinstance(spec.get("expression"), str):
        inputs |= identifiers(spec["expression"])
    if isinstance(spec.get("aggregator"), Mapping):
        inputs |= metric_inputs(spec["aggregator"]) | filter_inputs(spec.get("filter"))
    return inputs


def filter_inputs(spec: Any) -> set[str]:
    """Columns that a filter reads."""
    if isinstance(spec, list):
        return {name for inner in spec for name in filter_inputs(inner)}
    if not isinstance(spec, Mapping):
        return set()
    inputs = {spec[key] for key in ("dimension", "column") if isinstance(spec.get(key), str)}
    return inputs | filter_inputs(spec.get("fields")) | filter_inputs(spec.get("field"))


def identifiers(expression: str) -> set[str]:
    """Columns named in a Druid expression: identifiers that are no functions, and whatever is in double quotes."""
    return {quoted or bare for quoted, bare in _IDENTIFIER.findall(expression) if quoted or bare}
