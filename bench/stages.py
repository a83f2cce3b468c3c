#!/usr/bin/env python3
"""Where an ingestion's CPU time goes, stage by stage, beside what the library underneath takes for the same alone.

    stages.py FILE [--no-rollup] [--memory BYTES] [--lz4-level N] [--repeat N]

FILE is one that `bench.py ingest` made. Of several runs the least of each stage counts: what others do on the machine
only ever adds. The work is done in this process without threads of ours, so that CPU seconds
can be told apart; polars keeps its own.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lz4.block
import msgspec
import numpy as np
import polars as pl
from pyroaring import BitMap

from bench import DAY_OF_ROWS, TEXTS, rows_schema, spec
from overlord.model.granularity import Granularity
from overlord.model.interval import Interval
from workers import ingest
from workers.ingest import Input, building, chunk_bytes_for
from workers.ingest.building import builder, emit, merge
from workers.ingest.formats import delimited, json, table
from workers.ingest.partition import partitioning
from workers.ingest.sources import ahead
from workers.ingest.transform import Transform
from workers.segment import roaring, write_columns, writer

spent: Counter[str] = Counter()
_inside: list[list[float]] = []


def measured(stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its CPU time booked on `stage`; what stages within it take is not its own."""

    def run(*args: Any, **kwargs: Any) -> Any:
        begun = time.process_time()
        _inside.append([0.0])
        try:
            return work(*args, **kwargs)
        finally:
            whole = time.process_time() - begun
            (within,) = _inside.pop()
            spent[stage] += whole - within
            if _inside:
                _inside[-1][0] += whole

    return run


