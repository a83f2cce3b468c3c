"""What a batch ingestion would do, judged by its first rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from overlord.errors import TaskFailed
from overlord.model.granularity import Granularity
from overlord.model.interval import Interval, condense
from workers.ingest import Input
from workers.sampling.deadline import time_limit
from workers.sampling.index import TIME
from workers.sampling.sampler import Answer, chunks_of, reading_of
from workers.sampling.taking import Limits, Taking

EXAMPLES = 10
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".sz", ".z", ".zip")
_ROWS_PER_SEGMENT = 5_000_000

Chunks = list[tuple[Interval, int]]


def dry_run(spec: Mapping[str, Any], settings: Mapping[str, Any], *, rows: int, timeout_ms: int) -> dict[str, Any]:
    """Read the first rows and tell what they are, where they would go, and how much more there is.

    Raises
    ------
    TaskFailed
        The input cannot be read.
    """
    data_schema = spec["dataSchema"]
    for name in ("timestampSpec", "dimensionsSpec"):
        if data_schema.get(name) is None:
            raise TaskFailed(f"dataSchema has no {name}", where=f"spec.dataSchema.{name}")
    reading = reading_of(spec, settings)
    taking = Taking(reading.transform, Limits(rows=rows))
    with time_limit(timeout_ms / 1000):
        taking.run(chunks_of(reading))
    answer = Answer(data_schema, taking)
    chunks, outside = _time_chunks(data_schema.get("granularitySpec") or {}, taking)
    return {
        "sample": _sample(answer, taking, outside),
        "intervals": [{"interval": str(chunk), "rows": count} for chunk, count in chunks],
        "segments": _segments(spec.get("tuningConfig") or {}, taking, chunks, answer.stored, _total_bytes(reading)),
    }


def _sample(answer: Answer, taking: Taking, outside: int) -> dict[str, Any]:
    shown = answer.shown()
    bad = [row for row in shown["data"] if "error" in row]
    read = shown["numRowsRead"] + taking.filtered
    return {
        "complete": taking.complete,
        "bytesRead": taking.bytes,
        "rowsRead": read,
        "rowsIndexed": shown["numRowsIndexed"],
        "rowsWithErrors": answer.faulty,
        "rowsUnparseable": len(bad) - answer.faulty,
        "rowsFiltered": taking.filtered,
        "rowsOutsideIntervals": outside,
        "rowsAfterRollup": answer.stored,
        "badShare": round(len(bad) / read, 4) if read else 0.0,
        "badRows": [{name: row[name] for name in ("input", "error") if name in row} for row in bad[:EXAMPLES]],
        "columns": shown["logicalSegmentSchema"],
        "firstRows": [row["parsed"] for row in shown["data"] if "parsed" in row][:EXAMPLES],
    }


def _time_chunks(granularity: Mapping[str, Any], taking: Taking) -> tuple[Chunks, int]:
    """Time chunks that the rows lie in, with their numbers; and how many rows no interval wants."""
    if not taking.steps:
        return [], 0
    times = np.concatenate([step.columns[TIME].to_numpy() for step in taking.steps])
    given = condense([Interval.parse(text) for text in granularity.get("intervals") or ()])
    wanted = np.zeros(len(times), np.bool_) if given else np.ones(len(times), np.bool_)
    for interval in given:
        wanted |= (times >= interval.start) & (times < interval.end)
    if granularity.get("type") == "arbitrary":
        counts = [(each, int(((times >= each.start) & (times < each.end)).sum())) for each in given]
        return [(each, count) for each, count in counts if count], int((~wanted).sum())
    by = Granularity.parse(granularity.get("segmentGranularity") or "DAY")
    starts, counted = np.unique(by.bucket_starts(times[wanted]), return_counts=True)
    chunks = [(by.bucket(int(start)), int(count)) for start, count in zip(starts, counted, strict=True)]
    return chunks, int((~wanted).sum())


def _total_bytes(reading: Input) -> int | None:
    """Bytes of the whole input; None if nobody knows, or they are compressed."""
    total = 0
    for item in reading.source.objects():
        if item.size is None or item.name.lower().endswith(_COMPRESSED):
            return None
        total += item.size
    return total


def _segments(
    tuning: Mapping[str, Any], taking: Taking, chunks: Chunks, stored: int, total_bytes: int | None
) -> dict[str, Any]:
    """How many segments and rows to expect; None where the sample cannot tell."""
    rows = sum(count for _, count in chunks)
    scale = 1.0 if taking.complete else total_bytes / taking.bytes if total_bytes and taking.bytes else None
    rollup = stored / taking.typed if taking.typed else 1.0
    expected = None if scale is None else round(rows * max(1.0, scale) * rollup)
    return {
        "exact": taking.complete,
        "timeChunks": len(chunks),
        "bytes": total_bytes,
        "rows": expected,
        "segments": None if expected is None else _number(tuning, chunks, expected, rows),
    }


def _number(tuning: Mapping[str, Any], chunks: Chunks, expected: int, rows: int) -> int:
    """Segments if all rows are spread over the time chunks as those of the sample are."""
    spec = tuning.get("partitionsSpec") or {}
    if spec.get("numShards"):
        return len(chunks) * int(spec["numShards"])
    most = spec.get("targetRowsPerSegment") or spec.get("maxRowsPerSegment") or tuning.get("maxRowsPerSegment")
    each = _ROWS_PER_SEGMENT if not most or most < 0 else int(most)
    return sum(max(1, math.ceil(count / rows * expected / each)) for _, count in chunks)
