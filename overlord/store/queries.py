"""Named SQL from `sql/`, with the names of the tables filled in.

A file of `sql/queries` is a run of `-- name --` lines, each followed by comments and one statement; the statement
`name` of `locks.sql` is called "locks.name". `{tasks}` and the like stand for tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from overlord.errors import SettingError

STOCK = (
    "tasks",
    "tasklocks",
    "segments",
    "pendingsegments",
    "upgradesegments",
    "datasource",
    "supervisors",
    "config",
    "audit",
    "rules",
)
"""Druid's tables; by default `<base>_<name>`."""

_HEADER = re.compile(r"^-- ([a-z_0-9]+) --$", re.MULTILINE)
_TABLE = re.compile(r"\{([a-z_]+)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,50}")


class Tables:
    """Names of the tables.

    Parameters
    ----------
    base : str
        `druid.metadata.storage.tables.base`. Ours are `ovl_<name>` for "druid", else `ovl_<base>_<name>`, so that two
        clusters can share one database.
    given : Mapping of str to str, optional
        Druid's tables that have names of their own, by their name in `STOCK`.
    """

    def __init__(self, base: str = "druid", given: Mapping[str, str] | None = None) -> None:
        self._stock = {name: f"{base}_{name}" for name in STOCK} | dict(given or {})
        self._ours = "ovl_" if base == "druid" else f"ovl_{base}_"
        for name in (base, *self._stock.values()):
            if not _NAME.fullmatch(name):
                raise SettingError(f"[{name}] cannot be part of a table's name", where="druid.metadata.storage.tables")

    def __getitem__(self, name: str) -> str:
        if name.startswith("ovl_"):
            return self._ours + name.removeprefix("ovl_")
        return self._stock[name]

    def fill(self, sql: str) -> str:
        """SQL with names in place of `{tasks}` and the like."""
        return _TABLE.sub(lambda found: self[found[1]], sql)


class Queries:
    """Statements by "<file>.<name>", read on first use."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._filled: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        sql = self._filled.get(name)
        if sql is None:
            file, _, query = name.partition(".")
            sql = self._filled[name] = self._tables.fill(statements(file)[query]).encode()
        return sql


@cache
def statements(file: str) -> dict[str, str]:
    """The statements of one file by name, unfilled."""
    path = resources.files("overlord.sql").joinpath("queries", f"{file}.sql")
    parts = _HEADER.split(path.read_text(encoding="utf-8"))
    found = dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))
    if len(found) * 2 + 1 != len(parts):
        raise ValueError(f"{file}.sql has a name twice")
    return found


def migrations() -> list[tuple[str, str]]:
    """(name, SQL) of every migration in order, unfilled."""
    folder = resources.files("overlord.sql").joinpath("migrations")
    files = (file for file in folder.iterdir() if file.name.endswith(".sql"))
    return sorted((file.name, file.read_text(encoding="utf-8")) for file in files)
