"""Sampler specs for Kafka: what is refused before any broker is asked, and after none answers."""

from __future__ import annotations

import pytest

from overlord.errors import BadRequest
from overlord.schemas.sampler import load_sampler
from workers.asks import Refused
from workers.sampling import sample


def spec(**io):
    return {
        "type": "kafka",
        "spec": {
            "type": "kafka",
            "ioConfig": {
                "topic": "t",
                "useEarliestOffset": True,
                "consumerProperties": {"bootstrap.servers": "127.0.0.1:9"},
                "inputFormat": {"type": "json"},
                **io,
            },
            "dataSchema": {"dataSource": "d", "timestampSpec": {"column": "ts"}, "dimensionsSpec": {}},
        },
        "samplerConfig": {"timeoutMs": 100},
    }


@pytest.mark.parametrize(
    ("io", "text"),
    [
        ({"topic": None}, "Either topic or topicPattern must be specified"),
        ({"topicPattern": "t.*"}, "Only one of topic [t] or topicPattern [t.*] must be specified"),
        ({"consumerProperties": {}}, "consumerProperties must contain entry for [bootstrap.servers]"),
    ],
)
def test_druid_says_what_is_missing(io, text):
    with pytest.raises(BadRequest) as raised:
        load_sampler(spec(**io))
    assert raised.value.message.endswith(f"`, problem: {text}")


def test_a_broker_that_does_not_answer_is_told_in_druids_words():
    pytest.importorskip("confluent_kafka")
    request = load_sampler(spec())
    with pytest.raises(Refused) as raised:
        sample(request["spec"], request["samplerConfig"], {}, kind="kafka")
    assert raised.value.message == (
        "Exception while seeking to the [earliest] offset of partitions in topic [t]: "
        "Timeout expired while fetching topic metadata"
    )


def test_a_host_that_nobody_knows_is_told_in_druids_words():
    pytest.importorskip("confluent_kafka")
    request = load_sampler(spec(consumerProperties={"bootstrap.servers": "nohost.invalid:9"}))
    with pytest.raises(Refused, match="No resolvable bootstrap urls given"):
        sample(request["spec"], request["samplerConfig"], {}, kind="kafka")
