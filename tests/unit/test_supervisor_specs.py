"""Specs of supervisors: what is refused with which words, and what is written is read again."""

from __future__ import annotations

import orjson
import pytest

from overlord.errors import BadRequest
from overlord.schemas import load_supervisor, stored_supervisor

SCHEMA = {"dataSource": "ds", "timestampSpec": {"column": "ts"}, "dimensionsSpec": {"dimensions": ["a"]}}
PROPERTIES = {"bootstrap.servers": "b:1"}
IO = "org.apache.druid.indexing.kafka.supervisor.KafkaSupervisorIOConfig"
SCALER = "org.apache.druid.indexing.seekablestream.supervisor.autoscaler.LagBasedAutoScalerConfig"


def kafka(tuning=None, **io):
    given = {"topic": "t", "consumerProperties": PROPERTIES, "inputFormat": {"type": "json"}} | io
    return {"type": "kafka", "spec": {"dataSchema": SCHEMA, "ioConfig": given, "tuningConfig": tuning}}


def refusal(body):
    with pytest.raises(BadRequest) as refused:
        load_supervisor(body)
    return refused.value


@pytest.mark.parametrize(
    ("io", "java", "problem"),
    [
        ({"topicPattern": "t.*"}, IO, "Only one of topic [t] or topicPattern [t.*] must be specified"),
        ({"topic": None}, IO, "Either topic or topicPattern must be specified"),
        ({"consumerProperties": None}, IO, "consumerProperties"),
        ({"consumerProperties": {}}, IO, "consumerProperties must contain entry for [bootstrap.servers]"),
        ({"stopTaskCount": 0}, IO, "stopTaskCount must be greater than 0"),
        ({"taskCount": -1}, IO, "taskCount must be greater than 0"),
        ({"autoScalerConfig": {"enableTaskAutoScaler": True}}, SCALER, "taskCountMax or taskCountMin can't be null!"),
        (
            {"autoScalerConfig": {"enableTaskAutoScaler": True, "taskCountMin": 3, "taskCountMax": 2}},
            SCALER,
            "taskCountMax can't lower than taskCountMin!",
        ),
    ],
)
def test_what_druid_refuses_is_refused_in_its_words(io, java, problem):
    assert refusal(kafka(**io)).message == f"Cannot construct instance of `{java}`, problem: {problem}"


def test_both_rules_for_late_messages_are_refused():
    io = {"lateMessageRejectionPeriod": "PT1H", "lateMessageRejectionStartDateTime": "2024-01-01"}
    assert "does not support both properties" in refusal(kafka(**io)).message


def test_a_wrong_scalar_is_named_with_its_place():
    error = refusal(kafka(taskCount="many"))
    assert error.message == 'Cannot deserialize value of type `int` from String "many": not a valid `int` value'
    assert error.where == "spec.ioConfig.taskCount"


def test_a_period_of_months_has_no_length():
    assert "months vary in length" in refusal(kafka(taskDuration="P1M")).message


@pytest.mark.parametrize(
    ("name", "problem"),
    [("", "must not be null"), ("a/b", "Value [a/b] cannot contain '/'."), (None, "must not be null")],
)
def test_names_of_datasources_are_checked(name, problem):
    body = kafka()
    body["spec"]["dataSchema"] = SCHEMA | {"dataSource": name}
    assert refusal(body).message.endswith(f"Invalid value for field [dataSource]: {problem}")


def test_a_tuning_config_needs_its_type():
    assert "missing type id property 'type' (for POJO property 'tuningConfig')" in refusal(kafka(tuning={})).message


def test_an_autoscaler_sets_the_number_of_tasks():
    scaler = {"enableTaskAutoScaler": True, "taskCountMin": 2, "taskCountMax": 5}
    io = load_supervisor(kafka(taskCount=9, autoScalerConfig=scaler)).payload["spec"]["ioConfig"]
    assert io["taskCount"] == 2


def test_the_id_may_differ_from_the_datasource():
    spec = load_supervisor(kafka() | {"id": "other"})
    assert (spec.id, spec.datasources, spec.payload["id"]) == ("other", ("ds",), "other")
    assert "id" not in load_supervisor(kafka()).payload


