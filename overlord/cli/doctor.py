"""doctor and adopt: what is wrong and what to do, and the tasks that a stock Overlord left behind."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from overlord import schemas
from overlord.cli.app import add_json, add_server
from overlord.cli.database import database, running_server
from overlord.cli.remote import Remote
from overlord.cli.serve import settings_of
from overlord.cli.show import as_json, out, size, table
from overlord.errors import OverlordError

if TYPE_CHECKING:
    from overlord.settings import Settings
    from overlord.store.db import Database

LEAST_FREE = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    good: bool
    text: str
    advice: str = ""


def add_to(commands: Any) -> None:
    """Add the commands."""
    doctor = commands.add_parser("doctor", help="say what is wrong and what to do")
    doctor.set_defaults(run=run_doctor)
    adopt = commands.add_parser("adopt", help="take over the active tasks that a stock Overlord left in the database")
    adopt.set_defaults(run=run_adopt)
    for command in (doctor, adopt):
        add_server(command)
        add_json(command)


def run_doctor(args: argparse.Namespace) -> int:
    """Look at everything; 1 if something is wrong."""
    settings = settings_of(args)
    server = running_server(settings)
    found = list(_findings(settings, server))
    if args.json:
        dsn = settings.dsn() or (server["dsn"] if server else None)
        brief = {"dsn": dsn, "url": server["url"] if server else None}
        as_json(brief | {"findings": [vars(each) for each in found]})
    else:
        table(
            ("", "what", "found", "what to do"),
            (("ok" if each.good else "WRONG", each.what, each.text, each.advice) for each in found),
        )
    return 0 if all(each.good for each in found) else 1


def _findings(settings: Settings, server: dict[str, Any] | None) -> Iterator[Finding]:
    for warning in settings.warnings:
        yield Finding("settings", True, warning)
    data_dir = Path(settings["ovl.data.dir"])
    yield from _folder("data folder", data_dir, "choose another with --data-dir")
    storage = settings["druid.storage.storageDirectory"]
    if storage is not None:
        yield from _folder("deep storage", Path(storage), "set druid.storage.storageDirectory")
    yield from _server(server)
    if server is None and settings.dsn() is None and not data_dir.exists():
        return
    try:
        with database(settings) as db:
            yield from _store(db)
    except OverlordError as error:
        advice = error.hint or "is Postgres up, and are host, user and password right?"
        yield Finding("metadata store", False, error.message, advice)


def _folder(what: str, folder: Path, advice: str) -> Iterator[Finding]:
    there = folder
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        yield Finding(what, False, f"{folder} cannot be written", advice)
        return
    free = shutil.disk_usage(there).free
    yield Finding(what, free >= LEAST_FREE, f"{folder}, {size(free)} free", "" if free >= LEAST_FREE else "make room")


def _server(server: dict[str, Any] | None) -> Iterator[Finding]:
    if server is None:
        yield Finding("server", True, "none runs on this folder", "`overlord serve` starts one")
        return
    try:
        leader = Remote(server["url"]).get("/isLeader")
        yield Finding("server", True, f"{server['url']} {'leads' if leader else 'stands by'}")
    except OverlordError as error:
        standing_by = "404" in error.message or "leader" in error.message
        yield Finding("server", standing_by, f"{server['url']}: {error.message}", "see its log")


def _store(db: Database) -> Iterator[Finding]:
    from overlord.store.migrate import migrate

    migrate(db)
    with db.transaction() as tx:
        rows = tx.all("adopt.strangers")
    yield Finding("metadata store", True, "answers, and its tables are up to date")
    if rows:
        names = ", ".join(row["id"] for row in rows[:5])
        text = f"{len(rows)} active tasks of a stock Overlord, which this one does not touch: {names}"
        yield Finding("strangers", False, text, "stop that Overlord, then run `overlord adopt`")


def run_adopt(args: argparse.Namespace) -> int:
    """Give them rows of ours; the leader finds them at its next look and runs them from their beginning."""
    from overlord.store.migrate import migrate

    taken, left = [], {}
    settings = settings_of(args)
    with database(settings) as db:
        migrate(db)
        with db.transaction() as tx:
            rows = tx.all("adopt.strangers")
        for row in rows:
            try:
                task = schemas.task_from_payload(orjson.loads(bytes(row["payload"])))
            except (OverlordError, KeyError, TypeError, ValueError) as error:
                left[row["id"]] = error.message if isinstance(error, OverlordError) else f"unreadable: {error}"
                continue
            with db.transaction() as tx:
                tx.run(
                    "adopt.take",
                    id=task.id,
                    created=row["created_date"],
                    datasource=task.datasource,
                    type=task.type,
                    group_id=task.group_id,
                    availability_group=task.availability_group,
                    required_capacity=task.required_capacity,
                    priority=task.priority,
                )
            taken.append(task.id)
    if args.json:
        as_json({"adopted": taken, "left": left})
    else:
        out.print(f"adopted {len(taken)} tasks", *taken, sep="\n  ", markup=False)
        if taken:
            seconds = int(settings["druid.indexer.queue.storageSyncRate"]) // 1000
            out.print(f"the leader takes them up within {seconds} s (druid.indexer.queue.storageSyncRate)")
        for task_id, why in left.items():
            out.print(f"left {task_id}: {why}", markup=False)
    return 1 if left else 0
