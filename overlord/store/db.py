"""The way to Postgres: a pool of connections, transactions, named queries, and what to do when it is away.

Errors leave this module in two kinds. `Unavailable`: the database cannot be reached; what was under way may or may
not be committed only if the connection broke during COMMIT (`in_doubt`). `Transient`, one of them: it was certainly
not committed, the same may work at once; `Database.retry` does that.
"""

from __future__ import annotations

import logging
import random
import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import psycopg
from psycopg import capabilities
from psycopg import errors as pg
from psycopg.rows import dict_row, tuple_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from overlord.errors import Unavailable
from overlord.store.group import Groups
from overlord.store.queries import Queries, Tables

_log = logging.getLogger(__name__)

T = TypeVar("T")
Row = dict[str, Any]

_TRIES = 5
_STREAM_ROWS = 2000
_SESSION = {
    "application_name": "overlord",
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    # No wait without an end: a lock of a transaction that hangs, a transaction whose thread is lost.
    "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=5min -c timezone=UTC",
}
_TO_TRY_AGAIN = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)
_AWAY = (
    pg.AdminShutdown,
    pg.CrashShutdown,
    pg.CannotConnectNow,
    pg.TooManyConnections,
    pg.IdleInTransactionSessionTimeout,
)


class DatabaseAway(Unavailable):
    """The database cannot be reached.

    Attributes
    ----------
    in_doubt : bool
        The connection broke while a transaction was being committed.
    """

    in_doubt = False


class Transient(DatabaseAway):
    """Nothing was committed, and the same may work at once."""


class Transaction:
    """What can be done within one transaction; made by `Database.transaction`."""

    def __init__(self, conn: psycopg.Connection[Row], queries: Queries) -> None:
        self._conn = conn
        self._queries = queries
        self._locked: set[str] = set()
        self._hooks: list[Callable[[], object]] = []
        self._streams = 0

    def one(self, name: str, /, **params: Any) -> Row | None:
        """The first row, or None."""
        return self._conn.execute(self._queries[name], params).fetchone()

    def all(self, name: str, /, **params: Any) -> list[Row]:
        """All rows."""
        return self._conn.execute(self._queries[name], params).fetchall()

    def run(self, name: str, /, **params: Any) -> int:
        """Number of rows that the statement changed."""
        return self._conn.execute(self._queries[name], params).rowcount

    def run_many(self, name: str, /, rows: list[Row]) -> int:
        """The statement once for each of `rows`; number of rows changed in all."""
        if not rows:
            return 0
        with self._conn.cursor() as cursor:
            cursor.executemany(self._queries[name], rows)
            return cursor.rowcount

    def stream(self, name: str, /, **params: Any) -> Iterator[Row]:
        """Rows one after the other, without holding all; to be read within the transaction."""
        self._streams += 1
        with self._conn.cursor(f"stream_{self._streams}") as cursor:
            cursor.itersize = _STREAM_ROWS
            cursor.execute(self._queries[name], params)
            yield from cursor

    def batches(self, name: str, /, *, size: int = 500, **params: Any) -> Iterator[list[tuple[Any, ...]]]:
        """Rows as tuples, `size` at a time, while the database is still working on the next ones.

        The connection can do nothing else until the last batch. The statement is planned for its very parameters.
        """
        ahead = size if capabilities.has_stream_chunked() else 1
        with self._conn.cursor(binary=True, row_factory=tuple_row) as cursor:
            rows = cursor.stream(self._queries[name], params, size=ahead)
            while batch := list(islice(rows, size)):
                yield batch

    def script(self, sql: str) -> None:
        """Several statements at once, as in a migration."""
        self._conn.execute(sql.encode())

    def lock_datasource(self, datasource: str) -> None:
        """Be alone with a datasource's locks, allocations and publishes until the end of the transaction.

        Across all servers, so that nothing hangs on who leads. Asking again costs nothing.
        """
        if datasource not in self._locked:
            self.one("db.lock_datasource", datasource=datasource)
            self._locked.add(datasource)

    def after_commit(self, hook: Callable[[], object]) -> None:
        """Have `hook` called once the transaction is committed; never if it is not."""
        self._hooks.append(hook)

    def committed(self) -> None:
        """Call the hooks; one that fails does not keep others from being called."""
        for hook in self._hooks:
            try:
                hook()
            except Exception:
                _log.exception("A hook after a commit failed")


