"""Rows that a Postgres answers to queries.

They come by COPY: the database sends them as it finds them, in one transaction a query, and waits while we are busy.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from overlord.errors import TaskFailed
from overlord.model.jdbc import NotPostgres, dsn_from_jdbc
from workers.ingest.sources.ahead import ahead
from workers.ingest.sources.base import ByteStream, InputObject, RowSource, SplitHint, input_sources, strings
from workers.ingest.sources.passwords import password_of

if TYPE_CHECKING:
    import psycopg

    from workers.ingest.formats.base import RawChunk

_WHERE = "spec.ioConfig.inputSource"
TRIES = 3
FIRST_WAIT_S = 1.0
CONNECT_S = 15
_SESSION = (
    "SET datestyle = 'ISO, YMD'; SET TIME ZONE 'UTC'; SET intervalstyle = 'postgres';"
    "SET bytea_output = 'hex'; SET extra_float_digits = 3; SET client_encoding = 'UTF8'"
)


@input_sources.add("sql")
class SqlSource(RowSource):
    """`{"type": "sql", "sqls": [...], "foldCase", "database": {"type": "postgresql", "connectorConfig": {...}}}`."""

    splittable = True
    needs_task = False

    def __init__(self, json: Mapping[str, Any], sqls: list[str], dsn: str) -> None:
        self.json = json
        self.sqls = sqls
        self.fold_case = json.get("foldCase") is True
        self._dsn = dsn

    @classmethod
    def from_json(cls, json: Mapping[str, Any], settings: Mapping[str, Any]) -> SqlSource:
        sqls = strings(json, "sqls", "inputSource")
        if not sqls:
            raise TaskFailed("No SQL queries provided", where=f"{_WHERE}.sqls")
        return cls(json, sqls, _dsn_of(json.get("database")))

    def objects(self) -> Iterator[InputObject]:
        """One for each query; they are read by `rows`, not opened."""
        for number in range(len(self.sqls)):
            yield InputObject(name=f"sqls[{number}]", size=None, open=_not_opened)

    def splits(self, hint: SplitHint) -> Iterator[dict[str, Any]]:
        for sql in self.sqls:
            yield {**self.json, "sqls": [sql]}

    def rows(self, *, chunk_bytes: int, wanted: Collection[str] | None = None) -> Iterator[RawChunk]:
        return ahead(self._chunks(chunk_bytes, wanted))

    def _chunks(self, chunk_bytes: int, wanted: Collection[str] | None) -> Iterator[RawChunk]:
        from workers.ingest.formats.postgres import Answer  # formats know of sources

        with closing(self._connect()) as connection:
            for number, sql in enumerate(self.sqls):
                files = tuple(f"sqls[{each}]" for each in range(number + 1))
                with explained(f"Cannot run inputSource.sqls[{number}]", f"{_WHERE}.sqls[{number}]"):
                    answer = Answer(connection, sql, fold_case=self.fold_case, files=files)
                    yield from answer.chunks(chunk_bytes, wanted)
                    connection.commit()

    def _connect(self) -> psycopg.Connection[Any]:
        """A connection of our own, after some tries."""
        import psycopg

        for attempt in range(1, TRIES + 1):
            try:
                connection = psycopg.connect(self._dsn, connect_timeout=CONNECT_S)
                connection.execute(_SESSION)
                return connection
            except psycopg.Error as error:
                if attempt == TRIES or not isinstance(error, psycopg.OperationalError):
                    where = f"{_WHERE}.database.connectorConfig"
                    raise TaskFailed(
                        f"Cannot reach the database {_place(self._dsn)}: {_cause(error)}", where=where
                    ) from None
                time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
        raise AssertionError("the last try raises")


class explained:  # noqa: N801  used as a function
    """Within it, faults of the database are told as the task's."""

    def __init__(self, what: str, where: str) -> None:
        self._what = what
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import psycopg

        if isinstance(error, psycopg.Error):
            hint = error.diag.message_hint
            raise TaskFailed(f"{self._what}: {_cause(error)}", where=self._where, hint=hint) from None


def _cause(error: psycopg.Error) -> str:
    """The first thing that is said, in one line."""
    said = error.diag.message_primary or str(error).strip()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).removesuffix(":")


def _dsn_of(database: Any) -> str:
    where = f"{_WHERE}.database"
    kind = database.get("type") if isinstance(database, Mapping) else None
    if kind != "postgresql":
        raise TaskFailed(f"Unknown database {kind!r} of inputSource. Known: postgresql", where=f"{where}.type")
    config = database.get("connectorConfig")
    uri = config.get("connectURI") if isinstance(config, Mapping) else None
    if not isinstance(uri, str):
        raise TaskFailed("connectURI cannot be null or empty", where=f"{where}.connectorConfig.connectURI")
    password = password_of(config.get("password"), f"{where}.connectorConfig.password")
    try:
        return dsn_from_jdbc(uri, config.get("user"), password)
    except NotPostgres as error:
        raise TaskFailed(f"{error} is not of a Postgres", where=f"{where}.connectorConfig.connectURI") from None


def _place(dsn: str) -> str:
    """Host and database, without the password."""
    parts = urlsplit(dsn)
    return parts.netloc.rpartition("@")[2] + parts.path


def _not_opened() -> ByteStream:
    raise TaskFailed("Queries are not read as bytes")
