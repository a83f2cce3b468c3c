"""From arguments to a command, and from what it raises to a message and an exit code.

Exit codes: 0 well, 1 the task failed or something is wrong, 2 the arguments are wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from overlord.cli.show import fail
from overlord.errors import OverlordError

MODULES = ("serve", "tasks", "supervisors", "sampling", "explain", "bad_rows", "segments", "demo", "duties", "doctor")
DEFAULT_URL = "http://127.0.0.1:8090"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except OverlordError as error:
        fail(error.message, hint=error.hint, where=error.where)
    except BrokenPipeError:
        # The reader of our output has gone; keep the interpreter from writing to it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    return 1


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    whole = argparse.ArgumentParser(prog="overlord", description="Druid's Overlord and batch ingestion, without a JVM.")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    for name in MODULES:
        importlib.import_module(f"overlord.cli.{name}").add_to(commands)
    return whole


def add_url(command: argparse.ArgumentParser) -> None:
    """`--url` and `--json`, which every command has that talks to a server."""
    url = os.environ.get("OVERLORD_URL", DEFAULT_URL)
    command.add_argument("--url", default=url, help=f"of the Overlord (OVERLORD_URL, now {url})")
    add_json(command)


def add_json(command: argparse.ArgumentParser) -> None:
    """`--json`."""
    command.add_argument("--json", action="store_true", help="print JSON")


def add_server(command: argparse.ArgumentParser) -> None:
    """The arguments that say which server's folder and database are meant."""
    command.add_argument("--config", action="append", default=[], metavar="F", help="TOML or runtime.properties")
    command.add_argument("--data-dir", metavar="D", help="folder of the server (ovl.data.dir)")
    command.add_argument("--dsn", help="Postgres of your own (ovl.metadata.dsn)")
