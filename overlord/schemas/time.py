"""When a row happened: timestampSpec and granularitySpec."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from overlord.model.interval import Interval
from overlord.registry import Registry
from overlord.schemas.base import (
    Flag,
    GranularityJson,
    InstantText,
    IntervalText,
    Kinds,
    ListOf,
    OtherwiseDefault,
    Problem,
    Shape,
    Text,
)

NAMED_FORMATS = ("iso", "auto", "posix", "millis", "micro", "nano", "ruby")
_JODA_LETTERS = frozenset("GCYxweEyDMdaKhHkmsSzZ")


class TimestampSpec(Shape):
    """Which column holds the time, and how it is written."""

    java = "org.apache.druid.data.input.impl.TimestampSpec"

    column = Text("timestamp")
    format = Text("auto")
    missingValue = InstantText()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        pattern = data.get("format", "auto")
        if pattern.lower() not in NAMED_FORMATS and not _joda_pattern(pattern):
            yield "format", f"Unable to parse timestamps with format [{pattern}]"


def _joda_pattern(pattern: str) -> bool:
    """Whether Joda would take the pattern: only letters that mean something, outside of quotes."""
    bare = re.sub(r"'[^']*'", "", pattern)
    return bool(pattern) and "'" not in bare and all(c in _JODA_LETTERS for c in bare if c.isascii() and c.isalpha())


granularity_specs: Kinds = Registry("granularity spec")


@granularity_specs.add("uniform")
class UniformGranularitySpec(Shape):
    """Time chunks of one granularity."""

    java = "org.apache.druid.indexer.granularity.UniformGranularitySpec"

    segmentGranularity = GranularityJson("DAY")
    queryGranularity = GranularityJson(lambda: {"type": "none"})
    rollup = Flag(True)
    intervals = ListOf(IntervalText(), list)


@granularity_specs.add("arbitrary")
class ArbitraryGranularitySpec(Shape):
    """Time chunks as they are given."""

    java = "org.apache.druid.indexer.granularity.ArbitraryGranularitySpec"

    intervals = ListOf(IntervalText(), list)
    rollup = Flag(True)
    queryGranularity = GranularityJson(lambda: {"type": "none"})

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        intervals = sorted({Interval.parse(text) for text in data.get("intervals", ())})
        for before, after in pairwise(intervals):
            if before.overlaps(after):
                yield "intervals", f"Overlapping intervals: {before}, {after}"
                return


GRANULARITY_SPEC = "org.apache.druid.indexer.granularity.GranularitySpec"


def granularity_spec() -> OtherwiseDefault:
    """A field for a granularitySpec; uniform if it does not say."""
    default = {"type": "uniform", "segmentGranularity": "DAY", "queryGranularity": {"type": "none"}}
    return OtherwiseDefault(
        granularity_specs,
        GRANULARITY_SPEC,
        lambda: default | {"rollup": True, "intervals": []},
        without_type="uniform",
    )