@pytest.mark.parametrize(
    "body",
    [
        kafka(),
        kafka(tuning={"type": "kafka", "httpTimeout": "PT1M", "reportParseExceptions": True}),
        kafka(topic=None, topicPattern="a.*", lateMessageRejectionPeriod="PT0.5S", idleConfig={"enabled": True}),
        kafka(autoScalerConfig={"enableTaskAutoScaler": True, "taskCountMin": 1, "taskCountMax": 2}) | {"id": "x"},
        kafka(autoScalerConfig={}) | {"context": {"priority": 3}, "suspended": True},
        {"type": "autocompact", "spec": {"dataSource": "ds", "taskPriority": 3}},
        {"type": "NoopSupervisorSpec", "id": "n", "dataSources": ["a", "b"]},
    ],
)
def test_what_is_written_reads_as_the_same_spec(body):
    spec = load_supervisor(body)
    again = stored_supervisor(spec.written)
    assert again == spec and again.written == spec.written


def test_a_tombstone_is_read_as_one():
    tombstone = stored_supervisor(load_supervisor(kafka()).tombstone().written)
    assert tombstone.is_noop and tombstone.id is None and tombstone.datasources == ("ds",)


def test_a_noop_is_written_with_both_its_types_and_read_by_either():
    written = load_supervisor({"type": "NoopSupervisorSpec", "id": "n", "dataSources": ["a"]}).written
    assert written.startswith(b'{"type":"NoopSupervisorSpec","id":"n"') and orjson.loads(written)["type"] == "noop"


@pytest.mark.parametrize("body", [{"dataSources": ["a"]}, {"id": "n"}, {"id": "n", "dataSources": []}, {"id": ""}])
def test_a_noop_without_id_or_datasources_is_the_clients_fault(body):
    assert refusal({"type": "NoopSupervisorSpec", **body}).where in ("id", "dataSources")


def test_suspending_changes_the_spec_but_not_a_noop():
    spec = load_supervisor(kafka())
    assert (
        spec.with_suspended(True).payload["suspended"] is True
        and spec.with_suspended(True).with_suspended(False) == spec
    )
    noop = load_supervisor({"type": "NoopSupervisorSpec", "id": "n", "dataSources": ["a"]})
    assert noop.with_suspended(True) == noop


KAFKA_FORMAT = "org.apache.druid.data.input.kafkainput.KafkaInputFormat"


def test_the_kafka_format_is_stored_with_all_defaults():
    given = {"type": "kafka", "valueFormat": {"type": "json"}, "headerFormat": {"type": "string"}}
    stored = load_supervisor(kafka(inputFormat=given)).payload["spec"]["ioConfig"]["inputFormat"]
    assert list(stored.items()) == [
        ("type", "kafka"),
        ("headerFormat", {"type": "string", "encoding": "UTF-8"}),
        ("keyFormat", None),
        ("valueFormat", {"type": "json"}),
        ("headerColumnPrefix", "kafka.header."),
        ("keyColumnName", "kafka.key"),
        ("timestampColumnName", "kafka.timestamp"),
        ("topicColumnName", "kafka.topic"),
    ]


@pytest.mark.parametrize(
    ("form", "text", "where"),
    [
        ({}, f"Cannot construct instance of `{KAFKA_FORMAT}`, problem: valueFormat must not be null", "valueFormat"),
        ({"valueFormat": {"type": "x"}}, "Could not resolve type id 'x' as a subtype of", "valueFormat.type"),
        (
            {"valueFormat": {"type": "json"}, "headerFormat": {"type": "string", "encoding": "nope"}},
            "KafkaStringHeaderFormat`, problem: nope",
            "headerFormat.encoding",
        ),
        (
            {"valueFormat": {"type": "json", "flattenSpec": {"fields": [{"type": "path", "name": "a", "expr": "$["}]}}},
            "JSONPathFieldSpec`, problem: Could not parse token",
            "valueFormat.flattenSpec.fields[0].expr",
        ),
    ],
)
def test_what_is_wrong_inside_the_kafka_format_is_refused_with_its_place(form, text, where):
    error = refusal(kafka(inputFormat={"type": "kafka", **form}))
    assert text in error.message
    assert error.where == f"spec.ioConfig.inputFormat.{where}"
