"""bad-rows: the rows that a task rejected."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import quote

import orjson

from overlord.cli.app import add_url
from overlord.cli.remote import Remote


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "bad-rows", help="the rows a task rejected (context keepBadRows: true), as JSON lines"
    )
    command.add_argument("id", metavar="ID")
    command.add_argument("--raw", action="store_true", help="only the raw text of each, to be mended and posted again")
    command.set_defaults(run=run)
    add_url(command)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    rest = ""
    for piece in Remote(args.url).lines(f"/task/{quote(args.id, safe='')}/badRows"):
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            sys.stdout.write(f"{orjson.loads(line)['raw'] if args.raw else line}\n")
    return 0
