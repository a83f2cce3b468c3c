#!/usr/bin/env python3
"""conform.py plus steps that are not HTTP, and scenarios that need more than the server.

    conform_ext.py [--kafka HOST:PORT] [--pg DSN] record|replay ...   (then as conform.py)

The same options can come from CONFORM_KAFKA and CONFORM_PG. A scenario may say what it needs in
`"requires": ["kafka", "pg"]`; it is skipped (which is said) when that is not given.

Extra steps, answered like an HTTP 200 with a JSON body, so `save`, `poll` and `expect` work on them:

    {"method": "KAFKA", "path": "create",  "body": {"topic": "t_{{uniq}}", "partitions": 2}}
    {"method": "KAFKA", "path": "produce", "body": {"topic": "t_{{uniq}}", "records": [
        {"partition": 0, "value": {...} or "text", "key": "k"?, "headers": {"h": "v"}?, "timestamp": ms?}]}}
    {"method": "KAFKA", "path": "delete",  "body": {"topic": "t_{{uniq}}"}}
    {"method": "SQL",   "path": "any label", "body": {"query": "SELECT ... WHERE datasource = %(ds)s",
                                                      "params": {"ds": "d_{{uniq}}"}}}
    {"method": "SHUTDOWN", "path": "d_{{uniq}}"}                     shuts down every active task of the datasource

A SELECT answers with an array of row objects (bytea columns as text), anything else with {"rows": N}.
The variable {{id:kafka}} is the broker's address.
Needs: requests; confluent-kafka for KAFKA steps; psycopg for SQL steps.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import conform

OPTIONS = {"kafka": "CONFORM_KAFKA", "pg": "CONFORM_PG"}
GIVEN = {name: os.environ[env] for name, env in OPTIONS.items() if os.environ.get(env)}


class Answer:
    """What a local step answers, in the shape conform.py expects of an HTTP response."""

    def __init__(self, document, status: int = 200):
        self.status_code, self.text = status, json.dumps(document)
        self.headers = {"Content-Type": "application/json"}

    def json(self):
        return json.loads(self.text)


def kafka_step(verb: str, body: dict) -> Answer:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    servers = {"bootstrap.servers": GIVEN["kafka"]}
    topic = body["topic"]
    if verb == "create":
        admin = AdminClient(servers)  # must outlive the future
        admin.create_topics([NewTopic(topic, body.get("partitions", 1), 1)])[topic].result(30)
        return Answer({"topic": topic})
    if verb == "delete":
        admin = AdminClient(servers)
        admin.delete_topics([topic])[topic].result(30)
        return Answer({"topic": topic})
    producer = Producer({**servers, "enable.idempotence": True})
    for record in body["records"]:
        value = record["value"]
        text = value if isinstance(value, str) else json.dumps(value)
        extra = {k: record[k] for k in ("key", "timestamp") if k in record}
        if "headers" in record:
            extra["headers"] = [(k, v.encode()) for k, v in record["headers"].items()]
        producer.produce(topic, text.encode(), partition=record.get("partition", 0), **extra)
    left = producer.flush(30)
    return Answer({"produced": len(body["records"]) - left})


def sql_step(body: dict) -> Answer:
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(GIVEN["pg"], row_factory=dict_row) as connection:
        cursor = connection.execute(body["query"], body.get("params") or None)
        if cursor.description is None:
            return Answer({"rows": cursor.rowcount})
        rows = cursor.fetchall()
    clean = [{k: bytes(v).decode() if isinstance(v, (bytes, memoryview)) else v for k, v in r.items()} for r in rows]
    return Answer(clean)


class Server(conform.Server):
    def send(self, step: dict, bound: dict):
        if "kafka" in GIVEN:
            bound.setdefault("kafka", GIVEN["kafka"])
        body = conform.fill(step.get("body", {}), bound)
        if step["method"] in ("KAFKA", "SQL"):
            try:
                return kafka_step(step["path"], body) if step["method"] == "KAFKA" else sql_step(body)
            except Exception as error:  # shows up as a mismatch, and the other steps go on
                return Answer({"error": str(error)}, 500)
        if step["method"] == "SHUTDOWN":
            return self.shut_down(conform.fill(step["path"], bound))
        return super().send(step, bound)

    def shut_down(self, datasource: str) -> Answer:
        """shutdownAllTasks would do, but the real 33.0.0 does not route it."""
        tasks = self.session.get(f"{self.base}/druid/indexer/v1/tasks?datasource={datasource}", timeout=60).json()
        active = [t["id"] for t in tasks if t["statusCode"] == "RUNNING"]
        for task in active:
            self.session.post(f"{self.base}/druid/indexer/v1/task/{task}/shutdown", timeout=60)
        return Answer({"shutdown": len(active)})


def usable(path: Path) -> bool:
    missing = [n for n in json.loads(path.read_text()).get("requires", []) if n not in GIVEN]
    if missing:
        print(f"SKIP {path.stem} (needs {', '.join(missing)})")
    return not missing


def main() -> int:
    arguments = sys.argv[1:]
    while arguments and arguments[0][2:] in OPTIONS:
        GIVEN[arguments[0][2:]] = arguments[1]
        arguments = arguments[2:]
    every_file = conform.scenario_files
    conform.scenario_files = lambda paths: [p for p in every_file(paths) if usable(p)]
    conform.Server = Server
    sys.argv = [sys.argv[0], *arguments]
    return conform.main()


if __name__ == "__main__":
    sys.exit(main())
