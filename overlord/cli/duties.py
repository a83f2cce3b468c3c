"""duties."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

import orjson

from overlord.cli.app import add_url
from overlord.cli.remote import Remote
from overlord.cli.show import as_json, out, table


def add_to(commands: Any) -> None:
    """Add the command."""
    duties = commands.add_parser("duties", help="clean-up duties: list them, or run one")
    duties.add_argument("--run", metavar="NAME", dest="duty", help="run this one now")
    duties.add_argument("--dry-run", action="store_true", help="only say what would go")
    duties.set_defaults(run=run_duties)
    add_url(duties)


def run_duties(args: argparse.Namespace) -> None:
    """List, or run one."""
    remote = Remote(args.url)
    query = "?dryRun=true" if args.dry_run else ""
    if args.duty:
        answer = remote.post(f"/duties/{quote(args.duty, safe='')}/run{query}")
        if args.json:
            as_json(answer)
        else:
            out.print(f"{answer['name']}: {'would go' if args.dry_run else 'gone'} {_counts(answer['counts'])}")
        return
    found = remote.get(f"/duties{query}")["duties"]
    if args.json:
        as_json({"duties": found})
        return
    columns = ["duty", "on", "last run", "counts", "next run"] + (["would go"] if args.dry_run else [])
    table(columns, [_row(each, args.dry_run) for each in found])


def _row(duty: dict[str, Any], dry: bool) -> list[Any]:
    last = duty["lastRun"] or {}
    counts = last.get("error") or (_counts(last["counts"]) if last else None)
    row = [duty["name"], "yes" if duty["on"] else "no", last.get("time"), counts, duty["nextRun"]]
    return [*row, _counts(duty["wouldGo"])] if dry else row


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value if isinstance(value, int | str) else orjson.dumps(value).decode()}"
        for name, value in counts.items()
    )
