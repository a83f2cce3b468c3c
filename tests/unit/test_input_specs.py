"""Specs of input sources and formats: what is refused with which words, and what is stored of them."""

from __future__ import annotations

import pytest

from overlord.errors import BadRequest
from overlord.schemas import load_task

SETTINGS = {"druid.indexer.tasklock.forceTimeChunkLock": True}
SQL = "org.apache.druid.metadata.input.SqlInputSource"
POSTGRES = "org.apache.druid.metadata.input.PostgresqlInputSourceDatabaseConnector"
CONNECTOR = "org.apache.druid.metadata.SQLInputSourceDatabaseConnector"


def load(source, form=None):
    """The ioConfig of a task as it is stored."""
    body = {
        "type": "index_parallel",
        "spec": {
            "dataSchema": {"dataSource": "d", "timestampSpec": {"column": "t"}, "dimensionsSpec": {}},
            "ioConfig": {"type": "index_parallel", "inputSource": source, "inputFormat": form or {"type": "json"}},
        },
    }
    task = load_task(body, now_ms=0, default_context={}, settings=SETTINGS)
    return task.payload["spec"]["ioConfig"]


def refusal(source, form=None):
    with pytest.raises(BadRequest) as refused:
        load(source, form)
    return refused.value


def database(uri="jdbc:postgresql://h:5432/db", kind="postgresql", **more):
    return {"type": kind, "connectorConfig": {"connectURI": uri, **more}}


def test_a_sql_source_is_stored_with_all_defaults():
    given = {"type": "sql", "sqls": ["SELECT 1"], "database": database(user="u", password="p")}
    assert load(given)["inputSource"] == {
        "type": "sql",
        "sqls": ["SELECT 1"],
        "foldCase": False,
        "database": {
            "type": "postgresql",
            "connectorConfig": {
                "createTables": True,
                "host": "localhost",
                "port": 1527,
                "connectURI": "jdbc:postgresql://h:5432/db",
                "user": "u",
                "password": {"type": "default", "password": "p"},
                "dbcp": None,
            },
        },
    }


@pytest.mark.parametrize(
    ("source", "java", "problem", "where"),
    [
        ({"sqls": [], "database": database()}, SQL, "No SQL queries provided", "sqls"),
        ({"sqls": ["SELECT 1"]}, SQL, "SQL Metadata Connector not configured!", "database"),
        (
            {"sqls": ["SELECT 1"], "database": database("")},
            POSTGRES,
            "connectURI cannot be null or empty",
            "database.connectorConfig",
        ),
        (
            {"sqls": ["SELECT 1"], "database": database("jdbc:postgresql://h/db?ssl=true&currentSchema=x")},
            POSTGRES,
            "The property [currentSchema] is not in the allowed list [useSSL, requireSSL, ssl, sslmode]",
            "database.connectorConfig",
        ),
        (
            {"sqls": ["SELECT 1"], "database": database("jdbc:mysql://h/db")},
            POSTGRES,
            "connectURI must be of a Postgres: jdbc:postgresql://host:port/database",
            "database.connectorConfig",
        ),
    ],
)
def test_what_druid_refuses_of_a_sql_source_is_refused_in_its_words(source, java, problem, where):
    error = refusal({"type": "sql", **source})
    assert error.message == f"Cannot construct instance of `{java}`, problem: {problem}"
    assert error.where == f"spec.ioConfig.inputSource.{where}"


def test_a_database_that_is_no_postgres_is_refused_with_those_there_are():
    error = refusal({"type": "sql", "sqls": ["SELECT 1"], "database": database("jdbc:mysql://h/db", "mysql")})
    assert "with type 'mysql'" in error.message
    assert f"as a subtype of `{CONNECTOR}` known type ids = [postgresql]" in error.message
    assert error.where == "spec.ioConfig.inputSource.database.type"
