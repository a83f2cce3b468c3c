"""Transactions, retries and the absence of the database, on a real Postgres."""

import threading

import psycopg
import pytest

from overlord.errors import SettingError, Unavailable
from overlord.store.db import Database, Transient
from overlord.store.migrate import migrate
from overlord.store.queries import Tables, migrations


def test_what_raises_is_rolled_back_and_calls_no_hooks(db):
    called = []
    with pytest.raises(RuntimeError), db.transaction() as tx:
        tx.run("config.put", name="a", payload=b"1")
        tx.after_commit(lambda: called.append(1))
        raise RuntimeError
    with db.transaction() as tx:
        assert tx.one("config.get", name="a") is None
    assert called == []


def test_hooks_run_after_the_commit_and_one_that_fails_stops_no_other(db):
    called = []

    def look():
        with db.transaction() as tx:
            called.append(tx.one("config.get", name="a")["payload"])

    with db.transaction() as tx:
        tx.run("config.put", name="a", payload=b"1")
        tx.after_commit(lambda: 1 / 0)
        tx.after_commit(look)
        assert called == []
    assert called == [b"1"]


def test_stream_reads_without_holding_all(db):
    with db.transaction() as tx:
        for number in range(50):
            tx.run("config.put", name=str(number), payload=b"x")
    with db.transaction() as tx:
        rows = tx.stream("db.ping")
        other = tx.stream("db.ping")
        assert next(rows) == next(other) == {"yes": 1}


def test_datasource_lock_is_held_until_the_end_of_the_transaction(db):
    order = []
    entered = threading.Event()

    def second():
        with db.transaction() as tx:
            entered.set()
            tx.lock_datasource("d")
            order.append("second")

    with db.transaction() as tx:
        tx.lock_datasource("d")
        tx.lock_datasource("d")
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        with db.transaction() as other:
            other.lock_datasource("another")
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_retry_tries_again_what_was_certainly_not_committed(db):
    tries = []

    def body():
        tries.append(1)
        if len(tries) < 3:
            raise Transient("again")
        return "done"

    assert db.retry(body) == "done"
    assert len(tries) == 3


def test_a_connection_lost_within_a_transaction_is_tried_again(db, dsn):
    pids = []

    def body():
        with db.transaction() as tx:
            if not pids:
                pids.append(tx._conn.info.backend_pid)
                with psycopg.connect(dsn, autocommit=True) as conn:
                    conn.execute("SELECT pg_terminate_backend(%s, 1000)", pids)
            return tx.one("db.ping")

    assert db.retry(body) == {"yes": 1}


def test_connections_lost_while_idle_are_noticed_before_they_are_used(db, dsn):
    assert db.healthy()
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with db.transaction() as tx:
        assert tx.one("db.ping") == {"yes": 1}


def test_a_database_that_is_away_is_unavailable_within_the_wait():
    away = Database("postgresql://nobody@127.0.0.1:9/none", wait_s=0.2)
    try:
        with pytest.raises(Unavailable) as caught, away.transaction():
            pass
        assert caught.value.headers["Retry-After"]
        assert not away.healthy()
    finally:
        away.close()


def test_migrating_again_changes_nothing(db):
    assert migrate(db) == []


def test_migrations_tolerate_tables_that_a_stock_server_made(postgres, dsn):
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE x_tasks (id varchar(255) PRIMARY KEY, created_date varchar(255) NOT NULL, "
                     "datasource varchar(255) NOT NULL, payload bytea NOT NULL, status_payload bytea NOT NULL, "
                     "active boolean NOT NULL DEFAULT false)")  # fmt: skip
    other = Database(dsn, base="x")
    try:
        assert migrate(other) == [name for name, _ in migrations()]
        with psycopg.connect(dsn) as conn:
            names = {row[0] for row in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        assert {"x_tasks", "x_tasklocks", "ovl_x_locks", "druid_tasks", "ovl_locks"} <= names
    finally:
        other.close()


def test_table_names_are_names():
    with pytest.raises(SettingError):
        Tables("x; drop")
    assert Tables("druid", {"tasks": "my_tasks"}).fill("{tasks} {tasklocks} {ovl_locks}") == (
        "my_tasks druid_tasklocks ovl_locks"
    )
