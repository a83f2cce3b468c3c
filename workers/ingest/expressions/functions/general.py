"""Conditions, nulls and casts."""

from __future__ import annotations

import functools
import re
from typing import Any

from workers.ingest.expressions.functions.base import Compiled, Env, function, special
from workers.ingest.expressions.values import ExpressionError, cast, compare, double, text, truth


@special("if", 3, 3)
def _if(test: Compiled, then: Compiled, other: Compiled) -> Compiled:
    return lambda env: then(env) if truth(test(env)) else other(env)


@special("nvl", 2, 2)
def _nvl(value: Compiled, other: Compiled) -> Compiled:
    def first(env: Env) -> Any:
        found = value(env)
        return other(env) if found is None else found

    return first


@special("coalesce", 1, None)
def _coalesce(*values: Compiled) -> Compiled:
    return lambda env: next((found for value in values if (found := value(env)) is not None), None)


@special("case_searched", 2, None)
def _case_searched(*args: Compiled) -> Compiled:
    pairs, other = list(zip(args[0::2], args[1::2], strict=False)), args[-1] if len(args) % 2 else None

    def choose(env: Env) -> Any:
        for test, result in pairs:
            if truth(test(env)):
                return result(env)
        return None if other is None else other(env)

    return choose


@special("case_simple", 3, None)
def _case_simple(value: Compiled, *args: Compiled) -> Compiled:
    pairs, other = list(zip(args[0::2], args[1::2], strict=False)), args[-1] if len(args) % 2 else None

    def choose(env: Env) -> Any:
        found = value(env)
        for wanted, result in pairs:
            if _equal(found, wanted(env)):
                return result(env)
        return None if other is None else other(env)

    return choose


def _equal(left: Any, right: Any) -> bool:
    from workers.ingest.expressions.exact import order_of

    return order_of(left, right) == 0


@function("isnull")
def _isnull(value: Any) -> int:
    return int(value is None)


@function("notnull")
def _notnull(value: Any) -> int:
    return int(value is not None)


@function("istrue")
def _istrue(value: Any) -> int:
    return int(truth(value))


@function("isfalse")
def _isfalse(value: Any) -> int:
    return int(value is not None and not truth(value))


@function("nottrue")
def _nottrue(value: Any) -> int:
    return int(not truth(value))


@function("notfalse")
def _notfalse(value: Any) -> int:
    return int(value is None or truth(value))


@function("isdistinctfrom", 2)
def _distinct(left: Any, right: Any) -> int:
    return 1 - _notdistinct(left, right)


@function("notdistinctfrom", 2)
def _notdistinct(left: Any, right: Any) -> int:
    if left is None or right is None:
        return int(left is None and right is None)
    return int(_equal(left, right))


@function("cast", 2)
def _cast(value: Any, kind: Any) -> Any:
    return None if value is None else cast(value, str(kind))


@function("greatest", 0, None)
def _greatest(*values: Any) -> Any:
    return _extreme(values, 1)


@function("least", 0, None)
def _least(*values: Any) -> Any:
    return _extreme(values, -1)


def _extreme(values: tuple[Any, ...], sign: int) -> Any:
    there = [value for value in values if value is not None]
    if not there:
        return None
    if any(isinstance(value, list) for value in there):
        raise ExpressionError("greatest and least do not take arrays")
    if any(isinstance(value, str) for value in there):
        there = [text(value) for value in there]
    elif any(isinstance(value, float) for value in there):
        there = [double(value) for value in there]
    return max(there, key=functools.cmp_to_key(lambda a, b: sign * compare(a, b)))


@function("like", 2, 3)
def _like(value: Any, pattern: Any, escape: Any = None) -> int | None:
    found = text(value)
    if found is None:
        return None
    return int(like_pattern(str(pattern), escape).fullmatch(found) is not None)


@functools.cache
def like_pattern(pattern: str, escape: str | None = None) -> re.Pattern[str]:
    """The regular expression of a LIKE pattern."""
    if escape is not None and len(escape) != 1:
        raise ExpressionError("Escape must be null or a single character")
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if escape is not None and character == escape:
            parts.append(re.escape(next(characters, character)))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


@function("human_readable_binary_byte_format", 1, 2)
def _binary_bytes(value: Any, precision: Any = 2) -> str | None:
    return _human(value, precision, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))


@function("human_readable_decimal_byte_format", 1, 2)
def _decimal_bytes(value: Any, precision: Any = 2) -> str | None:
    return _human(value, precision, 1000, ("B", "KB", "MB", "GB", "TB", "PB", "EB"))


@function("human_readable_decimal_format", 1, 2)
def _decimal(value: Any, precision: Any = 2) -> str | None:
    return _human(value, precision, 1000, ("", "K", "M", "G", "T", "P", "E"))


def _human(value: Any, precision: Any, base: int, units: tuple[str, ...]) -> str | None:
    if not isinstance(value, int | float):
        return None
    if not isinstance(precision, int) or not 0 <= precision <= 3:
        raise ExpressionError(f"Given precision[{precision}] must be in the range of [0,3]")
    whole, power = int(value), 0
    size = float(abs(whole))
    while size >= base and power < len(units) - 1:
        size /= base
        power += 1
    sign = "-" if whole < 0 else ""
    if power == 0:
        return f"{sign}{abs(whole)}" + (f" {units[0]}" if units[0] else "")
    return f"{sign}{size:.{precision}f} {units[power]}"
