"""Google's and Azure's storage, through the real client, against a server that speaks enough of them."""

from __future__ import annotations

import gzip

import pytest

from overlord.errors import TaskFailed
from workers.ingest import Input
from workers.ingest.sources import SplitHint, input_sources

from .clouds import ACCOUNT, KEY, running

SCHEMES = {"google": "gs", "azure": "azure", "azureStorage": "azureStorage"}


@pytest.fixture
def clouds(monkeypatch):
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    with running() as server:
        monkeypatch.setenv("GOOGLE_BASE_URL", f"{server.url}/google")
        monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{server.url}/azure")
        for key in ("in/a.json", "in/b.json.gz", "in/deep/c.json", "in/d.txt", "inside.json", "in/e f+g%25é.json"):
            data = b'{"t": "2024-01-01", "a": "%s"}\n' % key.encode()
            server.put("bucket", key, gzip.compress(data) if key.endswith("gz") else data)
        server.put("bucket", "in/empty.json", b"")
        yield server


def uri(kind, key):
    return f"{SCHEMES[kind]}://{ACCOUNT + '/' if kind == 'azureStorage' else ''}bucket/{key}"


def source(kind, **given):
    named = {name: [uri(kind, key) for key in given.pop(name)] for name in ("uris", "prefixes") if name in given}
    properties = {"properties": {"key": KEY}} if kind == "azureStorage" else {}
    return {"type": kind, **properties, **named, **given}


SETTINGS = {"druid.azure.account": ACCOUNT, "druid.azure.key": KEY}
everywhere = pytest.mark.parametrize("kind", SCHEMES)


def made(kind, **given):
    return input_sources[kind].from_json(source(kind, **given), SETTINGS)


def rows(json):
    spec = {
        "dataSchema": {
            "dataSource": "ds",
            "timestampSpec": {"column": "t"},
            "dimensionsSpec": {"dimensions": ["a", "__file_uri", "__file_bucket", "__file_path"]},
        },
        "ioConfig": {"inputSource": json, "inputFormat": {"type": "json"}},
    }
    found = []
    for chunk in Input(spec, SETTINGS).read(1 << 20):
        names = ("a", "__file_uri", "__file_bucket", "__file_path")
        found += zip(*(chunk.batch.columns[name].to_list() for name in names), strict=True)
    return found


@everywhere
def test_objects_are_listed_page_by_page_and_chosen_by_a_glob(clouds, kind):
    everything = ["in/a.json", "in/b.json.gz", "in/d.txt", "in/deep/c.json", "in/e f+g%25é.json"]

    def keys(**given):
        return [item.system["__file_path"] for item in made(kind, **given).objects()]

    assert keys(prefixes=["in/"]) == everything
    assert keys(prefixes=["in"]) == [*everything, "inside.json"]
    assert keys(prefixes=["in/"], objectGlob="**.json") == ["in/a.json", "in/deep/c.json", "in/e f+g%25é.json"]


@everywhere
def test_rows_come_with_the_place_of_their_object(clouds, kind):
    fields = ["__file_uri", "__file_bucket", "__file_path"]
    bucket = f"{ACCOUNT}/bucket" if kind == "azureStorage" else "bucket"
    found = rows(source(kind, uris=["in/b.json.gz", "in/a.json"], systemFields=fields))
    assert found == [(key, uri(kind, key), bucket, key) for key in ("in/b.json.gz", "in/a.json")]


@everywhere
def test_splits_name_objects_and_are_read_again(clouds, kind):
    splits = list(made(kind, prefixes=["in/"], objectGlob="**.json*").splits(SplitHint(max_objects=2)))
    assert len(splits) == 2
    assert [row[0] for split in splits for row in rows(split)] == [
        "in/a.json", "in/b.json.gz", "in/deep/c.json", "in/e f+g%25é.json",
    ]  # fmt: skip


@everywhere
def test_a_busy_server_is_asked_again(clouds, kind):
    clouds.failures = [503, 500]
    assert [row[0] for row in rows(source(kind, uris=["in/a.json"]))] == ["in/a.json"]


@everywhere
def test_what_is_not_there_is_named(clouds, kind):
    with pytest.raises(TaskFailed, match=r"Cannot read \S+bucket/in/nope.json: there is no such object"):
        rows(source(kind, uris=["in/nope.json"]))
    with pytest.raises(TaskFailed, match=r"No object under \S+bucket/nothing/ was found"):
        rows(source(kind, prefixes=["nothing/"]))


def test_a_wrong_key_of_azure_is_told_and_not_shown(clouds):
    wrong = "d3Jvbmc="
    given = source("azureStorage", uris=["in/a.json"], properties={"key": wrong})
    with pytest.raises(TaskFailed, match=r"Cannot read azureStorage://acct/bucket/in/a.json") as failed:
        rows(given)
    assert wrong not in str(failed.value)


def test_the_key_of_the_settings_is_for_their_account_alone(clouds):
    for properties in ({}, None):
        with pytest.raises(TaskFailed):
            rows({"type": "azureStorage", "uris": ["azureStorage://other/bucket/in/a.json"], "properties": properties})
    assert not any("SharedKey other" in line for line in clouds.asked)


def test_the_host_of_an_azure_account_follows_the_settings(monkeypatch):
    from workers import object_store

    opened = {}
    monkeypatch.delenv("AZURE_STORAGE_ENDPOINT", raising=False)
    monkeypatch.setattr(object_store, "open_bucket", lambda kind, name, options, **more: opened.update(options, **more))
    settings = {**SETTINGS, "druid.azure.protocol": "http", "druid.azure.storageAccountEndpointSuffix": "blob.test"}
    object_store.open_azure("c", settings)
    assert (opened["azure_storage_endpoint"], opened["plain_http"]) == ("http://acct.blob.test", True)
    object_store.open_azure("c", SETTINGS)
    assert (opened["azure_storage_endpoint"], opened["plain_http"]) == (None, False)


def test_s3_is_reached_through_the_proxy_of_the_spec(clouds):
    """The proxy is our server: it sees the host that has no address, and answers as a bucket named google."""
    json = {
        "type": "s3",
        "uris": ["s3://google/bucket/in/a.json"],
        "properties": {"accessKeyId": "a", "secretAccessKey": "b"},
        "endpointConfig": {"url": "http://s3.invalid", "signingRegion": "us-east-1"},
        "clientConfig": {"enablePathStyleAccess": True},
        "proxyConfig": {"host": "127.0.0.1", "port": clouds.server_port, "username": "me", "password": "p@ss"},
    }
    assert [row[0] for row in rows(json)] == ["in/a.json"]
    assert clouds.asked[0].startswith("HEAD http://s3.invalid/google/bucket/in/a.json")
