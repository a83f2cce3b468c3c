"""Values of expressions, and how one type becomes another: int is a LONG, float a DOUBLE, str a STRING, list an ARRAY,
dict JSON. A null has no type of its own.
"""

from __future__ import annotations

import re
from typing import Any

from workers.ingest.java import LONG_MAX, LONG_MIN, double_text, double_to_long, parse_double, parse_long, text_of

__all__ = ["LONG_MAX", "LONG_MIN", "ExpressionError"]

_BOOLEANS = {"true": 1, "false": 0}
_ARRAY = re.compile(r"ARRAY<(.+)>", re.IGNORECASE)


class ExpressionError(ValueError):
    """An expression cannot be read, or has no value for a row."""


def bind(value: Any) -> Any:
    """A field of a row as an expression sees it."""
    if value is True or value is False:
        return int(value)
    if isinstance(value, list):
        return array(value)
    return value


def array(values: list[Any]) -> list[Any]:
    """A list with items of one type: text if one of them is text, else doubles if one of them is."""
    items = [bind(value) for value in values]
    kinds = {type(item) for item in items if item is not None}
    if str in kinds and len(kinds) > 1 and not kinds & {dict, list}:
        return [text(item) for item in items]
    if kinds == {int, float}:
        return [None if item is None else float(item) for item in items]
    return items


def wrap(number: int) -> int:
    """A whole number as 64 bits hold it."""
    return number if LONG_MIN <= number <= LONG_MAX else (number + 2**63) % 2**64 - 2**63


def text(value: Any) -> str | None:
    """As a string."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, list):
        return text(value[0]) if len(value) == 1 else text_of(value)
    return text_of(value)


def number(value: Any) -> int | float | None:
    """As a number; None for what is none."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        whole = parse_long(value.removeprefix("+"))
        if whole is None:
            return _BOOLEANS[value.lower()] if value.lower() in _BOOLEANS else parse_double(value)
        return whole
    if isinstance(value, list) and len(value) == 1:
        return number(value[0])
    return None


def long(value: Any) -> int | None:
    """As a long; a fraction is cut off."""
    found = number(value)
    return double_to_long(found) if isinstance(found, float) else found


def double(value: Any) -> float | None:
    """As a double."""
    found = number(value)
    return None if found is None else float(found)


def truth(value: Any) -> bool:
    """As a boolean; null is false."""
    if isinstance(value, str):
        return value.lower() == "true"
    if isinstance(value, int | float):
        return value > 0
    if isinstance(value, list):
        return truth(value[0]) if len(value) == 1 else False
    return False


def items(value: Any) -> list[Any] | None:
    """As an array: one value is an array of one."""
    if value is None or isinstance(value, list):
        return value
    return None if isinstance(value, dict) else [value]


def utf16(value: str) -> bytes:
    """What Java's order of strings compares."""
    return value.encode("utf-16-be", "surrogatepass")


def units(value: str) -> int:
    """Length in UTF-16 code units."""
    return len(value) + sum(character > "\uffff" for character in value) if not value.isascii() else len(value)


def piece(value: str, start: int, end: int | None = None) -> str:
    """A stretch of a text, counted in UTF-16 code units."""
    if value.isascii() or units(value) == len(value):
        return value[start:end]
    encoded = value.encode("utf-16-le", "surrogatepass")
    stop = None if end is None else 2 * end
    cut = encoded[2 * start : stop].decode("utf-16-le", "surrogatepass")
    return "".join("?" if "\ud800" <= character <= "\udfff" else character for character in cut)


def compare(left: Any, right: Any) -> int:
    """Order of two values that are not null; of different types they are compared as texts."""
    if isinstance(left, list) or isinstance(right, list):
        return _compare_lists(items(left) or [], items(right) or [])
    if isinstance(left, dict) or isinstance(right, dict) or isinstance(left, str) or isinstance(right, str):
        left, right = utf16(text(left) or ""), utf16(text(right) or "")
    elif isinstance(left, float) or isinstance(right, float):
        return _compare_doubles(float(left), float(right))
    return int(left > right) - int(left < right)


def _compare_lists(left: list[Any], right: list[Any]) -> int:
    for a, b in zip(left, right, strict=False):
        if a is None or b is None:
            found = (a is not None) - (b is not None)
        else:
            found = compare(a, b)
        if found:
            return found
    return (len(left) > len(right)) - (len(left) < len(right))


def _compare_doubles(left: float, right: float) -> int:
    """`Double.compare`: NaN is the greatest, -0.0 below 0.0."""
    if left != left or right != right:
        return (left != left) - (right != right)
    if left == right == 0.0:
        signs = (str(left)[0] != "-", str(right)[0] != "-")
        return signs[0] - signs[1]
    return (left > right) - (left < right)


def common(left: Any, right: Any) -> str:
    """The type in which two operands meet."""
    if isinstance(left, list) and isinstance(right, list):
        return "ARRAY"
    if isinstance(left, str) and isinstance(right, str):
        return "STRING"
    return "LONG" if type(left) is int and type(right) is int else "DOUBLE"


def like(value: Any, whole: list[Any]) -> Any:
    """A value as the items of an array are."""
    if isinstance(value, list) or value is None:
        return value
    kinds = {type(item) for item in whole}
    if str in kinds:
        return text(value)
    return double(value) if float in kinds else long(value) if int in kinds else value


def cast(value: Any, kind: str) -> Any:
    """`cast(value, 'KIND')`.

    Raises
    ------
    ExpressionError
        There is no such type, or no way there.
    """
    match = _ARRAY.fullmatch(kind)
    if match is not None:
        whole = items(value)
        return None if whole is None else [cast(item, match[1]) for item in whole]
    kind = kind.upper()
    if isinstance(value, list):
        if len(value) != 1:
            raise ExpressionError(f"invalid type: cannot cast an array of {len(value)} to {kind}")
        value = value[0]
    if kind == "STRING":
        return text(value)
    if kind == "LONG":
        return long(value)
    if kind in ("DOUBLE", "FLOAT"):
        return double(value)
    raise ExpressionError(f"Invalid type [{kind}]")