def drawn(stage: str, items: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The same for an iterator."""

    def run(*args: Any, **kwargs: Any) -> Iterator[Any]:
        step = measured(stage, lambda iterator: next(iterator, None))
        iterator = items(*args, **kwargs)
        while (item := step(iterator)) is not None:
            yield item

    return run


STAGES: list[tuple[Any, str, str]] = [
    (ahead, "_fill", "read"),
    (delimited.DelimitedReader, "parse", "parse"),
    (json.JsonReader, "parse", "parse"),
    (Transform, "apply", "transform"),
    (builder, "encode", "dictionary"),
    (builder, "stack", "dictionary"),
    (builder, "sort", "sort and roll up"),
    (builder, "roll_up", "sort and roll up"),
    (builder, "spill", "spill and merge"),
    (builder, "merge_runs", "spill and merge"),
    (merge, "sort", "sort and roll up"),
    (merge, "roll_up", "sort and roll up"),
    (write_columns, "write_dictionary", "dictionary"),
    (write_columns, "write_index", "bitmaps"),
    (roaring, "group_rows", "bitmaps"),
    (write_columns, "_write_blocks", "ids and numbers"),
]


def instrument() -> None:
    for owner, name, stage in STAGES:
        setattr(owner, name, measured(stage, getattr(owner, name)))
    table.TableFormat._chunks = drawn("parse", table.TableFormat._chunks)  # type: ignore[method-assign]
    for module in (ahead, ingest, table):
        module.ahead = lambda items: (item for item in items)  # type: ignore[attr-defined]
    emit.MOST_THREADS = 1
    builder.MANY_ROWS = sys.maxsize
    write_columns_codec = writer._codec

    def codec(name: str, level: int) -> write_columns.Codec:
        made = write_columns_codec(name, level)
        quick = made.quick and measured("compress", made.quick)
        return write_columns.Codec(id=made.id, compress=measured("compress", made.compress), quick=quick)

    writer._codec = codec


def run(path: Path, *, rollup: bool, memory: int, lz4_level: int, scratch: Path) -> int:
    granularity = {
        "segmentGranularity": "DAY",
        "queryGranularity": "HOUR" if rollup else "NONE",
        "rollup": rollup,
        "intervals": [DAY_OF_ROWS],
    }
    task = spec(rows_schema("stages"), path, TEXTS[path.suffix[1:]], granularity)["spec"]
    made = building.SegmentBuilder(
        building.BuildSchema.from_spec(task, {}, {"ovl.segment.lz4Level": lz4_level}),
        building.Buckets(Granularity.parse("DAY"), [Interval.parse(DAY_OF_ROWS)]),
        partitioning({}),
        scratch=scratch,
        limits=building.Limits.of({}, memory),
    )
    for chunk in Input(task, {}).read(chunk_bytes_for(memory)):
        made.add(chunk.batch)
    return sum(segment.size for segment in made.finish())


def alone(path: Path, *, rollup: bool, scratch: Path) -> dict[str, float]:
    """CPU seconds of the libraries for about the same work, each once over all rows."""
    out: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        begun = time.process_time()
        made = work()
        out[stage] = out.get(stage, 0.0) + time.process_time() - begun
        return made

    data = timed("read", path.read_bytes)
    if path.suffix == ".json":
        row = msgspec.defstruct("Row", [(n, Any, None) for n in ("ts", "d0", "d1", "d2", "d3", "d4", "m0", "m1", "m2")])
        decode = msgspec.json.Decoder(row).decode
        timed("parse (msgspec, rows only)", lambda: sum(decode(line) is None for line in data.splitlines()))
        frame = timed("parse (polars, read_ndjson)", lambda: pl.read_ndjson(data))
    elif path.suffix == ".csv":
        frame = timed("parse (polars, read_csv)", lambda: pl.read_csv(data))
    else:
        frame = timed("parse (polars, read_parquet)", lambda: pl.read_parquet(path))
    times = timed("transform (polars, to_datetime)", lambda: frame["ts"].str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    names = ["d0", "d1", "d2", "d3", "d4"]
    coded = timed("dictionary (polars, Categorical)", lambda: frame.select(pl.col(names).cast(pl.Categorical)))
    whole = coded.with_columns(frame.select("m0", "m1", "m2")).with_columns(
        times.dt.truncate("1h") if rollup else times
    )
    keys = ["ts", *names]
    if rollup:
        sums = [pl.len().alias("count"), pl.sum("m0"), pl.max("m1"), pl.sum("m2")]
        timed("sort and roll up (polars, group_by and sort)", lambda: whole.group_by(keys).agg(sums).sort(keys))
    else:
        timed("sort and roll up (polars, sort)", lambda: whole.sort(keys))
    ids = [coded[name].to_physical().to_numpy() for name in names]
    blocks = [np.ascontiguousarray(column).tobytes() for column in (*ids, *(frame[m].to_numpy() for m in ("m0", "m2")))]
    packed = timed(
        "compress (lz4)",
        lambda: [lz4.block.compress(b[i : i + 65536]) for b in blocks for i in range(0, len(b), 65536)],
    )
    order = [np.argsort(column, kind="stable").astype(np.uint32) for column in ids]
    cuts = [np.cumsum(np.bincount(column)) for column in ids]
    timed(
        "bitmaps (pyroaring, rows sorted already)",
        lambda: [BitMap(p).serialize() for o, c in zip(order, cuts, strict=True) for p in np.split(o, c)],
    )
    timed("write (file)", lambda: (scratch / "written").write_bytes(b"".join(packed)))
    return out


def least(work: Callable[[], dict[str, float]], times: int) -> dict[str, float]:
    """The least of each figure."""
    runs = [work() for _ in range(times)]
    return {name: min(run.get(name, 0.0) for run in runs) for name in runs[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--no-rollup", dest="rollup", action="store_false")
    parser.add_argument("--memory", type=int, default=4 << 30)
    parser.add_argument("--lz4-level", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(dir=options.file.parent))
    size = 0

    def ingestion() -> dict[str, float]:
        nonlocal size
        spent.clear()
        begun = time.process_time()
        size = run(
            options.file.resolve(),
            rollup=options.rollup,
            memory=options.memory,
            lz4_level=options.lz4_level,
            scratch=Path(tempfile.mkdtemp(dir=scratch)),
        )
        return dict(spent) | {"the rest": time.process_time() - begun - sum(spent.values())}

    def libraries() -> dict[str, float]:
        return alone(options.file.resolve(), rollup=options.rollup, scratch=scratch)

    try:
        apart = least(libraries, options.repeat)
        instrument()
        stages = least(ingestion, options.repeat)
    finally:
        shutil.rmtree(scratch)
    for stage, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"{stage:52}{seconds:8.2f}")
    print(f"{'all, CPU seconds':52}{sum(stages.values()):8.2f}   {size / 1e6:.1f} MB of segments")
    print("libraries alone")
    for stage, seconds in apart.items():
        print(f"  {stage:50}{seconds:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