class Database:
    """A pool of connections to one database.

    Parameters
    ----------
    dsn : str or callable
        Connection string; a callable is asked for each new connection.
    base, tables
        Names of the tables, see `Tables`.
    min_size, max_size : int
        Connections kept, connections at most.
    wait_s : float
        How long to wait for a connection before `Unavailable`.
    """

    def __init__(
        self,
        dsn: str | Callable[[], str],
        *,
        base: str = "druid",
        tables: Mapping[str, str] | None = None,
        min_size: int = 1,
        max_size: int = 16,
        wait_s: float = 5.0,
    ) -> None:
        self.tables = Tables(base, tables)
        self._queries = Queries(self.tables)
        self.groups = Groups()
        self._pool: ConnectionPool[psycopg.Connection[Row]] = ConnectionPool(
            dsn,
            kwargs={**_SESSION, "row_factory": dict_row, "autocommit": True},
            min_size=min_size,
            max_size=max(min_size, max_size),
            timeout=wait_s,
            max_waiting=1000,
            reconnect_timeout=10.0,
            check=_check,
            name="metadata",
            open=True,
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def sql(self, name: str) -> bytes:
        """A named statement, for a connection that is not of the pool."""
        return self._queries[name]

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Everything in the block, or, when it raises, nothing of it.

        Raises
        ------
        Unavailable
            The database is away.
        """
        tx: Transaction | None = None
        committing = False
        try:
            with self._pool.connection() as conn, conn.transaction():
                tx = Transaction(conn, self._queries)
                yield tx
                committing = True
        except (PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise _away(error) from error
        except psycopg.OperationalError as error:
            raise _translated(error, committing) from error
        assert tx is not None
        tx.committed()

    @contextmanager
    def statement(self) -> Iterator[Transaction]:
        """A transaction for the one statement that the block runs; without BEGIN and COMMIT on their own.

        Raises
        ------
        Unavailable
            The database is away; when the connection broke, the statement may or may not be committed.
        """
        try:
            with self._pool.connection() as conn:
                tx = Transaction(conn, self._queries)
                yield tx
        except (PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise _away(error) from error
        except psycopg.OperationalError as error:
            raise _translated(error, committing=True) from error
        tx.committed()

    def retry(self, body: Callable[[], T]) -> T:
        """Call `body`, which makes transactions of its own, again as long as its failure is `Transient`."""
        for tried in range(1, _TRIES + 1):
            try:
                return body()
            except Transient:
                if tried == _TRIES:
                    raise
                time.sleep(random.uniform(0.5, 1.0) * 0.05 * 2**tried)
        raise AssertionError

    def healthy(self) -> bool:
        """Whether the database answers."""
        try:
            with self.transaction() as tx:
                return tx.one("db.ping") is not None
        except Unavailable:
            return False


def _check(conn: psycopg.Connection[Row]) -> None:
    """Ask a connection from the pool whether it lives, but only if there is something to read: a sign that it ended.

    An idle one has nothing to say; asking each time would cost each transaction a way there and back.
    """
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN | select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    if poll.poll(0):
        ConnectionPool.check_connection(conn)


def _away(error: Exception, kind: type[DatabaseAway] = DatabaseAway) -> DatabaseAway:
    _log.warning("metadata store unavailable: %s", str(error).strip())
    return kind("The metadata store is unavailable. Ask again.", hint="see the server's log for why")


def _translated(error: psycopg.OperationalError, committing: bool) -> Exception:
    """What an error of the connection or of concurrency means to the caller; others stay what they are."""
    if isinstance(error, _TO_TRY_AGAIN):
        return _away(error, Transient)
    lost = error.sqlstate is None or error.sqlstate.startswith("08") or isinstance(error, _AWAY)
    if not lost:
        return _away(error)
    found = _away(error, DatabaseAway if committing else Transient)
    found.in_doubt = committing
    return found
