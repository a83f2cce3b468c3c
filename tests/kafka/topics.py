"""Specs, and what was published of a topic."""

from __future__ import annotations

import uuid
from pathlib import Path

import orjson

from workers.segment.reader import SegmentReader


def new_name(prefix: str = "k") -> str:
    """A name that nobody has."""
    return f"{prefix}_{uuid.uuid4().hex[:10]}"


def spec(broker, topic: str, datasource: str | None = None, *, io=None, tuning=None, schema=None, **more) -> dict:
    """A supervisor that takes turns of seconds."""
    return {
        "type": "kafka",
        "spec": {
            "dataSchema": {
                "dataSource": datasource or topic,
                "timestampSpec": {"column": "ts", "format": "millis"},
                "dimensionsSpec": {"dimensions": ["page", {"type": "long", "name": "n"}]},
                "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": False},
                **(schema or {}),
            },
            "ioConfig": {
                "topic": topic,
                "inputFormat": {"type": "json"},
                "consumerProperties": {"bootstrap.servers": broker.address},
                "taskCount": 1,
                "replicas": 1,
                "taskDuration": "PT1H",
                "startDelay": "PT0.2S",
                "period": "PT0.5S",
                "useEarliestOffset": True,
                "completionTimeout": "PT2M",
                **(io or {}),
            },
            "tuningConfig": {
                "type": "kafka",
                "offsetFetchPeriod": "PT0.5S",
                "shutdownTimeout": "PT30S",
                **(tuning or {}),
            },
        },
        **more,
    }


def create(server, body: dict) -> str:
    """Post a supervisor; gives its id."""
    answer = server.post("/supervisor", body)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def status(server, supervisor: str) -> dict:
    """Payload of its status."""
    return server.get(f"/supervisor/{supervisor}/status").json()["payload"]


def segments(server, datasource: str) -> list[dict]:
    """Payloads of what is published."""
    rows = server.sql("SELECT payload FROM druid_segments WHERE datasource = %s AND used", datasource)
    return [orjson.loads(bytes(payload)) for (payload,) in rows]


def column(server, datasource: str, name: str = "n") -> list:
    """All published values of a column."""
    found: list = []
    for segment in segments(server, datasource):
        reader = SegmentReader(Path(segment["loadSpec"]["path"]))
        found += reader.read(name).to_list()
    return found


def stored(server, datasource: str) -> dict[str, int]:
    """How far the stream was published."""
    rows = server.sql("SELECT commit_metadata_payload FROM druid_datasource WHERE datasource = %s", datasource)
    return orjson.loads(bytes(rows[0][0]))["partitions"]["partitionSequenceNumberMap"] if rows else {}


def until_stored(server, datasource: str, offsets: dict[str, int], timeout_s: float = 120) -> None:
    """Wait for a publish up to there."""
    server.until(lambda: stored(server, datasource) == offsets, timeout_s)


def until_read(
    server, supervisor: str, offsets: dict[str, int], timeout_s: float = 120, *, tasks: int = 0
) -> list[str]:
    """Wait until all tasks (so many, if that is given) have read so far; gives their ids."""

    def look() -> list[str] | None:
        active = status(server, supervisor)["activeTasks"]
        reached: dict[str, set[int]] = {}
        for task in active:
            for name in task["startingOffsets"]:
                reached.setdefault(name, set()).add(task["currentOffsets"].get(name, -1))
        there = reached == {name: {offset} for name, offset in offsets.items()} and tasks in (0, len(active))
        return [task["id"] for task in active] if there else None

    return server.until(look, timeout_s)


def handoff(server, supervisor: str, *groups: int) -> None:
    """End groups now."""
    answer = server.post(f"/supervisor/{supervisor}/taskGroups/handoff", {"taskGroupIds": list(groups)})
    assert answer.status_code == 200, answer.text


def end(server, supervisor: str) -> None:
    """Terminate it."""
    server.post(f"/supervisor/{supervisor}/terminate")
