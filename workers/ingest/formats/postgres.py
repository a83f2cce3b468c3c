"""What a Postgres answers to a query, as columns.

Rows come in COPY's text form: lines of cells between tabs, `\\N` for null, with `\\n` and its like escaped. Values are
those that Druid's reader gets through JDBC and JSON: instants and dates as millis, bytes in base64, decimals as doubles
(but whole numbers where there is no point), NaN and infinities as texts. What it cannot read - arrays, json,
intervals and other types - are lists, JSON values, and else texts as Postgres prints them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from psycopg import sql

from overlord.errors import TaskFailed
from overlord.model.java_hash import hash_order
from workers.ingest.formats.base import RawBatch, RawChunk
from workers.ingest.formats.postgres_types import Kind, kind_of

if TYPE_CHECKING:
    import psycopg

_TYPES = "SELECT oid, typcategory FROM pg_catalog.pg_type WHERE oid = ANY(%s)"
_UNESCAPED = (("\\\\", "\0"), ("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\b", "\b"), ("\\f", "\f"), ("\\v", "\v"))


class Field:
    """A column of the answer: its name, where it stands, and how its cells are read."""

    def __init__(self, name: str, at: int, kind: Kind) -> None:
        self.name = name
        self.at = at
        self.kind = kind

    def values(self, cells: pl.Series) -> pl.Series:
        """The cells as a raw column."""
        cells = cells.set(cells == "\\N", None)
        if self.kind.escaped and cells.str.contains("\\", literal=True).any():
            for written, meant in (*_UNESCAPED, ("\0", "\\")):
                cells = cells.str.replace_all(written, meant, literal=True)
        if cells.null_count() == len(cells):
            return pl.Series(self.name, [None] * len(cells), dtype=pl.Null)
        return self.kind.read(self.name, cells).alias(self.name)


class Answer:
    """The answer to one query.

    Parameters
    ----------
    connection : psycopg.Connection
    query : str
    fold_case : bool
        Whether names are put in lower case.
    files : tuple of str
        Names of the queries up to this one.
    """

    def __init__(
        self, connection: psycopg.Connection[Any], query: str, *, fold_case: bool, files: tuple[str, ...]
    ) -> None:
        self._connection = connection
        self._query = sql.SQL(query.rstrip("; \t\r\n"))  # it is the user's own
        self._files = files
        self._width, self._fields, self._copy = self._described(fold_case)

    def chunks(self, chunk_bytes: int, wanted: Collection[str] | None) -> Iterator[RawChunk]:
        """All rows, about so many bytes at a time."""
        lines: list[bytes] = []
        size = done = 0
        with self._connection.cursor() as cursor, cursor.copy(self._copy) as copy:
            for line in copy:  # the database sends each row by itself
                lines.append(bytes(line))
                size += len(line)
                if size >= chunk_bytes:
                    yield self._chunk(lines, size, done, wanted)
                    done += len(lines)
                    lines, size = [], 0
        if lines:
            yield self._chunk(lines, size, done, wanted)

    def _described(self, fold_case: bool) -> tuple[int, list[Field], sql.Composed]:
        """Number of columns, those that count, and the statement that gives them."""
        empty = sql.SQL("SELECT * FROM ({}\n) AS q LIMIT 0").format(self._query)
        found = self._connection.execute(empty).pgresult
        assert found is not None
        types = [(found.ftype(at), found.fmod(at)) for at in range(found.nfields)]
        if not types:
            raise TaskFailed("A query of inputSource.sqls gives no columns")
        categories = dict(self._connection.execute(_TYPES, [[oid for oid, _ in types]]).fetchall())
        kinds = [kind_of(oid, modifier, str(categories.get(oid, ""))) for oid, modifier in types]
        names = [(found.fname(at) or b"").decode("utf-8", "replace") for at in range(found.nfields)]
        by_name = {
            name: Field(name, at, kind)  # of two with one name, the later one counts
            for at, (name, kind) in enumerate(zip(map(str.lower, names) if fold_case else names, kinds, strict=True))
        }
        fields = [by_name[name] for name in hash_order(by_name)]
        return len(kinds), fields, self._statement(kinds)

    def _statement(self, kinds: Sequence[Kind]) -> sql.Composed:
        columns = [sql.Identifier(f"c{at}") for at in range(len(kinds))]
        if not any(kind.cast for kind in kinds):
            return sql.SQL("COPY ({}\n) TO STDOUT").format(self._query)
        casts = [
            column if kind.cast is None else sql.SQL(kind.cast).format(column)
            for kind, column in zip(kinds, columns, strict=True)
        ]
        return sql.SQL("COPY (SELECT {} FROM ({}\n) AS q({})) TO STDOUT").format(
            sql.SQL(", ").join(casts), self._query, sql.SQL(", ").join(columns)
        )

    def _chunk(self, lines: list[bytes], size: int, done: int, wanted: Collection[str] | None) -> RawChunk:
        text = b"".join(lines).decode("utf-8", "replace")
        table = pl.Series(text.split("\n")[:-1], dtype=pl.String).str.split_exact("\t", self._width - 1).struct.unnest()
        cells = {field.name: table.to_series(field.at) for field in self._fields}
        columns = {
            field.name: field.values(cells[field.name])
            for field in self._fields
            if wanted is None or field.name in wanted
        }
        count = len(lines)
        batch = RawBatch(
            columns=columns,
            file=np.full(count, len(self._files) - 1, np.int32),
            line=np.arange(done + 1, done + count + 1, dtype=np.int64),
            files=self._files,
            rows=_Rows(self._fields, cells),
            uri=None,
            lined=False,
        )
        return RawChunk(batch=batch, bytes=size)


class _Rows:
    """Rows for messages and discovery; see `formats.base.Rows`."""

    def __init__(self, fields: Sequence[Field], cells: Mapping[str, pl.Series]) -> None:
        self._fields = fields
        self._cells = cells
        self.declared = tuple(cells)

    def event(self, row: int) -> dict[str, Any]:
        return {field.name: field.values(self._cells[field.name].slice(row, 1)).to_list()[0] for field in self._fields}

    def raw(self, row: int) -> dict[str, Any]:
        return self.event(row)

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        return [name for name in self._cells if name not in known] if len(rows) else []
