"""The parts of a JsonPath, read: steps, and the conditions of filters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Names:
    """Properties: one as itself, several as an object (at the end of a path) or each by itself."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Indexes:
    """Elements of an array; negative ones count from its end."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Slice:
    """A stretch of an array; one end may be open."""

    start: int | None
    end: int | None


@dataclass(frozen=True)
class Every:
    """All elements, or all values."""


@dataclass(frozen=True)
class Deep:
    """What follows, in everything below."""


@dataclass(frozen=True)
class Where:
    """Elements for which a condition holds."""

    condition: Condition


@dataclass(frozen=True)
class Call:
    """A function of what was found so far; it ends a path."""

    name: str
    arguments: tuple[Path | Json, ...]


Step = Names | Indexes | Slice | Every | Deep | Where | Call


@dataclass(frozen=True)
class Path:
    """Steps from the root of the row, or (`@`) from the element at hand."""

    relative: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Json:
    """A JSON value."""

    value: Any


@dataclass(frozen=True)
class Pattern:
    """A regular expression that a whole text must match."""

    regex: re.Pattern[str]


Value = Path | Json | Pattern


@dataclass(frozen=True)
class Compared:
    """Two values and an operator."""

    left: Value
    operator: str
    right: Value


@dataclass(frozen=True)
class Exists:
    """Whether a path leads to something, or not."""

    path: Path
    wanted: bool


@dataclass(frozen=True)
class Logic:
    """Conditions joined by "and", "or" or "not"."""

    kind: str
    parts: tuple[Condition, ...]


Condition = Compared | Exists | Logic


def is_simple(steps: Sequence[Step]) -> bool:
    """Whether a path only follows names and indexes, one at a time."""
    return all(
        (isinstance(step, Names) and len(step.names) == 1) or (isinstance(step, Indexes) and len(step.numbers) == 1)
        for step in steps
    )
