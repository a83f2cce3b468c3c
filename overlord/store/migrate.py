"""Brings a database's tables up to date: each file of `sql/migrations` once, in order."""

from __future__ import annotations

import hashlib
import logging

from overlord.errors import OverlordError
from overlord.store.db import Database
from overlord.store.queries import migrations

_log = logging.getLogger(__name__)


def migrate(db: Database) -> list[str]:
    """Apply what is missing, all in one transaction.

    Returns
    -------
    list of str
        Names of the migrations applied now.

    Raises
    ------
    OverlordError
        The database has migrations that this version lacks, or that have changed since.
    """
    known = migrations()
    with db.transaction() as tx:
        tx.one("migrate.lock")
        tx.run("migrate.make_table")
        applied = {row["name"]: row["digest"] for row in tx.all("migrate.applied")}
        _refuse_foreign(known, applied)
        missing = [(name, sql) for name, sql in known if name not in applied]
        for name, sql in missing:
            tx.script(db.tables.fill(sql))
            tx.run("migrate.add", name=name, digest=_digest(sql))
            _log.info("migrated name=%s", name)
    return [name for name, _ in missing]


def _refuse_foreign(known: list[tuple[str, str]], applied: dict[str, str]) -> None:
    ours = {name: _digest(sql) for name, sql in known}
    for name, digest in applied.items():
        if name not in ours:
            raise OverlordError(
                f"The database has migration [{name}], which this version does not know",
                hint="it was used by a newer version: run that one",
            )
        if ours[name] != digest:
            raise OverlordError(f"Migration [{name}] is not the one that the database had applied")


def _digest(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()
