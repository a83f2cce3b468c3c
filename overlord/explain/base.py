"""What the modules of this package share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from overlord.model.instant import format_instant

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Why a task is where it is.

    Attributes
    ----------
    kind : str
        For programs: `lock`, `slots`, `missingFile` and the like.
    cause : str
        For people, one sentence.
    next_step : str or None
        What to do, where there is something to do.
    details : dict
        More keys of the answer.
    """

    kind: str
    cause: str
    next_step: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def instant(ms: int | None) -> str | None:
    """An instant as Druid writes it."""
    return None if ms is None else format_instant(ms)


def length(ms: int) -> str:
    """A length of time for people."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 120_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms // 60_000} min" if ms < 7_200_000 else f"{ms / 3_600_000:.1f} h"
