"""supervisors: list them, suspend, resume and terminate."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from overlord.cli.app import add_url
from overlord.cli.remote import Remote
from overlord.cli.show import as_json, fail, out, table

CHANGES = {"suspend": "is suspended", "resume": "runs again", "terminate": "is terminated"}


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("supervisors", help="list supervisors, or suspend, resume, terminate one")
    command.add_argument("change", nargs="?", choices=("list", *CHANGES), default="list")
    command.add_argument("id", nargs="?", help="of the supervisor")
    add_url(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, or make the change."""
    remote = Remote(args.url)
    if args.change == "list":
        found = remote.get("/supervisor", system="true")
        as_json(found) if args.json else _show(found)
        return 0
    if not args.id:
        fail(f"`supervisors {args.change}` needs the id of a supervisor", hint="`overlord supervisors` lists them")
        return 2
    answer = remote.post(f"/supervisor/{quote(args.id, safe='')}/{args.change}")
    as_json(answer) if args.json else out.print(f"supervisor {args.id} {CHANGES[args.change]}")
    return 0


def _show(found: list[dict[str, Any]]) -> None:
    rows = [
        (each["id"], each["type"], each["source"] or "", each["detailedState"], str(each["suspended"]).lower())
        for each in sorted(found, key=lambda each: str(each["id"]))
    ]
    table(("id", "type", "source", "state", "suspended"), rows)
