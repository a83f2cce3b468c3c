"""Input sources: where rows come from."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from overlord.registry import Registry
from overlord.schemas.base import (
    Inside,
    IntervalText,
    Kinds,
    ListOf,
    Object,
    Poly,
    Problem,
    Raw,
    Shape,
    Text,
    fault,
    token,
)
from overlord.schemas.filters import filter_field

input_source_kinds: Kinds = Registry("input source")
INPUT_SOURCE = "org.apache.druid.data.input.InputSource"
_IMPL = "org.apache.druid.data.input.impl."
SYSTEM_FIELDS = ("__file_uri", "__file_bucket", "__file_path")
WITHOUT_FORMAT = frozenset({"druid", "sql"})
"""Sources whose rows need no inputFormat."""


def input_source() -> Poly:
    """A field for an inputSource."""
    return Poly(input_source_kinds, INPUT_SOURCE, named="inputSource")


def one_of(given: Mapping[str, Any], *, most: int | None = None) -> str | None:
    """Druid's text if none of the properties is given, or more than one; None if all is well."""
    present = [name for name, value in given.items() if value not in (None, [], "")]
    names = ", ".join(given)
    if not present:
        return f"At least one of properties[[{names}]] must be present"
    if len(present) > 1:
        return f"At most one of properties[[{names}]] must be present"
    return None


_ILLEGAL = re.compile(r"[^!#$&-;=?@A-Za-z_~%\u00a0-\U0010ffff]|%(?![0-9A-Fa-f]{2})")

_ADDRESS = re.compile(r"(?<=://)\[[0-9A-Fa-f:.]+\]")


class Uri(Text):
    """A URI, as Java reads it."""

    def read(self, value: Any) -> str:
        uri = super().read(value)
        if wrong := _ILLEGAL.search(_ADDRESS.sub(lambda host: "h" * len(host[0]), uri)):
            part = "query" if "?" in uri[: wrong.start()] else "path"
            raise fault(
                f'Cannot deserialize value of type `java.net.URI` from String "{uri}": not a valid textual '
                f"representation, problem: Illegal character in {part} at index {wrong.start()}: {uri}"
            )
        return uri


class SystemField(Text):
    """A field that tells of the file that a row lies in."""

    def read(self, value: Any) -> str:
        name = super().read(value)
        if name not in SYSTEM_FIELDS:
            java = "org.apache.druid.data.input.impl.systemfield.SystemField"
            raise fault(f"Cannot construct instance of `{java}`, problem: No such system field[{name}]")
        return name


@input_source_kinds.add("inline")
class InlineSource(Shape):
    """Rows in the spec itself."""

    java = _IMPL + "InlineInputSource"

    data = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "data" in data and not data["data"]:
            yield "data", "empty data"


@input_source_kinds.add("local")
class LocalSource(Shape):
    """Files on the worker's disk."""

    java = _IMPL + "LocalInputSource"
    omit_null = frozenset({"baseDir", "filter"})
    omit_empty = frozenset({"files", "systemFields"})

    baseDir = Text()
    filter = Text()
    files = ListOf(Text(), list)
    systemFields = ListOf(SystemField(), list)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if {"baseDir", "files"} <= data.keys():
            if not data["baseDir"] and not data["files"]:
                yield None, "At least one of baseDir or files should be specified"
            elif data["baseDir"] and data.get("filter", "") is None:
                yield "filter", "filter"


class Password(Raw):
    """A password in plain text, or a provider of one."""

    def read(self, value: Any) -> Any:
        if isinstance(value, str):
            return {"type": "default", "password": value}
        if not isinstance(value, Mapping):
            raise fault(
                f"Cannot construct instance of `org.apache.druid.metadata.PasswordProvider` from {token(value)}"
            )
        return dict(value)


@input_source_kinds.add("http")
class HttpSource(Shape):
    """Objects that are fetched by URL."""

    java = _IMPL + "HttpInputSource"
    omit_null = frozenset({"httpAuthenticationUsername", "httpAuthenticationPassword"})
    omit_empty = frozenset({"systemFields"})

    uris = ListOf(Uri(), list)
    httpAuthenticationUsername = Text()
    httpAuthenticationPassword = Password()
    requestHeaders = Object(dict)
    systemFields = ListOf(SystemField(), list)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "uris" not in data:
            return
        if not data["uris"]:
            yield "uris", "Empty URIs"
        elif any(urlsplit(uri).scheme.lower() not in ("http", "https") for uri in data["uris"]):
            yield "uris", "Only [http, https] protocols are allowed"


@input_source_kinds.add("combining")
class CombiningSource(Shape):
    """Several sources, one after the other."""

    java = _IMPL + "CombiningInputSource"

    delegates = ListOf(Poly(input_source_kinds, INPUT_SOURCE), list)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("delegates") == []:
            yield "delegates", "Must specify at least one delegate inputSource"
        for each in data.get("delegates") or ():
            if each and each["type"] in WITHOUT_FORMAT:
                yield "delegates", f"A source of type {each['type']} gives rows, not bytes: it cannot be combined"
                return


class WindowedSegment(Shape):
    """A segment, and the stretches of time in which its rows are wanted."""

    java = "org.apache.druid.indexing.input.WindowedSegmentId"

    segmentId = Text()
    intervals = ListOf(IntervalText())

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        for name in ("segmentId", "intervals"):
            if name in data and data[name] is None:
                yield name, f"null {name}"


@input_source_kinds.add("druid")
class DruidSource(Shape):
    """Segments of a datasource."""

    java = "org.apache.druid.indexing.input.DruidInputSource"
    omit_null = frozenset({"interval", "segments", "filter", "dimensions", "metrics"})

    dataSource = Text()
    interval = IntervalText()
    segments = ListOf(Inside(WindowedSegment))
    filter = filter_field()
    dimensions = ListOf(Text())
    metrics = ListOf(Text())

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "dataSource" in data and data["dataSource"] is None:
            yield "dataSource", "dataSource"
        if {"interval", "segments"} <= data.keys() and (data["interval"] is None) == (data["segments"] is None):
            yield None, "Specify exactly one of 'interval' and 'segments'"
