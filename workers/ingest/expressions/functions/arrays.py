"""Functions of arrays, and those that take a lambda."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

from workers.ingest.expressions.functions.base import Compiled, Env, function, special
from workers.ingest.expressions.functions.text import java_pattern
from workers.ingest.expressions.values import array, cast, compare, items, like, long, text, truth

InRow = Callable[[Env], Callable[..., Any]]


@function("array", 1, None)
def _array(*values: Any) -> list[Any]:
    return array(list(values))


@function("array_length")
def _length(value: Any) -> int | None:
    whole = items(value)
    return None if whole is None else len(whole)


@function("array_offset", 2)
def _offset(value: Any, index: Any) -> Any:
    return _item(items(value), long(index) or 0)


@function("array_ordinal", 2)
def _ordinal(value: Any, index: Any) -> Any:
    return _item(items(value), (long(index) or 0) - 1)


def _item(whole: list[Any] | None, place: int) -> Any:
    return whole[place] if whole is not None and 0 <= place < len(whole) else None


@function("array_contains", 2)
def _contains(value: Any, wanted: Any) -> int | None:
    whole = items(value)
    if whole is None:
        return None
    found = [None] if wanted is None else items(wanted) or []
    return int(all(_among(like(each, whole), whole) for each in found))


@function("array_overlap", 2)
def _overlap(left: Any, right: Any) -> int | None:
    whole, other = items(left), [None] if right is None else items(right) or []
    return None if whole is None else int(any(_among(like(each, whole), whole) for each in other))


@function("scalar_in_array", 2)
def _in_array(value: Any, whole: Any) -> int | None:
    among = items(whole)
    if among is None:
        return None
    if value is None:
        return 1 if None in among else None
    if isinstance(value, list):
        return 0
    if isinstance(value, float) and any(type(item) is int for item in among):
        return int(value in [item for item in among if item is not None])
    return int(_among(like(value, among), among))


def _among(value: Any, whole: list[Any]) -> bool:
    return any(_same(item, value) for item in whole)


def _same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    return type(left) is type(right) and compare(left, right) == 0


@function("array_offset_of", 2)
def _offset_of(value: Any, wanted: Any) -> int | None:
    whole = items(value)
    if whole is None:
        return None
    return next((place for place, item in enumerate(whole) if _same(item, wanted)), None)


@function("array_ordinal_of", 2)
def _ordinal_of(value: Any, wanted: Any) -> int | None:
    place = _offset_of(value, wanted)
    return None if place is None else place + 1


@function("array_prepend", 2)
def _prepend(value: Any, whole: Any) -> list[Any] | None:
    there = items(whole)
    return None if there is None else [like(value, there), *there]


@function("array_append", 2)
def _append(whole: Any, value: Any) -> list[Any] | None:
    there = items(whole)
    return None if there is None else [*there, like(value, there)]


@function("array_concat", 2)
def _concat(left: Any, right: Any) -> list[Any] | None:
    whole, other = items(left), items(right)
    return None if whole is None or other is None else [*whole, *other]


@function("array_set_add", 2)
def _set_add(whole: Any, value: Any) -> list[Any] | None:
    there = items(whole)
    return None if there is None else _set([*there, like(value, there)])


@function("array_set_add_all", 2)
def _set_add_all(left: Any, right: Any) -> list[Any] | None:
    whole, other = items(left), items(right)
    return None if whole is None or other is None else _set([*whole, *other])


def _set(values: list[Any]) -> list[Any]:
    def order(a: Any, b: Any) -> int:
        if a is None or b is None:
            return (a is not None) - (b is not None)
        return compare(a, b)

    result: list[Any] = []
    for value in sorted(values, key=functools.cmp_to_key(order)):
        if not result or not _same(result[-1], value):
            result.append(value)
    return result


@function("array_slice", 2, 3)
def _slice(value: Any, start: Any, end: Any = None) -> list[Any] | None:
    whole, first = items(value), long(start)
    if whole is None or first is None:
        return None
    last = len(whole) if end is None else long(end)
    if last is None or first < 0 or first > len(whole) or first > last:
        return None
    return [whole[place] if place < len(whole) else None for place in range(first, last)]


@function("array_to_string", 2)
def _to_string(value: Any, separator: Any) -> str | None:
    whole = items(value)
    if whole is None:
        return None
    return (text(separator) or "").join("null" if item is None else str(text(item)) for item in whole)


@function("string_to_array", 2)
def _from_string(value: Any, separator: Any) -> list[Any] | None:
    found, between = text(value), text(separator)
    if found is None:
        return None
    parts: list[Any] = java_pattern(between).split(found) if between else list(found)
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


@function("mv_to_array")
def _mv_to_array(value: Any) -> list[Any] | None:
    whole = items(value)
    return None if whole is None else [text(item) for item in whole]


@function("array_to_mv")
def _array_to_mv(value: Any) -> list[Any] | None:
    return _mv_to_array(value)


@function("mv_harmonize_nulls")
def _harmonize(value: Any) -> list[Any]:
    return _mv_to_array(value) or [None]


# ---------------------------------------------------------------- with a lambda


@special("map", 2, 2)
def _map(apply: InRow, values: Compiled) -> Compiled:
    def run(env: Env) -> list[Any] | None:
        whole = items(values(env))
        if whole is None:
            return None
        call = apply(env)
        return array([call(item) for item in whole])

    return run


@special("cartesian_map", 2, None)
def _cartesian_map(apply: InRow, *values: Compiled) -> Compiled:
    def run(env: Env) -> list[Any] | None:
        wholes = [items(value(env)) for value in values]
        if None in wholes:
            return None
        call = apply(env)
        return array([call(*row) for row in itertools.product(*(whole or [] for whole in wholes))])

    return run


@special("filter", 2, 2)
def _filter(test: InRow, values: Compiled) -> Compiled:
    def run(env: Env) -> list[Any] | None:
        whole = items(values(env))
        if whole is None:
            return None
        call = test(env)
        return [item for item in whole if truth(call(item))] or None

    return run


@special("fold", 3, 3)
def _fold(combine: InRow, values: Compiled, start: Compiled) -> Compiled:
    def run(env: Env) -> Any:
        whole, result = items(values(env)), start(env)
        if whole is None:
            return None
        call = combine(env)
        for item in whole:
            result = _as(call(item, result), result)
        return result

    return run


def _as(value: Any, accumulator: Any) -> Any:
    """A value in the type that the accumulator has from its start."""
    kind = {int: "LONG", float: "DOUBLE", str: "STRING"}.get(type(accumulator))
    return value if kind is None or value is None else cast(value, kind)


@special("cartesian_fold", 3, None)
def _cartesian_fold(combine: InRow, *rest: Compiled) -> Compiled:
    *values, start = rest

    def run(env: Env) -> Any:
        wholes, result = [items(value(env)) for value in values], start(env)
        if None in wholes:
            return None
        call = combine(env)
        for row in itertools.product(*(whole or [] for whole in wholes)):
            result = _as(call(*row, result), result)
        return result

    return run


@special("any", 2, 2)
def _any(test: InRow, values: Compiled) -> Compiled:
    return lambda env: int(any(truth(test(env)(item)) for item in items(values(env)) or []))


@special("all", 2, 2)
def _all(test: InRow, values: Compiled) -> Compiled:
    return lambda env: int(all(truth(test(env)(item)) for item in items(values(env)) or []))
