"""sample, and what `submit --dry-run` shows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from overlord.cli.app import add_url
from overlord.cli.remote import Remote
from overlord.cli.show import as_json, out, size, table
from overlord.errors import OverlordError
from overlord.model.instant import format_instant

_SHOWN = 20


def add_to(commands: Any) -> None:
    """Add the command."""
    sample = commands.add_parser("sample", help="show the first rows of an input as they would be stored")
    sample.add_argument("spec", metavar="SPEC", help="of a task, kafka supervisor or sampler (- reads standard input)")
    sample.add_argument("--rows", type=int, default=_SHOWN, help=f"how many to read ({_SHOWN})")
    sample.set_defaults(run=run_sample)
    add_url(sample)


def run_sample(args: argparse.Namespace) -> int:
    """Sample, and print the rows."""
    text = sys.stdin.buffer.read() if args.spec == "-" else Path(args.spec).read_bytes()
    try:
        spec = sampler_spec(orjson.loads(text), args.rows)
    except orjson.JSONDecodeError as error:
        raise OverlordError(f"{args.spec} is not JSON: {error}") from None
    answer = Remote(args.url).post("/sampler", spec)
    if args.json:
        as_json(answer)
        return 0
    columns = [each["name"] for each in answer["logicalSegmentSchema"]]
    types = [each["type"] for each in answer["logicalSegmentSchema"]]
    rows(columns, types, [row["parsed"] for row in answer["data"] if "parsed" in row])
    bad_rows([row for row in answer["data"] if "error" in row])
    out.print(f"{answer['numRowsRead']:,} rows read, {answer['numRowsIndexed']:,} of them good")
    return 0


def sampler_spec(spec: Any, number: int) -> dict[str, Any]:
    """What the sampler takes, made of any spec with an input."""
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise OverlordError("A spec is a JSON object with a type")
    config = {"numRows": number}
    if "samplerConfig" in spec:
        return spec
    if spec["type"] == "kafka":
        return {"type": "kafka", "spec": spec, "samplerConfig": config}
    inner = spec.get("spec")
    if not isinstance(inner, dict) or spec["type"] not in ("index", "index_parallel"):
        raise OverlordError(
            f"A spec of type {spec['type']!r} has no input to sample", hint="index, index_parallel and kafka have"
        )
    io = inner.get("ioConfig")
    as_index = {
        "type": "index",
        "dataSchema": inner.get("dataSchema"),
        "ioConfig": {**io, "type": "index"} if isinstance(io, dict) else io,
    }
    return {"type": "index", "spec": as_index, "samplerConfig": config}


def show_dry_run(told: Mapping[str, Any], *, as_it_is: bool) -> int:
    """Print the answer to a dry run; gives the exit code."""
    if as_it_is:
        as_json(told)
        return 0 if told["valid"] else 1
    out.print("[green]valid[/]" if told["valid"] else "[red]not valid[/]")
    for name in ("faults", "warnings"):
        if told[name]:
            remarks = ((each["path"], each["message"], each["hint"]) for each in told[name])
            table(("where", "what", "hint"), remarks, title=name)
    if told["sample"]:
        _show_sample(told["sample"])
        _show_outcome(told)
    if told["locks"]:
        table(
            ("interval", "type", "outcome", "held by"),
            (
                (each["interval"], each["type"], each["outcome"], ", ".join(one["task_id"] for one in each["blockers"]))
                for each in told["locks"]
            ),
            title="locks",
        )
    return 0 if told["valid"] else 1


def _show_sample(sample: Mapping[str, Any]) -> None:
    columns = [each["name"] for each in sample["columns"]]
    rows(columns, [each["type"] for each in sample["columns"]], sample["firstRows"])
    bad_rows(sample["badRows"])
    counts = (
        f"{sample['rowsRead']:,} rows read, {sample['rowsUnparseable']:,} unparseable, "
        f"{sample['rowsWithErrors']:,} with a bad value, {sample['rowsFiltered']:,} filtered, "
        f"{sample['rowsOutsideIntervals']:,} outside of the intervals"
    )
    out.print(counts if sample["complete"] else f"{counts} (there is more)")


def _show_outcome(told: Mapping[str, Any]) -> None:
    found, chunks = told["segments"], told["intervals"]
    if chunks:
        out.print(f"{len(chunks):,} time chunks, from {chunks[0]['interval']} to {chunks[-1]['interval']}")
    if found["segments"] is not None:
        about = "" if found["exact"] else "about "
        whole = "" if found["bytes"] is None else f" from {size(found['bytes'])}"
        out.print(f"{about}{found['rows']:,} rows in {found['segments']:,} segments{whole}")


def rows(columns: Sequence[str], types: Sequence[str], found: Iterable[Mapping[str, Any]]) -> None:
    """Print rows under their columns' names and types."""
    heads = [f"{name}\n{kind}" for name, kind in zip(columns, types, strict=True)]
    table(
        heads, ([_time(row[name]) if name == "__time" else _cell(row.get(name)) for name in columns] for row in found)
    )


def bad_rows(found: Sequence[Mapping[str, Any]]) -> None:
    """Print rows at fault."""
    if found:
        table(("bad row", "error"), ((_cell(row.get("input")), row["error"]) for row in found))


def _time(ms: Any) -> Any:
    return format_instant(ms) if isinstance(ms, int) else ms


def _cell(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value
