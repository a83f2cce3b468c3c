"""Case `kafka` of bench.py: a topic that lies ready is read by one task and published."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, Protocol
from urllib.parse import quote

import requests

AT = 1_704_067_200_000
_EVERY_S = 0.01
_PATIENCE_S = 300.0


class Server(Protocol):
    """What is asked of a server under test."""

    root: str
    dsn: str | None

    def get(self, path: str, **parameters: Any) -> Any:
        """JSON of a GET."""

    def post(self, path: str, body: Any = None) -> Any:
        """JSON of a POST."""


def produce(broker: str, topic: str, messages: int, partitions: int) -> None:
    """Small JSON messages, all of one day, spread over the partitions in turn."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": broker})
    if topic in admin.list_topics(timeout=30).topics:
        return
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
    settings = {"bootstrap.servers": broker, "linger.ms": 50, "queue.buffering.max.messages": 2_000_000}
    producer = Producer(settings)
    for n in range(messages):
        row = {"ts": AT + n % 86_400_000, "page": f"page-{n % 1000}", "user": f"u{n % 9973}", "n": n}
        producer.produce(topic, json.dumps(row), partition=n % partitions)
        if n % 10_000 == 0:
            producer.poll(0)
    if producer.flush(120):
        raise RuntimeError("the broker did not take all messages")


def supervisor(broker: str, topic: str, datasource: str) -> dict[str, Any]:
    """One task, that ends when it is told to."""
    return {
        "type": "kafka",
        "spec": {
            "dataSchema": {
                "dataSource": datasource,
                "timestampSpec": {"column": "ts", "format": "millis"},
                "dimensionsSpec": {"dimensions": ["page", "user", {"type": "long", "name": "n"}]},
                "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": False},
            },
            "ioConfig": {
                "topic": topic,
                "inputFormat": {"type": "json"},
                "consumerProperties": {"bootstrap.servers": broker},
                "taskCount": 1,
                "taskDuration": "PT1H",
                "startDelay": "PT1S",
                "period": "PT1S",
                "useEarliestOffset": True,
            },
            "tuningConfig": {"type": "kafka", "offsetFetchPeriod": "PT5S"},
        },
    }


def kafka(server: Server, broker: str, messages: int, partitions: int) -> dict[str, float]:
    """From the moment the task reads to the end offsets in `druid_datasource`."""
    import psycopg

    if not server.dsn:
        raise SystemExit("kafka needs --dsn (and --dsn-vs)")
    topic = f"bench-{messages}-{partitions}"
    produce(broker, topic, messages, partitions)
    datasource = f"b_kafka_{uuid.uuid4().hex[:6]}"
    server.post("/supervisor", supervisor(broker, topic, datasource))
    deadline = time.monotonic() + _PATIENCE_S
    with requests.Session() as http, psycopg.connect(server.dsn, autocommit=True) as db:
        chat = _task(server, datasource, deadline)
        begun = _begun(http, chat, deadline)
        _read(http, chat, messages, deadline)
        read = time.perf_counter()
        server.post(f"/supervisor/{datasource}/taskGroups/handoff", {"taskGroupIds": [0]})
        while _stored(db, datasource) < messages:
            _wait(deadline)
        wall = time.perf_counter() - begun
    server.post(f"/supervisor/{datasource}/terminate")
    return {"kafka_messages_per_s": messages / wall, "kafka_s": wall, "kafka_read_s": read - begun}


def _wait(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError("kafka")
    time.sleep(_EVERY_S)


def _task(server: Server, datasource: str, deadline: float) -> str:
    """Where the task answers."""
    while True:
        running = server.get("/tasks", state="running", datasource=datasource)
        if running:
            place = running[0]["location"]
            if place and place["host"]:
                task = quote(running[0]["id"], safe="")
                return f"http://{place['host']}:{place['port']}/druid/worker/v1/chat/{task}"
        _wait(deadline)


def _ask(http: requests.Session, url: str) -> Any:
    try:
        answer = http.get(url, timeout=30)
        return answer.json() if answer.status_code == 200 else None
    except (requests.RequestException, ValueError):
        return None  # it does not listen yet, or not any more


def _begun(http: requests.Session, chat: str, deadline: float) -> float:
    while _ask(http, chat + "/status") not in ("READING", "PAUSED", "PUBLISHING"):
        _wait(deadline)
    return time.perf_counter()


def _read(http: requests.Session, chat: str, messages: int, deadline: float) -> None:
    while sum((_ask(http, chat + "/offsets/current") or {}).values()) < messages:
        _wait(deadline)


def _stored(db: Any, datasource: str) -> int:
    query = "SELECT commit_metadata_payload FROM druid_datasource WHERE datasource = %s"
    row = db.execute(query, (datasource,)).fetchone()
    if row is None:
        return 0
    offsets: dict[str, int] = json.loads(bytes(row[0]))["partitions"]["partitionSequenceNumberMap"]
    return sum(offsets.values())
