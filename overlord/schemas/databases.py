"""Input source sql: rows that a database answers."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlord.model.jdbc import PREFIX, parameters
from overlord.registry import Registry
from overlord.schemas.base import Flag, Inside, Kinds, ListOf, Object, Poly, Problem, Shape, Text, Whole
from overlord.schemas.inputs import Password, input_source_kinds

database_kinds: Kinds = Registry("database")
ALLOWED = ("useSSL", "requireSSL", "ssl", "sslmode")
"""Parameters that a connectURI may have: `druid.access.jdbc.allowedProperties` as stock Druid ships it."""


class ConnectorConfig(Shape):
    """Where a database is, and who asks."""

    java = "org.apache.druid.metadata.MetadataStorageConnectorConfig"

    createTables = Flag(True)
    host = Text("localhost")
    port = Whole(1527)
    connectURI = Text()
    user = Text()
    password = Password()
    dbcp = Object()


@database_kinds.add("postgresql")
class PostgresDatabase(Shape):
    """A Postgres."""

    java = "org.apache.druid.metadata.input.PostgresqlInputSourceDatabaseConnector"

    connectorConfig = Inside(ConnectorConfig)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "connectorConfig" not in data:
            return
        uri = (data["connectorConfig"] or {}).get("connectURI")
        if not uri:
            yield "connectorConfig", "connectURI cannot be null or empty"
            return
        if not uri.startswith(PREFIX):
            yield "connectorConfig", f"connectURI must be of a Postgres: {PREFIX}//host:port/database"
        for name in parameters(uri):
            if name not in ALLOWED:
                yield "connectorConfig", f"The property [{name}] is not in the allowed list [{', '.join(ALLOWED)}]"


@input_source_kinds.add("sql")
class SqlSource(Shape):
    """Rows that a database answers; each query is a split."""

    java = "org.apache.druid.metadata.input.SqlInputSource"

    sqls = ListOf(Text(), list)
    foldCase = Flag(False)
    database = Poly(database_kinds, "org.apache.druid.metadata.SQLInputSourceDatabaseConnector", named="database")

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("sqls") == []:
            yield "sqls", "No SQL queries provided"
        if "database" in data and data["database"] is None:
            yield "database", "SQL Metadata Connector not configured!"
