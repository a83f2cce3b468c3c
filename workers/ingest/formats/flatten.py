"""flattenSpec: fields taken from inside a row by simple paths.

Of JSONPath: `$`, `.name`, `['name']`, `[0]`, `[-1]`, `[*]` and `.*`. Of jq: `.a.b[0]` and `.["a"]`. What is not there
gives null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from overlord.errors import TaskFailed

Row = dict[str, Any]
Step = str | int | None  # None: every element

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]()?*@'"\s|,]+)        # .name
      | \.?\[\s*(?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)")\s*\]   # ['name']
      | \.?\[\s*(?P<index>-?\d+)\s*\]            # [0]
      | (?P<every>\.?\[\s*\*?\s*\]|\.\*)         # [*] .* []
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
    return name, _getter(parse_path(expr, kind))


def _root(name: str) -> Callable[[Row], Any]:
    return lambda row: row.get(name)


def parse_path(expr: str, kind: str) -> list[Step]:
    """The steps of a path or jq expression.

    Raises
    ------
    TaskFailed
        If it has more than names, indexes and `*`.
    """
    text = expr.strip()
    at = 1 if kind == "path" and text.startswith("$") else 0
    if (kind == "path" and at == 0) or (kind == "jq" and not text.startswith(".")):
        raise TaskFailed(_unsupported(expr, kind))
    if kind == "jq" and text == ".":
        return []
    steps: list[Step] = []
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise TaskFailed(_unsupported(expr, kind))
        at = match.end()
        steps.append(_step(match))
    return steps


def _unsupported(expr: str, kind: str) -> str:
    return f"inputFormat.flattenSpec: {kind} expression {expr!r} is not supported. Known: names, indexes and *"


def _step(match: re.Match[str]) -> Step:
    if match["every"]:
        return None
    if match["index"]:
        return int(match["index"])
    if match["name"] is not None:
        return match["name"]
    quoted = match["single"] if match["single"] is not None else match["double"]
    return re.sub(r"\\(.)", r"\1", quoted)


def _getter(steps: list[Any]) -> Callable[[Row], Any]:
    return lambda row: walk(row, steps)


def walk(value: Any, steps: list[Step]) -> Any:
    """What the steps lead to; None if there is nothing."""
    for number, step in enumerate(steps):
        if step is None:
            items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
            found = (walk(item, steps[number + 1 :]) for item in items)
            return [item for item in found if item is not None]
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            inside = isinstance(value, list) and -len(value) <= step < len(value)
            value = value[step] if inside else None
        if value is None:
            return None
    return value
