"""What messages may hold: json, csv, tsv, and the `kafka` format with key, headers and timestamp."""

from __future__ import annotations

import orjson
import pytest

from .topics import column, create, end, handoff, new_name, spec, until_read, until_stored

AT = 1_704_067_200_000


def published(broker, server, input_format, send, *, schema=None) -> str:
    """Send messages to partition 0, and have them published; gives the datasource."""
    topic = new_name()
    broker.create(topic, 1)
    count = send(topic)
    supervisor = create(server, spec(broker, topic, io={"inputFormat": input_format}, schema=schema))
    until_read(server, supervisor, {"0": count})
    handoff(server, supervisor, 0)
    until_stored(server, topic, {"0": count})
    end(server, supervisor)
    return topic


@pytest.mark.parametrize(("kind", "mark"), [("csv", ","), ("tsv", "\t")])
def test_delimited_messages_become_rows(broker, shared, kind, mark):
    def send(topic):
        for n in range(3):
            broker.send(topic, mark.join((str(AT + n), f"p{n}", str(n))).encode())
        broker.send(topic, mark.join(("no time", "p", "4")).encode())
        return 4

    topic = published(broker, shared, {"type": kind, "columns": ["ts", "page", "n"]}, send)
    assert (column(shared, topic), column(shared, topic, "page")) == ([0, 1, 2], ["p0", "p1", "p2"])


def test_json_messages_may_hold_line_breaks_and_bad_ones_cost_only_themselves(broker, shared):
    def send(topic):
        broker.send(topic, b'{"ts": %d,\n "page": "a", "n": 1}' % AT)
        broker.send(topic, b"{no json")
        broker.send(topic, None)
        broker.send(topic, b'{"ts": %d, "page": "b", "n": 2}' % AT)
        return 4

    topic = published(broker, shared, {"type": "json"}, send)
    assert column(shared, topic) == [1, 2]


def test_the_kafka_format_adds_key_headers_topic_and_timestamp(broker, shared):
    def send(topic):
        headers = [("env", b"prod"), ("zone", b"z1")]
        broker.send(topic, b'{"page": "a", "n": 1}', key=b"k1", headers=headers, timestamp=AT + 5)
        broker.send(topic, b'{"page": "b", "n": 2, "kafka.key": "own"}', timestamp=AT + 7)
        return 2

    form = {
        "type": "kafka",
        "valueFormat": {"type": "json"},
        "keyFormat": {"type": "regex", "pattern": "(.*)", "columns": ["x"]},
        "headerFormat": {"type": "string"},
    }
    names = ["page", "kafka.key", "kafka.header.env", "kafka.header.zone", "kafka.topic"]
    schema = {
        "timestampSpec": {"column": "kafka.timestamp", "format": "millis"},
        "dimensionsSpec": {"dimensions": [*names, {"type": "long", "name": "n"}]},
    }
    topic = published(broker, shared, form, send, schema=schema)
    assert column(shared, topic, "__time") == [AT + 5, AT + 7]
    assert column(shared, topic, "kafka.key") == ["k1", "own"]
    assert column(shared, topic, "kafka.header.env") == ["prod", None]
    assert column(shared, topic, "kafka.header.zone") == ["z1", None]
    assert column(shared, topic, "kafka.topic") == [topic, topic]


def test_fields_that_nobody_named_and_sketches_are_built_over_several_fetches(broker, shared):
    def send(topic):
        for n in range(300):
            row = {
                "ts": AT + n * 10,
                "page": f"p{n % 3}",
                "n": n,
                "uid": n,
                "tags": ["a", f"t{n % 5}"],
                "x": n / 2,
                "deep": {"k": n},
            }
            broker.send(topic, orjson.dumps(row if n % 50 else {**row, "late": True}))
        return 300

    schema = {
        "dimensionsSpec": {"useSchemaDiscovery": True, "dimensionExclusions": ["x"]},
        "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": False},
        "metricsSpec": [
            {"type": "count", "name": "rows"},
            {"type": "doubleSum", "name": "sum_x", "fieldName": "x"},
            {"type": "stringLast", "name": "last_page", "fieldName": "page", "maxStringBytes": 64},
            {"type": "hyperUnique", "name": "unique_pages", "fieldName": "page"},
            {"type": "HLLSketchBuild", "name": "hll", "fieldName": "uid"},
            {"type": "thetaSketch", "name": "theta", "fieldName": "page"},
            {"type": "quantilesDoublesSketch", "name": "quantiles", "fieldName": "x"},
        ],
    }
    topic = published(broker, shared, {"type": "json"}, send, schema=schema)
    assert sorted(column(shared, topic)) == list(range(300))
    assert sum(column(shared, topic, "rows")) == 300
    assert sum(column(shared, topic, "sum_x")) == sum(range(300)) / 2
    assert column(shared, topic, "tags")[:2] == [["a", "t0"], ["a", "t1"]]
    assert column(shared, topic, "deep")[:2] == ['{"k":0}', '{"k":1}']
    assert column(shared, topic, "late").count(None) == 294
    for name in ("last_page", "unique_pages", "hll", "theta", "quantiles"):
        assert None not in column(shared, topic, name)
