"""Properties that nobody knows: Druid ignores them, and whoever misspelt one waits for what never comes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from overlord.schemas.base import AnyShape, Lenient, Shape, shape
from overlord.schemas.task import task_kinds


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """One such property.

    Attributes
    ----------
    path : str
        Where it stands.
    nearest : str or None
        The property that was probably meant: a name, or the whole path if it belongs elsewhere.
    """

    path: str
    nearest: str | None

    def __str__(self) -> str:
        return self.path if self.nearest is None else f"{self.path} (did you mean {self.nearest}?)"


def unknown_properties(body: Any) -> list[Unknown]:
    """Those of a task's spec."""
    kind = body.get("type") if isinstance(body, Mapping) else None
    if not isinstance(kind, str) or kind not in task_kinds:
        return []
    visited = list(_walk("", shape(task_kinds[kind]), body))
    known = {path: names for path, names, _ in visited}
    return [
        Unknown(path=_at(path, key), nearest=_nearest(key, path, known))
        for path, names, value in visited
        for key in value
        if key not in names and key != "type"
    ]


def _walk(path: str, kind: Shape, value: Mapping[str, Any]) -> Iterator[tuple[str, list[str], Mapping[str, Any]]]:
    """Every object whose shape is known: its path, the names it may have, and itself."""
    if isinstance(kind, AnyShape):
        return
    fields = {field.data_key or name: field for name, field in kind.fields.items()}
    yield path, list(fields), value
    for name, field in fields.items():
        inner = value.get(name)
        if inner is not None and isinstance(field, Lenient):
            for below, found, content in field.inside(inner):
                yield from _walk(_at(path, name) + below, found, content)


def _nearest(key: str, path: str, known: Mapping[str, list[str]]) -> str | None:
    lower = {name.lower(): name for name in known[path]}
    near = difflib.get_close_matches(key.lower(), lower, n=1, cutoff=0.75)
    if near:
        return lower[near[0]]
    elsewhere = [_at(other, key) for other, names in known.items() if key in names]
    return elsewhere[0] if elsewhere else None


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else str(name)
