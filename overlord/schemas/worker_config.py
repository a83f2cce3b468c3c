"""The shape of a configuration of workers: what Druid refuses of it, in its words."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from overlord.model.worker_config import WITH_CATEGORY
from overlord.schemas.base import (
    Flag,
    Inside,
    Lenient,
    ListOf,
    Problem,
    Raw,
    Real,
    Shape,
    Text,
    Whole,
    fault,
    load,
    no_creator,
    token,
)
from overlord.schemas.faults import refused

_SETUP = "org.apache.druid.indexing.overlord.setup."


class _MapOf(Lenient):
    """An object with values that each fit one field."""

    def __init__(self, item: Lenient, java: str) -> None:
        super().__init__(None)
        self.item = item
        self.java = f"java.util.LinkedHashMap<java.lang.String,{java}>"

    def read(self, value: Any) -> dict[str, Any]:
        if isinstance(value, list):
            raise fault(f"Cannot deserialize value of type `{self.java}` from {token(value)}")
        if not isinstance(value, Mapping):
            raise fault(no_creator("java.util.LinkedHashMap", value))
        return {name: self.item.deserialize(each) for name, each in value.items()}


class _SetOf(ListOf):
    def read(self, value: Any) -> list[Any]:
        if isinstance(value, list):
            return super().read(value)
        if isinstance(value, Mapping):
            raise fault(f"Cannot deserialize value of type `java.util.HashSet<java.lang.String>` from {token(value)}")
        raise fault(no_creator("java.util.HashSet", value))


class _TaskLimits(Shape):
    java = f"{_SETUP}TaskLimits"

    maxSlotCountByType = _MapOf(Whole(), "java.lang.Integer")
    maxSlotRatioByType = _MapOf(Real(), "java.lang.Double")

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        counts = data.get("maxSlotCountByType") or {}
        if any(each is not None and each < 0 for each in counts.values()):
            shown = ", ".join(f"{name}={each}" for name, each in counts.items())
            text = f"Max task slot count limit for any type must be greater than zero. Found[{{{shown}}}]."
            yield "maxSlotCountByType", text
        ratios = data.get("maxSlotRatioByType") or {}
        if any(each is not None and not 0 <= each <= 1 for each in ratios.values()):
            yield "maxSlotRatioByType", "Max task slot ratios should be in the interval of [0, 1]. Found[null]."


class _Affinity(Shape):
    java = f"{_SETUP}AffinityConfig"

    affinity = _MapOf(_SetOf(Text()), "java.util.Set<java.lang.String>")
    strong = Flag(False)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("affinity", {}) is None:
            yield "affinity", 'Cannot invoke "java.util.Map.values()" because "affinity" is null'


class _Category(Shape):
    java = f"{_SETUP}WorkerCategorySpec$CategoryConfig"

    defaultCategory = Text()
    categoryAffinity = _MapOf(Text(), "java.lang.String")


class _Categories(Shape):
    java = f"{_SETUP}WorkerCategorySpec"

    categoryMap = _MapOf(Inside(_Category), _Category.java)
    strong = Flag(False)


class _Strategy(Shape):
    java = f"{_SETUP}EqualDistributionWorkerSelectStrategy"

    affinityConfig = Inside(_Affinity)
    taskLimits = Inside(_TaskLimits)


class _CategoryStrategy(Shape):
    java = f"{_SETUP}EqualDistributionWithCategorySpecWorkerSelectStrategy"

    workerCategorySpec = Inside(_Categories)
    taskLimits = Inside(_TaskLimits)


class _AnyStrategy(Lenient):
    """The shape follows from the type; an unknown one is Druid's default."""

    def read(self, value: Any) -> dict[str, Any]:
        kind = value.get("type") if isinstance(value, Mapping) else None
        return load(_CategoryStrategy if kind in WITH_CATEGORY else _Strategy, value)


class _AutoScaler(Shape):
    java = "org.apache.druid.indexing.overlord.autoscaling.NoopAutoScaler"


class _Config(Shape):
    java = f"{_SETUP}DefaultWorkerBehaviorConfig"

    selectStrategy = _AnyStrategy()
    autoScaler = Inside(_AutoScaler)
    type = Raw()


def check_worker_config(body: Any) -> Mapping[str, Any]:
    """The body, when it can be read as a configuration of workers.

    Raises
    ------
    BadRequest
        In Druid's words.
    """
    if isinstance(body, Mapping) and body.get("type", "default") != "default":
        return body  # Druid falls back to its default, whatever else stands there
    try:
        load(_Config, body)
    except ValidationError as error:
        raise refused(error.messages, body) from None
    assert isinstance(body, Mapping)
    return body
