"""Rejected rows kept as data: JSON lines with file, line, cause and raw text, to be mended and posted again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from overlord.errors import TaskFailed
from workers.ingest.batch import BadRow

FILE = "bad-rows.jsonl"
"""In the folder of the attempt; the Overlord takes it over with log and report."""
CONTEXT_KEY = "keepBadRows"


class KeptBadRows:
    """The file of one attempt.

    Parameters
    ----------
    path : Path
        Made when there is a row.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0

    @classmethod
    def of(cls, context: Mapping[str, Any], folder: Path) -> KeptBadRows | None:
        """Those of a task, if its context asks for them."""
        return cls(folder / FILE) if context.get(CONTEXT_KEY) in (True, "true") else None

    def add(self, rows: Iterable[BadRow]) -> None:
        """Keep those that are lost."""
        lines = [_line(row) for row in rows if row.kind == "unparseable"]
        if not lines:
            return
        try:
            with self._path.open("ab" if self.count else "wb") as file:
                file.write(b"".join(lines))
        except OSError as error:
            raise TaskFailed(f"Bad rows cannot be kept in {self._path}: {error.strerror}") from error
        self.count += len(lines)

    def restart(self) -> None:
        """The input is read once more: what was kept will come again."""
        self._path.unlink(missing_ok=True)
        self.count = 0


def _line(row: BadRow) -> bytes:
    raw = row.input if row.raw is None else row.raw
    kept = {"file": row.file, "line": row.line, "cause": "; ".join(row.details), "raw": raw}
    return orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE)
