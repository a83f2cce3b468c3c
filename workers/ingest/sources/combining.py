"""Several sources, read one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from overlord.errors import TaskFailed
from workers.ingest.sources.base import InputObject, InputSource, RowSource, SplitHint, input_sources


@input_sources.add("combining")
class CombiningSource(InputSource):
    """`{"type": "combining", "delegates": [source, ...]}`.

    All delegates share the task's inputFormat, so sources that give rows themselves (druid, sql) cannot be among them.
    """

    splittable = True

    def __init__(self, delegates: list[InputSource]) -> None:
        self.delegates = delegates

    @classmethod
    def from_json(cls, json: Mapping[str, Any], settings: Mapping[str, Any]) -> CombiningSource:
        given = json.get("delegates")
        if not isinstance(given, list) or not given:
            raise TaskFailed("inputSource.delegates must be a list of input sources")
        source = cls([_delegate(each, number, settings) for number, each in enumerate(given)])
        source.system_fields = tuple(dict.fromkeys(chain.from_iterable(d.system_fields for d in source.delegates)))
        return source

    def objects(self) -> Iterator[InputObject]:
        for delegate in self.delegates:
            yield from delegate.objects()

    def splits(self, hint: SplitHint) -> Iterator[dict[str, Any]]:
        for delegate in self.delegates:
            yield from delegate.splits(hint)


def _delegate(json: Any, number: int, settings: Mapping[str, Any]) -> InputSource:
    where = f"spec.ioConfig.inputSource.delegates[{number}]"
    kind = json.get("type") if isinstance(json, Mapping) else None
    if not isinstance(kind, str) or kind not in input_sources:
        raise TaskFailed(f"Unknown input source {kind!r}. Known: {', '.join(input_sources.names())}", where=where)
    source = input_sources[kind].from_json(json, settings)
    if isinstance(source, RowSource):
        raise TaskFailed(
            f"An input source of type {kind} gives rows, not bytes: it cannot be combined with others", where=where
        )
    return source
