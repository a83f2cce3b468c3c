"""Rows written into the spec itself."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from overlord.errors import TaskFailed
from workers.ingest.sources.base import InputObject, InputSource, SplitHint, input_sources


@input_sources.add("inline")
class InlineSource(InputSource):
    """`{"type": "inline", "data": text}`; never split."""

    def __init__(self, data: str) -> None:
        self.data = data

    @classmethod
    def from_json(cls, json: Mapping[str, Any], settings: Mapping[str, Any]) -> InlineSource:
        data = json.get("data")
        if not isinstance(data, str) or not data:
            raise TaskFailed("inputSource.data of an inline source must be a text that is not empty")
        return cls(data)

    def objects(self) -> Iterator[InputObject]:
        data = self.data.encode("utf-8", "replace")
        yield InputObject(name="inline", size=len(data), open=lambda: io.BytesIO(data))

    def splits(self, hint: SplitHint) -> Iterator[dict[str, Any]]:
        yield {"type": "inline", "data": self.data}
