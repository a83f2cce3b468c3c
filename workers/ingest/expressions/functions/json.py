"""Functions of nested data, and of IP addresses."""

from __future__ import annotations

import ipaddress
import math
from typing import Any

import orjson

from overlord.errors import TaskFailed
from overlord.model.json_path import BadPath
from workers.ingest.expressions.functions.base import function
from workers.ingest.expressions.values import ExpressionError, bind, cast, text
from workers.ingest.formats.flatten import simple_path, walk
from workers.ingest.java import double_text


@function("parse_json")
def _parse_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ExpressionError(f"Bad string input [{value}] to [parse_json]: {error}") from None


@function("try_parse_json")
def _try_parse_json(value: Any) -> Any:
    if not isinstance(value, str):
        return None
    try:
        return _parse_json(value)
    except ExpressionError:
        return None


@function("to_json_string")
def _to_json_string(value: Any) -> str | None:
    return None if value is None else _json_text(value)


def _json_text(value: Any) -> str:
    """JSON with numbers as Java writes them."""
    if isinstance(value, float):
        return double_text(value) if math.isfinite(value) else f'"{double_text(value)}"'
    if isinstance(value, dict):
        return "{" + ",".join(f"{orjson.dumps(name).decode()}:{_json_text(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json_text, value)) + "]"
    return orjson.dumps(value).decode()


@function("json_object", 0, None)
def _json_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise ExpressionError("Function[json_object] requires an even number of arguments")
    return {str(text(name)): value for name, value in zip(pairs[0::2], pairs[1::2], strict=True)}


@function("json_merge", 2, None)
def _json_merge(*values: Any) -> Any:
    merged: dict[str, Any] = {}
    for value in values:
        found = _parse_json(value)
        if not isinstance(found, dict):
            return None
        merged = _merged(merged, found)
    return merged


def _merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    def inside(name: str) -> bool:
        return isinstance(left.get(name), dict) and isinstance(right[name], dict)

    return {**left, **{name: _merged(left[name], each) if inside(name) else each for name, each in right.items()}}


def _found(value: Any, path: Any) -> Any:
    try:
        steps = simple_path(str(path))
    except BadPath as error:
        raise TaskFailed(f"Cannot read the path of a json function: {error}") from None
    return walk(value, steps) if isinstance(value, dict | list) else None


@function("json_value", 2, 3)
def _json_value(value: Any, path: Any, kind: Any = None) -> Any:
    found = bind(value if str(path) == "$" and not isinstance(value, dict | list) else _found(value, path))
    if isinstance(found, dict) or (isinstance(found, list) and any(isinstance(item, dict | list) for item in found)):
        return None
    if kind is not None and found is not None:
        return cast(found, str(kind))
    return found


@function("json_query", 2)
def _json_query(value: Any, path: Any) -> Any:
    return _found(value, path)


@function("json_query_array", 2)
def _json_query_array(value: Any, path: Any) -> Any:
    found = _found(value, path)
    return found if found is None or isinstance(found, list) else [found]


@function("json_keys", 2)
def _json_keys(value: Any, path: Any) -> list[Any] | None:
    found = _found(value, path)
    return list(found) if isinstance(found, dict) else None


@function("json_paths")
def _json_paths(value: Any) -> list[Any]:
    return list(dict.fromkeys(_paths(value, "$")))


def _paths(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in _paths(each, f"{path}.{name}")]
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        return [found for place, each in enumerate(value) for found in _paths(each, f"{path}[{place}]")]
    return [path]


# ---------------------------------------------------------------- addresses


@function("ipv4_parse")
def _ipv4_parse(value: Any) -> int | None:
    if isinstance(value, int):
        return value if 0 <= value < 2**32 else None
    found = _address(text(value))
    return None if found is None else int(found)


@function("ipv4_stringify")
def _ipv4_stringify(value: Any) -> str | None:
    if isinstance(value, str):
        return value if _address(value) is not None else None
    return str(ipaddress.IPv4Address(value)) if isinstance(value, int) and 0 <= value < 2**32 else None


@function("ipv4_match", 2)
def _ipv4_match(value: Any, subnet: Any) -> int:
    found = _ipv4_parse(value)
    network = ipaddress.IPv4Network(str(subnet), strict=False)
    return int(found is not None and ipaddress.IPv4Address(found) in network)


@function("ipv6_match", 2)
def _ipv6_match(value: Any, subnet: Any) -> int | None:
    found = text(value)
    if found is None:
        return None
    try:
        return int(ipaddress.IPv6Address(found) in ipaddress.IPv6Network(str(subnet), strict=False))
    except ValueError:
        return 0


def _address(found: str | None) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(found or "")
    except ValueError:
        return None
