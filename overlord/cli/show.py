"""What people see: tables, messages, numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def as_json(value: Any) -> None:
    """Print JSON."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def fail(message: str, *, hint: str | None = None, where: str | None = None) -> None:
    """Say what went wrong, where, and what to do."""
    err.print(Text.assemble(("error: ", "bold red"), message))
    if where:
        err.print(Text(f"  at: {where}"))
    if hint:
        err.print(Text(f"  hint: {hint}"))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table; numbers stand to the right."""
    rows = [list(row) for row in rows]
    shown = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        number = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        shown.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(_cell(value)) for value in row))
    out.print(shown)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def size(count: float) -> str:
    """Bytes for people: 1.2 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def seconds(ms: float) -> str:
    """A duration for people."""
    return f"{ms / 1000:.2f} s" if ms < 60_000 else f"{int(ms // 60_000)} min {ms % 60_000 / 1000:.0f} s"
