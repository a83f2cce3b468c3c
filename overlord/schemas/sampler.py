"""The body of `POST sampler`."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from overlord.errors import BadRequest
from overlord.registry import Registry
from overlord.schemas.base import (
    Inside,
    Kinds,
    Lenient,
    Poly,
    Problem,
    Shape,
    Whole,
    fault,
    no_creator,
    shape,
    token,
    unknown_type,
)
from overlord.schemas.faults import SpecRefused, refused
from overlord.schemas.ingestion import IndexIo, IndexSpecShape
from overlord.schemas.kafka import KafkaShape
from overlord.schemas.supervisors import supervisor_kinds

sampler_kinds: Kinds = Registry("sampler")
SAMPLER = "org.apache.druid.client.indexing.SamplerSpec"
MOST_ROWS = 5000
_SAMPLER = "org.apache.druid.indexing.overlord.sampler."
_HUMAN = "org.apache.druid.java.util.common.HumanReadableBytes"
_BYTES = re.compile(r"\s*([0-9]+)\s*(?:([kmgtp])(i?)b?)?\s*", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class Bytes(Lenient):
    """A number of bytes, or a text such as `10MiB`."""

    def read(self, value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if not isinstance(value, str):
            raise fault(no_creator(_HUMAN, value))
        match = _BYTES.fullmatch(value)
        if match is None:
            raise fault(f"Cannot construct instance of `{_HUMAN}`, problem: Invalid format of number: {value}")
        base = 1024 if match[3] else 1000
        return int(match[1]) * (base ** _POWERS[match[2].lower()] if match[2] else 1)


class _Integer(Whole):
    def read(self, value: Any) -> int | None:
        if isinstance(value, bool):
            raise fault(f"Cannot deserialize value of type `java.lang.Integer` from {token(value)}")
        return super().read(value)


class SamplerConfig(Shape):
    """How much to read, and how much to answer."""

    java = _SAMPLER + "SamplerConfig"

    numRows = _Integer(200)
    timeoutMs = _Integer(10_000)
    maxBytesInMemory = Bytes(2**63 - 1)
    maxClientResponseBytes = Bytes(0)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("numRows", 0) > MOST_ROWS:
            yield "numRows", f"numRows must be <= {MOST_ROWS}"


io_kinds: Kinds = Registry("io config of a sampler")


@io_kinds.add("index")
class SamplerIo(IndexIo):
    """That of an index task; the sampler looks for the source by itself."""

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        return (problem for problem in super().problems(data) if problem[0] != "inputSource")


class SampledSpec(IndexSpecShape):
    """What an index task would be given."""

    ioConfig = Poly(io_kinds, IndexIo.java, named="ioConfig")


@sampler_kinds.add("index")
class IndexSampler(Shape):
    """Samples what an index task would read."""

    java = _SAMPLER + "IndexTaskSamplerSpec"

    spec = Inside(SampledSpec)
    samplerConfig = Inside(SamplerConfig)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "spec" not in data:
            return
        if data["spec"] is None:
            yield "spec", "[spec] is required"
        elif (data["spec"].get("ioConfig") or {}).get("inputSource", "") is None:
            yield "spec", "[spec.ioConfig.inputSource] is required"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return data | {"samplerConfig": data["samplerConfig"] or shape(SamplerConfig).load({})}


@sampler_kinds.add("kafka")
class KafkaSampler(Shape):
    """Samples what the tasks of a kafka supervisor would read."""

    java = "org.apache.druid.indexing.kafka.KafkaSamplerSpec"

    spec = Poly(supervisor_kinds, KafkaShape.java, only=("kafka",), named="spec")
    samplerConfig = Inside(SamplerConfig)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "spec" in data and data["spec"] is None:
            yield "spec", "[spec] is required"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        given = data["spec"]
        parts = given["spec_"] or given
        spec = {name: parts[name] for name in ("dataSchema", "ioConfig")}
        return {"spec": spec, "samplerConfig": data["samplerConfig"] or shape(SamplerConfig).load({})}


def load_sampler(body: Any) -> dict[str, Any]:
    """Read a sampler spec; gives type, spec and samplerConfig with every default.

    Raises
    ------
    BadRequest
        In Druid's words; `where` is the path of the field at fault.
    """
    if isinstance(body, list):
        raise BadRequest(
            "Unexpected token (END_ARRAY), expected VALUE_STRING: need JSON String that contains type id "
            f"(for subtype of {SAMPLER})"
        )
    if not isinstance(body, Mapping) or "type" not in body:
        raise BadRequest(
            f"Could not resolve subtype of [simple type, class {SAMPLER}]: missing type id property 'type'",
            where="type",
        )
    kind = body["type"]
    if not isinstance(kind, str) or kind not in sampler_kinds:
        raise SpecRefused([("type", unknown_type(kind, SAMPLER, sampler_kinds.names()))])
    try:
        loaded = shape(sampler_kinds[kind]).load({name: value for name, value in body.items() if name != "type"})
    except ValidationError as error:
        raise refused(error.messages, body) from None
    return {"type": kind, **loaded}
