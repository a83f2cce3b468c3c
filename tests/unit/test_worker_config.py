"""What is refused of a configuration of workers, and in which words; each was asked of a stock Overlord."""

# ruff: noqa: E501  texts of Druid stand in one piece

from __future__ import annotations

import pytest

from overlord.errors import BadRequest
from overlord.schemas.worker_config import check_worker_config

SETUP = "org.apache.druid.indexing.overlord.setup."


def strategy(kind="equalDistribution", **fields):
    return {"selectStrategy": {"type": kind, **fields}}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "x", "selectStrategy": 5},  # an unknown type is Druid's default, without a look at the rest
        {"selectStrategy": {}},
        strategy("nope"),
        strategy(taskLimits={"maxSlotCountByType": {"index": 0}, "maxSlotRatioByType": {"index": 1}}),
        strategy("fillCapacityWithAffinity", affinityConfig={"affinity": {"a": ["h:1"]}, "strong": "true"}),
        strategy("fillCapacityWithCategorySpec", workerCategorySpec={"categoryMap": {"index": {}}}),
    ],
)
def test_good_ones_pass_as_they_are(body):
    assert check_worker_config(body) == body


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "x",
            f"Cannot construct instance of `{SETUP}DefaultWorkerBehaviorConfig` (although at least one Creator exists): "
            "no String-argument constructor/factory method to deserialize from String value ('x')",
        ),
        (
            {"selectStrategy": []},
            f"Cannot deserialize value of type `{SETUP}EqualDistributionWorkerSelectStrategy` from Array value "
            "(token `JsonToken.START_ARRAY`)",
        ),
        (
            strategy(taskLimits={"maxSlotCountByType": {"index": -1}}),
            f"Cannot construct instance of `{SETUP}TaskLimits`, problem: Max task slot count limit for any type must be "
            "greater than zero. Found[{index=-1}].",
        ),
        (
            strategy(taskLimits={"maxSlotRatioByType": {"index": 2}}),
            f"Cannot construct instance of `{SETUP}TaskLimits`, problem: Max task slot ratios should be in the interval "
            "of [0, 1]. Found[null].",
        ),
        (
            strategy("fillCapacityWithAffinity", affinityConfig={"affinity": []}),
            "Cannot deserialize value of type `java.util.LinkedHashMap<java.lang.String,"
            "java.util.Set<java.lang.String>>` from Array value (token `JsonToken.START_ARRAY`)",
        ),
        (
            strategy(affinityConfig={"affinity": {"a": "h:1"}}),
            "Cannot construct instance of `java.util.HashSet` (although at least one Creator exists): no "
            "String-argument constructor/factory method to deserialize from String value ('h:1')",
        ),
        (
            strategy(affinityConfig={}),
            f"Cannot construct instance of `{SETUP}AffinityConfig`, problem: "
            'Cannot invoke "java.util.Map.values()" because "affinity" is null',
        ),
        (
            strategy("equalDistributionWithCategorySpec", workerCategorySpec={"categoryMap": {"a": "x"}}),
            f"Cannot construct instance of `{SETUP}WorkerCategorySpec$CategoryConfig` (although at least one Creator "
            "exists): no String-argument constructor/factory method to deserialize from String value ('x')",
        ),
    ],
)
def test_bad_ones_are_refused_in_druids_words(body, text):
    with pytest.raises(BadRequest) as refused:
        check_worker_config(body)
    assert refused.value.message == text
