"""Objects of S3 against a server that speaks it; the other stores share all but the address."""

from __future__ import annotations

import gzip

import obstore
import pytest

from overlord.errors import TaskFailed
from workers.ingest import Input
from workers.ingest.sources import SplitHint, input_sources
from workers.ingest.sources.cloud import glob_pattern


@pytest.fixture
def filled(s3, bucket):
    for key in ("in/a.json", "in/b.json.gz", "in/deep/c.json", "in/d.txt", "inside.json", "in/e f+g%25.json"):
        data = b'{"t": "2024-01-01", "a": "%s"}\n' % key.encode()
        obstore.put(bucket.store, key, gzip.compress(data) if key.endswith("gz") else data)
    obstore.put(bucket.store, "in/empty.json", b"")
    return s3


def source(settings, **given):
    bucket = settings["bucket"]
    named = {
        name: [each.format(b=bucket) for each in given.pop(name)] for name in ("uris", "prefixes") if name in given
    }
    return {"type": "s3", **named, **given}


def keys(settings, **given):
    made = input_sources["s3"].from_json(source(settings, **given), settings)
    return [item.system["__file_path"] for item in made.objects()]


def rows(settings, json):
    spec = {
        "dataSchema": {
            "dataSource": "ds",
            "timestampSpec": {"column": "t"},
            "dimensionsSpec": {"dimensions": ["a", "__file_uri"]},
        },
        "ioConfig": {"inputSource": json, "inputFormat": {"type": "json"}},
    }
    found = []
    for chunk in Input(spec, settings).read(1 << 20):
        found += chunk.batch.columns["a"].to_list()
    return found


def test_prefixes_are_texts_and_empty_objects_are_passed_over(filled):
    everything = ["in/a.json", "in/b.json.gz", "in/d.txt", "in/deep/c.json", "in/e f+g%25.json"]
    assert keys(filled, prefixes=["s3://{b}/in/"]) == everything
    assert keys(filled, prefixes=["s3://{b}/in"]) == [*everything, "inside.json"]
    assert keys(filled, prefixes=["s3://{b}/in/"], objectGlob="**.json") == [
        "in/a.json",
        "in/deep/c.json",
        "in/e f+g%25.json",
    ]


def test_uris_and_objects_are_read_in_their_order_and_gzip_is_known(filled):
    json = source(filled, uris=["s3://{b}/in/deep/c.json", "s3://{b}/in/b.json.gz"])
    assert rows(filled, json) == ["in/deep/c.json", "in/b.json.gz"]
    json = source(filled, objects=[{"bucket": filled["bucket"], "path": "in/e f+g%25.json"}])
    assert rows(filled, json) == ["in/e f+g%25.json"]


def test_splits_hold_the_same_objects(filled):
    json = source(filled, prefixes=["s3://{b}/in/"], objectGlob="**.json*", systemFields=["__file_uri"])
    splits = list(input_sources["s3"].from_json(json, filled).splits(SplitHint(max_objects=2)))
    assert len(splits) == 2
    assert [row for split in splits for row in rows(filled, split)] == rows(filled, json)


def test_credentials_of_the_spec_go_before_the_settings(filled):
    json = source(filled, uris=["s3://{b}/in/a.json"])
    json["properties"] = {"accessKeyId": {"type": "default", "password": "x"}, "secretAccessKey": "y"}
    json["endpointConfig"] = {"url": filled["druid.s3.endpoint.url"], "signingRegion": "eu-west-1"}
    assert rows({}, json) == ["in/a.json"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"uris": ["s3://{b}/in/none.json"]}, "in/none.json: there is no such object"),
        ({"uris": ["s3://nobody-has-this/x"]}, "nobody-has-this/x"),
        ({"prefixes": ["s3://nobody-has-this/x"]}, "there is no such bucket"),
        ({"prefixes": ["s3://{b}/in/"], "objectGlob": "*.csv"}, r"matches '\*.csv'"),
        ({"uris": ["http://x/y"]}, "s3://bucket/key"),
        ({}, "needs uris, prefixes or objects"),
    ],
)
def test_what_is_not_there_is_named(filled, given, text):
    with pytest.raises(TaskFailed, match=text):
        keys(filled, **given)


def test_an_object_that_vanishes_while_it_is_read_is_named(s3, bucket):
    import os

    obstore.put(bucket.store, "big", os.urandom(10 << 20))
    stream = bucket.open("big")
    assert stream.read(1000)
    bucket.delete("big")
    with pytest.raises(TaskFailed, match="/big: there is no such object"):
        while stream.read(1 << 20):
            pass


@pytest.mark.parametrize("kind", ["google", "azure", "azureStorage"])
def test_the_other_stores_name_their_uris(kind):
    wrong = {"type": kind, "uris": ["s3://a/b"]}
    with pytest.raises(TaskFailed, match=r"://bucket/key"):
        input_sources[kind].from_json(wrong, {})
    scheme = {"google": "gs", "azure": "azure", "azureStorage": "azureStorage"}[kind]
    made = input_sources[kind].from_json({"type": kind, "uris": [f"{scheme}://one/two/three"]}, {})
    assert made.uris == [("one/two", "three") if kind == "azureStorage" else ("one", "two/three")]


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("**.json", ["a.json", "a/b.json"], ["a.jsonl"]),
        ("*.json", ["a.json"], ["a/b.json"]),
        ("a/{x,y}?.[ch]", ["a/x1.c", "a/y2.h"], ["a/z1.c", "a/x/.c", "a/x1.d"]),
        ("[!a]*", ["b"], ["a"]),
    ],
)
def test_globs_are_javas(glob, yes, no):
    import re

    pattern = re.compile(glob_pattern(glob), re.DOTALL)
    assert all(map(pattern.fullmatch, yes)) and not any(map(pattern.fullmatch, no))
