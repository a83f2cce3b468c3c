"""From a spec to Druid's answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from overlord.errors import TaskFailed
from overlord.model.instant import format_instant
from workers.ingest import Input, see_all_fields
from workers.ingest.formats import RawChunk
from workers.ingest.java import text_of
from workers.ingest.sources import RowSource
from workers.ingest.transform import Examined, Transform
from workers.sampling.deadline import time_limit
from workers.sampling.index import TIME, Index
from workers.sampling.kafka import Topic
from workers.sampling.schema import Dimensions, plain_schema
from workers.sampling.taking import Limits, Taken, Taking
from workers.sampling.values import wire

CHUNK_BYTES = 256 << 10


def sample(
    spec: Mapping[str, Any], config: Mapping[str, Any], settings: Mapping[str, Any], *, kind: str = "index"
) -> dict[str, Any]:
    """Sample an input.

    Parameters
    ----------
    spec : mapping
        dataSchema and ioConfig, with every default.
    config : mapping
        samplerConfig, with every default.
    kind : str
        "index" or "kafka": what ioConfig is that of.

    Raises
    ------
    TaskFailed
        The input cannot be read.
    """
    if config["numRows"] <= 0:
        raise TaskFailed(f"Invalid max row count: {config['numRows']}")
    data_schema = spec["dataSchema"]
    if data_schema.get("timestampSpec") is None or data_schema.get("dimensionsSpec") is None:
        raise TaskFailed("inputRowParser")
    limits = Limits(rows=config["numRows"], memory_bytes=config["maxBytesInMemory"])
    if kind == "kafka":
        topic = Topic(spec, config["timeoutMs"] / 1000)
        taking = Taking(Transform(plain_schema(data_schema)), limits, lines=False)
        chunks = topic.chunks(nested=bool(data_schema["dimensionsSpec"].get("useSchemaDiscovery")))
    else:
        reading = reading_of(spec, settings)
        taking = Taking(reading.transform, limits)
        chunks = chunks_of(reading)
    with time_limit(config["timeoutMs"] / 1000):
        taking.run(chunks)
    return Answer(data_schema, taking).shown(config["maxClientResponseBytes"])


def reading_of(spec: Mapping[str, Any], settings: Mapping[str, Any]) -> Input:
    """The input of a spec, read so that all its fields are seen."""
    data_schema = spec["dataSchema"]
    reading = Input({**spec, "dataSchema": plain_schema(data_schema)}, settings)
    if data_schema["dimensionsSpec"].get("useSchemaDiscovery") and reading.format is not None:
        see_all_fields(reading.format)
    return reading


def chunks_of(reading: Input) -> Iterator[RawChunk]:
    """Its rows as they come.

    Raises
    ------
    TaskFailed
        Only a task can read it.
    """
    if isinstance(reading.source, RowSource) and not reading.source.needs_task:
        return reading.source.rows(chunk_bytes=CHUNK_BYTES)
    if reading.format is None:
        raise TaskFailed(
            "Rows of this input source cannot be sampled: reading them takes a task",
            where="spec.ioConfig.inputSource.type",
        )
    return reading.format.read(reading.source.objects(), chunk_bytes=CHUNK_BYTES)


class Answer:
    """What is told of the rows that were taken."""

    def __init__(self, data_schema: Mapping[str, Any], taking: Taking) -> None:
        self._taken = taking.taken
        self._dimensions = Dimensions(data_schema.get("dimensionsSpec") or {}, taking.transform.dimensions)
        self._listed = bool((data_schema.get("dimensionsSpec") or {}).get("dimensions"))
        self._index = Index(data_schema, self._dimensions.names, self._dimensions.as_is, self._dimensions.casts)
        self._faults: dict[int, str] = {}
        typed = 0
        for step in taking.steps:
            self._index.add(step)
            for place, messages in step.faults.items():
                self._faults[typed + place] = self._unparseable(step, place, messages)
            typed += len(step.kept)

    @property
    def faulty(self) -> int:
        """Rows that are stored, but for a value."""
        return len(self._faults)

    @property
    def stored(self) -> int:
        """Rows after rollup."""
        return sum(row is not None for row in self._index.parsed())

    def shown(self, most_bytes: int = 0) -> dict[str, Any]:
        """The answer; rows after the one with which it passes `most_bytes` are left out (0: none are)."""
        parsed = self._index.parsed()
        rows = [self._row(each, parsed) for each in self._taken]
        read = len(rows)
        indexed = sum(each.place is not None and each.place not in self._faults for each in self._taken)
        if most_bytes > 0 and (cut := _cut(rows, most_bytes)) is not None:
            rows, read = rows[:cut], cut
            indexed = sum("input" in row for row in rows)
        return {
            "numRowsRead": read,
            "numRowsIndexed": indexed,
            **self._dimensions.describe(self._index),
            "data": [row for row in rows if "parsed" in row or "unparseable" in row],
        }

    def _row(self, taken: Taken, parsed: list[dict[str, Any] | None]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        if taken.input is not None:
            row["input"] = wire(taken.input)
        error = taken.error
        if taken.place is not None:
            if (shown := parsed[taken.place]) is not None:
                row["parsed"] = shown
            error = self._faults.get(taken.place)
        if error is not None:
            row |= {"unparseable": True, "error": error}
        return row

    def _unparseable(self, step: Examined, place: int, messages: list[str]) -> str:
        """Druid's text for a row with values that do not fit their columns."""
        row = int(step.kept[place])
        event = step.raw.rows.event(row)
        names = self._dimensions.names if self._listed else [n for n in self._dimensions.names if n in event]
        at = format_instant(int(step.columns[TIME][place]))
        shown = f"timestamp={at}, event={text_of(event)}, dimensions=[{', '.join(names)}]"
        return (
            f"Found unparseable columns in row: [SamplerInputRow{{row={{{shown}}}}}], "
            f"exceptions: [{','.join(messages)}]"
        )


def _cut(rows: list[dict[str, Any]], most_bytes: int) -> int | None:
    """Number of rows with which the answer passes a size."""
    total = 0
    for number, row in enumerate(rows, start=1):
        total += len(orjson.dumps(row))
        if total > most_bytes:
            return number
    return None
