"""One real Postgres a session (and xdist worker), one fresh, migrated database a test."""

from __future__ import annotations

import itertools

import psycopg
import pytest
from psycopg import sql

TEMPLATE = "migrated"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """A running `EmbeddedPostgres` with a database `migrated` to copy from. Without fsync: nothing here outlives it."""
    from overlord.store.db import Database
    from overlord.store.embedded import EmbeddedPostgres
    from overlord.store.migrate import migrate

    quick = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = EmbeddedPostgres(tmp_path_factory.mktemp("metadata"), options=quick)
    dsn = server.start()
    try:
        _admin(dsn, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        db = Database(_with_name(dsn, TEMPLATE))
        migrate(db)
        db.close()
        yield server
    finally:
        server.stop()


@pytest.fixture
def dsn(postgres):
    """Connection string of a fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
    _admin(postgres.dsn, made)
    yield _with_name(postgres.dsn, name)
    _admin(postgres.dsn, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def db(dsn):
    """`Database` on a fresh, migrated database."""
    from overlord.store.db import Database

    database = Database(dsn)
    yield database
    database.close()


def _with_name(dsn: str, name: str) -> str:
    return dsn.rsplit("/", 1)[0] + "/" + name


def _admin(dsn: str, statement: sql.Composed) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(statement)
