"""The operators of JsonPath's filters, as stock Druid's library compares."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from workers.ingest.formats.json_path_values import NoAnswer, Unfit, is_number
from workers.ingest.java import text_of

_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def _equal(left: Any, right: Any) -> bool:
    """As stock Druid's library has it: a text that is a number equals that number, seen from the left one."""
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return _same(left, right)
    if isinstance(left, str):
        return (isinstance(right, str) and left == right) or (is_number(right) and left == _number_text(right))
    if is_number(left):
        if isinstance(right, str):
            return _DECIMAL.fullmatch(right) is not None and float(right) == left
        return is_number(right) and bool(left == right)
    return type(left) is type(right) and bool(left == right)


def _number_text(number: int | float) -> str:
    """A number as Java's BigDecimal prints it."""
    return str(number) if isinstance(number, int) else str(Decimal(text_of(number)))


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON, in which 1 is not 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(value, right[name]) for name, value in left.items())
    return bool(left == right)


def _kind(value: Any) -> Any:
    return "number" if is_number(value) else "json" if isinstance(value, list | dict) else type(value)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return test(left.encode("utf-16-be", "surrogatepass"), right.encode("utf-16-be", "surrogatepass"))
        return is_number(left) and is_number(right) and test(left, right)

    return compare


def _matches(left: Any, right: Any) -> bool:
    if isinstance(left, re.Pattern) == isinstance(right, re.Pattern):
        return False
    regex, value = (left, right) if isinstance(left, re.Pattern) else (right, left)
    _check_plain(value if isinstance(value, list) else [])
    texts = [text_of(each) for each in (value if isinstance(value, list) else [value]) if each is not None]
    return any(regex.fullmatch(text) for text in texts)


def _check_plain(*lists: list[Any]) -> None:
    if any(isinstance(item, list | dict) for items in lists for item in items):
        raise NoAnswer  # "Could not determine value type"


def _among(left: Any, items: list[Any]) -> bool:
    _check_plain(items)
    return any(_equal(left, item) for item in items)


def _in(left: Any, right: Any) -> bool:
    _check_json(right)
    return isinstance(right, list) and _among(left, right)


def _check_json(*values: Any) -> None:
    if not all(isinstance(value, list | dict) for value in values):
        raise Unfit


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return right in left
    return isinstance(left, list) and _among(right, left)


def _lists(test: Callable[[list[Any], list[Any]], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        _check_json(right)
        if isinstance(right, dict):
            return False
        _check_json(left)
        if isinstance(left, dict):
            return False
        _check_plain(left, right)
        return test(left, right)

    return compare


def _size(left: Any, right: Any) -> bool:
    return is_number(right) and isinstance(left, list | str) and len(left) == int(right)


def _empty(left: Any, right: Any) -> bool:
    if not isinstance(left, str | list | dict):
        return False
    if not isinstance(right, bool):
        raise Unfit
    return (not left) == right


def _exists_as(left: Any, right: Any) -> bool:
    if not isinstance(left, bool) and not isinstance(right, bool):
        raise NoAnswer
    if not (isinstance(left, bool) and isinstance(right, bool)):
        raise Unfit
    return left == right


def _never(left: Any, right: Any) -> bool:
    """Of operators that need what no path and no text can give."""
    raise Unfit


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "===": lambda left, right: _kind(left) == _kind(right) and _equal(left, right),
    "!==": lambda left, right: not (_kind(left) == _kind(right) and _equal(left, right)),
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
    "=~": _matches,
    "IN": _in,
    "NIN": lambda left, right: not _in(left, right),
    "CONTAINS": _contains,
    "ALL": _never,
    "SIZE": _size,
    "EXISTS": _exists_as,
    "TYPE": _never,
    "MATCHES": _never,
    "EMPTY": _empty,
    "SUBSETOF": _lists(lambda left, right: all(_among(item, right) for item in left)),
    "ANYOF": _lists(lambda left, right: any(_among(item, right) for item in left)),
    "NONEOF": _lists(lambda left, right: not any(_among(item, right) for item in left)),
}
