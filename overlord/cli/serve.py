"""serve and migrate."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from overlord.cli.app import add_json, add_server
from overlord.cli.show import as_json, out
from overlord.settings import Settings


def add_to(commands: Any) -> None:
    """Add the commands."""
    serve = commands.add_parser("serve", help="run a server until SIGTERM or SIGINT")
    add_server(serve)
    serve.add_argument("--host", help="address to listen on (ovl.http.host)")
    serve.add_argument("--port", type=int, help="port to listen on, 0 for any (ovl.http.port)")
    serve.add_argument("--workers", type=int, metavar="N", help="tasks at a time (druid.worker.capacity)")
    serve.set_defaults(run=run_serve)
    migrate = commands.add_parser(
        "migrate", help="bring the metadata tables up to date, and say which steps were taken"
    )
    add_server(migrate)
    add_json(migrate)
    migrate.set_defaults(run=run_migrate)


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings by files, environment and flags."""
    port = getattr(args, "port", None)
    return Settings.load(
        args.config,
        flags={
            "ovl.data.dir": args.data_dir,
            "ovl.metadata.dsn": args.dsn,
            "ovl.http.host": getattr(args, "host", None),
            "ovl.http.port": port,
            "druid.plaintextPort": port,
            "druid.worker.capacity": getattr(args, "workers", None),
        },
    )


def run_serve(args: argparse.Namespace) -> int:
    """Serve until a signal."""
    from overlord.service import OverlordServer

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = settings_of(args)
    log = logging.getLogger("overlord")
    for warning in settings.warnings:
        log.warning("%s", warning)
    server = OverlordServer(settings)
    server.start()
    out.print(f"Overlord answers at {server.url} (data in {server.data_dir}). Ctrl-C stops it.")
    server.wait()
    server.stop()
    return 0


def run_migrate(args: argparse.Namespace) -> int:
    """Migrate, and list what was done."""
    from overlord.cli.database import database
    from overlord.store.migrate import migrate

    settings = settings_of(args)
    with database(settings) as db:
        done = migrate(db) or []
    if args.json:
        as_json({"migrated": [str(step) for step in done]})
    else:
        out.print("\n".join(f"migrated {step}" for step in done) or "The tables are up to date.")
    return 0
