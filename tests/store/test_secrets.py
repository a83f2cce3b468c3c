"""A password in a spec reaches the worker and nobody else."""

from __future__ import annotations

import orjson
import psycopg

from overlord.model.audit import AuditInfo
from overlord.model.task import Task
from overlord.store import tasks as store


def test_a_password_is_in_no_stock_row_and_in_what_the_worker_gets(db, dsn):
    source = {"type": "http", "httpAuthenticationPassword": {"type": "default", "password": "hush"}}
    payload = {"type": "index", "id": "t", "spec": {"ioConfig": {"inputSource": source}}}
    task = Task(
        id="t",
        type="index",
        group_id="t",
        datasource="ds",
        payload=payload,
        priority=50,
        availability_group="t",
    )
    with db.transaction() as tx:
        store.submit(tx, task, orjson.dumps(payload), AuditInfo(), "2024-01-01T00:00:00.000Z")
    with psycopg.connect(dsn) as conn:
        (row,) = conn.execute("SELECT payload FROM druid_tasks").fetchall()
        audits = conn.execute("SELECT payload FROM druid_audit").fetchall()
    assert b"hush" not in row[0] and b"hush" not in b"".join(bytes(payload) for (payload,) in audits)
    with db.transaction() as tx:
        assert orjson.loads(store.payload(tx, "t")) == payload
