"""flattenSpec: fields taken from inside a row, by JsonPath, by jq, or by names. What is not there gives null.

Paths of names and indexes alone are walked; others are evaluated (`json_path`), and so are jq programs (`jq`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from overlord.errors import TaskFailed
from overlord.model.jq_program import BadProgram, jq_program
from overlord.model.json_path import BadPath, parse_json_path
from overlord.model.json_path_steps import Names, Path, is_simple
from workers.ingest.formats.json_path import json_path

Row = dict[str, Any]
Step = str | int

_JQ_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z_0-9]*)      # .name
      | \.?\[\s*"(?P<quoted>[^"\\]*)"\s*\]      # ["name"]
      | \.?\[\s*(?P<index>-?\d+)\s*\]           # [0]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True)
class FlattenSpec:
    """Fields beside, or instead of, those at the root.

    Attributes
    ----------
    discovery : bool
        Whether the row's own fields are seen too.
    fields : mapping of str to callable
        Name and how to get it from a row, in spec order.
    """

    discovery: bool = True
    fields: Mapping[str, Callable[[Row], Any]]

    @classmethod
    def from_json(cls, json: Any) -> FlattenSpec:
        """From `inputFormat.flattenSpec`; None has no fields."""
        if json is None:
            return cls(fields={})
        where = "inputFormat.flattenSpec"
        if not isinstance(json, Mapping) or not isinstance(json.get("fields") or [], list):
            raise TaskFailed(f"{where} must be an object with a list of fields")
        fields: dict[str, Callable[[Row], Any]] = {}
        for entry in json.get("fields") or []:
            name, get = _field(entry, where)
            if name in fields:
                raise TaskFailed(f"Cannot have duplicate field definition: {name} ({where})")
            fields[name] = get
        return cls(discovery=json.get("useFieldDiscovery", True) is not False, fields=fields)


def _field(entry: Any, where: str) -> tuple[str, Callable[[Row], Any]]:
    if isinstance(entry, str):
        return entry, _root(entry)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise TaskFailed(f"{where}.fields: each must be a name, or an object with type, name and expr")
    name, kind, expr = entry["name"], entry.get("type", "root"), entry.get("expr")
    if kind == "root":
        return name, _root(expr if isinstance(expr, str) else name)
    if kind == "tree":
        nodes = entry.get("nodes")
        if not isinstance(nodes, list) or not all(isinstance(node, str) for node in nodes):
            raise TaskFailed(f"{where}.fields: {name} of type tree needs nodes, a list of strings")
        return name, _getter(nodes)
    if kind not in ("path", "jq"):
        raise TaskFailed(f"{where}.fields: unknown type {kind!r} of {name}. Known: jq, path, root, tree")
    if not isinstance(expr, str):
        raise TaskFailed(f"{where}.fields: {name} needs expr, a string")
    try:
        return name, _by_path(parse_json_path(expr)) if kind == "path" else _by_jq(expr)
    except (BadPath, BadProgram) as error:
        raise TaskFailed(f"{where}: {kind} expression {expr!r} of {name} cannot be read: {error}") from None


def _root(name: str) -> Callable[[Row], Any]:
    return lambda row: row.get(name)


@lru_cache(maxsize=256)
def simple_path(text: str) -> list[Step]:
    """The steps of a path of names and indexes.

    Raises
    ------
    BadPath
        If it has more than those.
    """
    path = parse_json_path(text)
    if not is_simple(path.steps):
        raise BadPath(f"Only names and indexes are known here, not {text!r}")
    return _steps_of(path)


def _by_path(path: Path) -> Callable[[Row], Any]:
    return _getter(_steps_of(path)) if is_simple(path.steps) else json_path(path)


def _steps_of(path: Path) -> list[Step]:
    return [step.names[0] if isinstance(step, Names) else step.numbers[0] for step in path.steps]  # type: ignore[union-attr]


def _by_jq(text: str) -> Callable[[Row], Any]:
    steps = _jq_steps(text.strip())
    return jq_program(text) if steps is None else _getter(steps)


def _jq_steps(text: str) -> list[Step] | None:
    """The steps of a program that only follows names and indexes; None for others."""
    at = 0
    steps: list[Step] = []
    while at < len(text):
        match = _JQ_STEP.match(text, at)
        if match is None or (not at and not text.startswith(".")):
            return None
        name = match["name"] if match["quoted"] is None else match["quoted"]
        steps.append(int(match["index"]) if match["index"] else name)
        at = match.end()
    return steps or None


def _getter(steps: list[Step]) -> Callable[[Row], Any]:
    return lambda row: walk(row, steps)


def walk(value: Any, steps: list[Step]) -> Any:
    """What the steps lead to; None if there is nothing."""
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            inside = isinstance(value, list) and -len(value) <= step < len(value)
            value = value[step] if inside else None
        if value is None:
            return None
    return value
