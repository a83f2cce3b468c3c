"""Druid's system fields: columns that tell from which object a row comes. Discovery does not see them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import polars as pl

from workers.ingest.formats.base import InputFormat, RawChunk
from workers.ingest.sources import InputObject


def with_system_fields(
    form: InputFormat,
    given: Iterable[InputObject],
    fields: Collection[str],
    chunk_bytes: int,
    wanted: Collection[str] | None,
) -> Iterator[RawChunk]:
    """All rows of some objects, with a column more for each system field that is wanted."""
    told: list[Mapping[str, str]] = []

    def objects() -> Iterator[InputObject]:
        for item in given:
            told.append(item.system)
            yield item

    names = [name for name in fields if wanted is None or name in wanted]
    for chunk in form.read(objects(), chunk_bytes=chunk_bytes, wanted=wanted):
        batch = chunk.batch
        more = {}
        for name in names:
            values = pl.Series(name, [each.get(name) for each in told[: len(batch.files)]], dtype=pl.String)
            more[name] = values.gather(batch.file) if len(batch) else values.head(0)
        yield replace(chunk, batch=replace(batch, columns={**batch.columns, **more}))
