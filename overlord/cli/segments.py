"""segments and cat."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overlord.cli.app import add_json, add_server, add_url
from overlord.cli.remote import Remote
from overlord.cli.show import as_json, out, size, table
from overlord.errors import OverlordError
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.model.timeline import visible

if TYPE_CHECKING:
    import polars as pl

ALWAYS = Interval(-(2**62), 2**62)


def add_to(commands: Any) -> None:
    """Add the commands."""
    segments = commands.add_parser("segments", help="list the visible segments of a datasource, or count those of all")
    segments.add_argument("datasource", nargs="?", metavar="DS")
    add_url(segments)
    segments.set_defaults(run=run_segments)
    cat = commands.add_parser("cat", help="rows of published segments, read from deep storage")
    cat.add_argument("datasource", metavar="DS")
    cat.add_argument("--interval", help="start/end; all by default")
    cat.add_argument("--format", choices=("jsonl", "csv", "parquet"), default="jsonl")
    cat.add_argument("--limit", type=int, help="rows at most")
    cat.add_argument("-o", "--output", metavar="F", help="file to write; standard output by default")
    add_server(cat)
    add_json(cat)
    cat.set_defaults(run=run_cat)


def run_segments(args: argparse.Namespace) -> int:
    """List segments, or the datasources that tasks speak of."""
    remote = Remote(args.url)
    if args.datasource is not None:
        found = remote.segments(args.datasource)
        as_json(found) if args.json else show(found)
        return 0
    names = sorted({task["dataSource"] for task in remote.get("/tasks") if task["dataSource"]})
    all_of = {name: remote.segments(name) for name in names}
    if args.json:
        as_json({name: len(found) for name, found in all_of.items()})
    else:
        rows = ((name, len(found), size(sum(each["size"] for each in found))) for name, found in all_of.items())
        table(("datasource", "segments", "size"), rows)
    return 0


def show(found: list[dict[str, Any]], *, most: int | None = None, rows: dict[str, int] | None = None) -> None:
    """A table of segments; of many only the first ones if `most` says so."""
    versions = sorted({each["version"] for each in found})
    many = len(versions) > 1
    columns = ("interval", "partition", *(("rows",) if rows else ()), "bytes", *(("version",) if many else ()))
    shown = found[:most]
    table(
        columns,
        (
            (
                each["interval"].replace("T00:00:00.000Z", ""),
                each["shardSpec"].get("partitionNum", 0),
                *((rows.get(each["identifier"], 0),) if rows else ()),
                each["size"],
                *((each["version"],) if many else ()),
            )
            for each in shown
        ),
    )
    total = sum(each["size"] for each in found)
    more = f", of which {len(shown)} are shown" if len(shown) < len(found) else ""
    version = f" of version {versions[0]}" if len(versions) == 1 else ""
    out.print(f"{len(found)} segments{version}, {size(total)}{more}")


def run_cat(args: argparse.Namespace) -> int:
    """Write rows."""
    from overlord.cli.database import database
    from overlord.cli.serve import settings_of
    from overlord.store import segments as store

    interval = Interval.parse(args.interval) if args.interval else ALWAYS
    with database(settings_of(args)) as db, db.transaction() as tx:
        found = visible(store.used_overlapping(tx, args.datasource, [interval]))
    if not found:
        raise OverlordError(
            f"Datasource [{args.datasource}] has no segments{f' in {interval}' if args.interval else ''}",
            hint="`overlord segments` lists what there is; --data-dir says whose",
        )
    if args.output is None and args.format == "parquet" and sys.stdout.isatty():
        raise OverlordError("Parquet is no text", hint="name a file with -o")
    with Path(args.output).open("wb") if args.output else sys.stdout.buffer as target:
        write(_frames(found, interval, args.limit), args.format, target)
    return 0


def folder_of(segment: DataSegment) -> Path:
    """Where a segment lies."""
    load_spec = segment.load_spec or {}
    if load_spec.get("type") != "local":
        raise OverlordError(f"Segment [{segment.id}] lies in [{load_spec.get('type')}], which `cat` cannot read")
    return Path(load_spec["path"])


def _frames(found: list[DataSegment], interval: Interval, limit: int | None) -> Iterator[pl.DataFrame]:
    """Rows of all segments in order of time, a few thousand at a time, with the union of their columns."""
    import tempfile

    import polars as pl

    from workers.segment.reader import SegmentReader

    left = sys.maxsize if limit is None else limit
    names = dict.fromkeys(name for segment in found for name in (*segment.dimensions, *segment.metrics))
    with tempfile.TemporaryDirectory() as scratch:
        for segment in found:
            if segment.tombstone:
                continue
            reader = SegmentReader(folder_of(segment), scratch=Path(scratch))
            for frame in reader.frames():
                part = frame.filter(pl.col("__time").is_between(interval.start, interval.end, closed="left"))[:left]
                missing = [pl.lit(None, pl.String).alias(name) for name in names if name not in part.columns]
                if part.height:
                    yield part.with_columns(missing).select("__time", *names)
                left -= part.height
                if left <= 0:
                    return


def write(frames: Iterator[pl.DataFrame], kind: str, target: Any) -> None:
    """Write frames one after the other; times as ISO texts in csv and jsonl."""
    import polars as pl

    if kind == "parquet":
        parts = list(frames)
        whole = pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()
        whole.with_columns(pl.col("__time").cast(pl.Datetime("ms", "UTC"))).write_parquet(target)
        return
    head = True
    for part in frames:
        text = pl.col("__time").cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        part = part.with_columns(text)
        if kind == "csv":
            lists = [name for name, dtype in part.schema.items() if isinstance(dtype, pl.List)]
            part = part.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join("|") for name in lists)
            part.write_csv(target, include_header=head)
        else:
            part.write_ndjson(target)
        head = False
