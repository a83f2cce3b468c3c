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


S3 = "org.apache.druid.data.input.s3.S3InputSource"
S3_CONFIG = "org.apache.druid.data.input.s3.S3InputSourceConfig"
LOCATION = "org.apache.druid.data.input.impl.CloudObjectLocation"
SYSTEM_FIELD = "org.apache.druid.data.input.impl.systemfield.SystemField"
EXACTLY = "Exactly one of uris, prefixes or objects must be specified"


@pytest.mark.parametrize(
    ("source", "java", "problem", "where"),
    [
        ({}, S3, EXACTLY, ""),
        ({"uris": []}, S3, EXACTLY, ""),
        ({"uris": ["s3://b/k"], "prefixes": ["s3://b/"]}, S3, EXACTLY, ""),
        ({"uris": ["gs://b/k"]}, S3, "Invalid URI scheme [gs://b/k] must be [s3]", ".uris"),
        ({"prefixes": ["http://b"]}, S3, "Invalid URI scheme [http://b] must be [s3]", ".prefixes"),
        ({"uris": ["/k"]}, S3, "Invalid URI scheme [/k] must be [s3]", ".uris"),
        (
            {"objects": [{"path": "k"}]},
            LOCATION,
            "bucket name cannot be null. Please verify if bucket name adheres to naming rules",
            ".objects[0]",
        ),
        (
            {"uris": ["s3://b/k"], "systemFields": ["__nope"]},
            SYSTEM_FIELD,
            "No such system field[__nope]",
            ".systemFields[0]",
        ),
        (
            {"uris": ["s3://b/k"], "properties": {"secretAccessKey": "x"}},
            S3_CONFIG,
            "accessKeyId cannot be null if secretAccessKey is given",
            ".properties.accessKeyId",
        ),
        (
            {"uris": ["s3://b/k"], "properties": {"assumeRoleArn": "arn"}},
            S3_CONFIG,
            "assumeRoleArn is not known here: give keys, or a role of the machine",
            ".properties.assumeRoleArn",
        ),
    ],
)  # fmt: skip
def test_what_druid_refuses_of_a_cloud_source_is_refused_in_its_words(source, java, problem, where):
    error = refusal({"type": "s3", **source})
    assert error.message == f"Cannot construct instance of `{java}`, problem: {problem}"
    assert error.where == f"spec.ioConfig.inputSource{where}"


@pytest.mark.parametrize(
    ("kind", "uri"), [("s3", "s3://b/a b"), ("google", "gs://b/a b"), ("http", "http://h/x|y"), ("azure", "azure://b/%zz")]
)  # fmt: skip
def test_a_uri_that_java_cannot_read_is_refused_with_its_place(kind, uri):
    error = refusal({"type": kind, "uris": [uri]})
    at = min(uri.find(letter) for letter in " |%" if letter in uri)
    assert error.message == (
        f'Cannot deserialize value of type `java.net.URI` from String "{uri}": not a valid textual representation, '
        f"problem: Illegal character in path at index {at}: {uri}"
    )
    assert error.where == "spec.ioConfig.inputSource.uris[0]"


@pytest.mark.parametrize("uri", ["http://[::1]:80/a", "http://h/ä?x=%20&y=(1)*,;:@$!'~", "http://u:p@h/a#b"])
def test_other_uris_are_as_they_are(uri):
    assert load({"type": "http", "uris": [uri]})["inputSource"]["uris"] == [uri]


STORED = [
    {"type": "s3", "uris": ["s3://b/k?x=1"]},
    {"type": "s3", "prefixes": ["s3://b/"], "objects": []},
    {"type": "s3", "uris": ["S3://b/k"], "objectGlob": "**.json", "systemFields": ["__file_uri"]},
    {
        "type": "s3",
        "prefixes": ["s3://b/"],
        "properties": {"accessKeyId": {"type": "environment", "variable": "A"}, "secretAccessKey": {"type": "default"}},
        "proxyConfig": {"host": "p", "port": 80},
        "endpointConfig": {"url": "s3.eu", "signingRegion": "eu"},
        "clientConfig": {"protocol": "http", "enablePathStyleAccess": True},
    },
    {"type": "google", "uris": ["gs://b/k"]},
    {"type": "azure", "prefixes": ["azure://c/p"]},
    {"type": "azureStorage", "prefixes": ["azureStorage://a/c/p"], "properties": {"key": "k", "tenantId": "t"}},
]


@pytest.mark.parametrize("source", STORED)
def test_cloud_sources_are_stored_as_given(source):
    assert load(source)["inputSource"] == source


def test_a_location_loses_its_slash_and_a_key_becomes_a_provider():
    given = {
        "type": "s3",
        "objects": [{"bucket": "b", "path": "/k"}],
        "properties": {"accessKeyId": "a", "secretAccessKey": "s"},
    }
    assert load(given)["inputSource"] == {
        "type": "s3",
        "objects": [{"bucket": "b", "path": "k"}],
        "properties": {
            "accessKeyId": {"type": "default", "password": "a"},
            "secretAccessKey": {"type": "default", "password": "s"},
        },
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["hdfs", "delta", "iceberg", "nope"])
def test_an_input_source_that_is_not_built_is_refused_with_those_there_are(kind):
    error = refusal({"type": kind, "paths": "x"})
    assert error.message == (
        f"Please make sure to load all the necessary extensions and jars with type '{kind}' on 'druid/overlord' "
        f"service. Could not resolve type id '{kind}' as a subtype of `org.apache.druid.data.input.InputSource` "
        "known type ids = [azure, azureStorage, combining, druid, google, http, inline, local, s3, sql] "
        "(for POJO property 'inputSource')"
    )
    assert error.where == "spec.ioConfig.inputSource.type"


@pytest.mark.parametrize("kind", ["kinesis", "avro_stream", "protobuf", "thrift", "lines"])
def test_a_format_that_is_not_built_is_refused_with_those_there_are(kind):
    error = refusal({"type": "inline", "data": "x"}, {"type": kind})
    assert (
        f"Could not resolve type id '{kind}' as a subtype of `org.apache.druid.data.input.InputFormat` "
        "known type ids = [avro_ocf, csv, json, kafka, orc, parquet, regex, tsv]"
    ) in error.message
    assert error.where == "spec.ioConfig.inputFormat.type"


def test_the_format_of_kafkas_messages_is_for_them_alone():
    error = refusal({"type": "inline", "data": "x"}, {"type": "kafka", "valueFormat": {"type": "json"}})
    assert "only a kafka supervisor can use it" in error.message
    assert error.where == "spec.ioConfig.inputFormat"


@pytest.mark.parametrize(
    ("form", "problem", "where"),
    [
        ({"type": "regex", "pattern": "(a"}, "The pattern cannot be read: missing ), unterminated", "pattern"),
        ({"type": "avro_ocf", "extractUnionsByType": True}, "extractUnionsByType is not known", "extractUnionsByType"),
    ],
)
def test_a_format_that_no_task_could_read_by_is_refused_at_submit(form, problem, where):
    error = refusal({"type": "inline", "data": "x"}, form)
    assert f"problem: {problem}" in error.message
    assert error.where == f"spec.ioConfig.inputFormat.{where}"


def test_sources_of_rows_are_not_combined():
    sql = {"type": "sql", "sqls": ["SELECT 1"], "database": database()}
    error = refusal({"type": "combining", "delegates": [{"type": "inline", "data": "x"}, sql]})
    assert error.message.endswith("problem: A source of type sql gives rows, not bytes: it cannot be combined")
    assert error.where == "spec.ioConfig.inputSource.delegates"
