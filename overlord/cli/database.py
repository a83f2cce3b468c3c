"""The metadata store of a server's folder, whether or not that server runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overlord.model.host import ProcessIdentity
from overlord.settings import Settings
from overlord.store.db import Database
from overlord.store.embedded import EmbeddedPostgres
from workers.files import read_json


def running_server(settings: Settings) -> dict[str, Any] | None:
    """What the server that runs on the folder says of itself: url, dsn, pid; None if none runs."""
    known = read_json(Path(settings["ovl.data.dir"]) / "server.json")
    if not isinstance(known, dict):
        return None
    try:
        return known if ProcessIdentity.from_json(known).is_alive() else None
    except (KeyError, TypeError, ValueError):
        return None


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """Connections to it; the embedded Postgres is started for as long as that takes if it does not run."""
    server = running_server(settings)
    dsn = settings.dsn() or (server["dsn"] if server else None)
    embedded = None
    if dsn is None:
        embedded = EmbeddedPostgres(Path(settings["ovl.data.dir"]))
        dsn = embedded.start()
    db = Database(dsn, base=settings["druid.metadata.storage.tables.base"], tables=settings.tables())
    try:
        yield db
    finally:
        db.close()
        if embedded is not None:
            embedded.stop()
