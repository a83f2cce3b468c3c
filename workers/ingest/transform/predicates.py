"""What a filter asks of one value: of a text, a long, a double or nothing, each by Druid's rules for that type.

Answers are true, false, or None for "unknown", which `not` leaves as it is.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from overlord.errors import BadRequest, TaskFailed
from overlord.model.interval import Interval
from workers.ingest.expressions.functions.general import like_pattern
from workers.ingest.expressions.functions.text import java_pattern
from workers.ingest.expressions.values import ExpressionError, bind, cast, compare, units, utf16
from workers.ingest.java import double_text, parse_double, parse_exact_long, text_of

Answer = bool | None


class Predicate(ABC):
    """A question about one value."""

    unknown: Answer = None
    """What is answered of null."""

    @abstractmethod
    def text(self, value: str) -> Answer:
        """Of a text."""

    def long(self, value: int) -> Answer:
        """Of a whole number; as its text unless told otherwise."""
        return self.text(str(value))

    def double(self, value: float) -> Answer:
        """Of a number with a fraction; as its text unless told otherwise."""
        return self.text(double_text(value))

    def of(self, value: Any) -> Answer:
        """Of whatever a row may hold; of several values one has to do."""
        if value is None:
            return self.unknown
        if isinstance(value, bool):
            return self.text("true" if value else "false")
        if isinstance(value, int):
            return self.long(value)
        if isinstance(value, float):
            return self.double(value)
        if isinstance(value, list):
            answers = [self.text(text_of(item)) for item in value] or [self.unknown]  # a null among several is "null"
            return True if True in answers else None if None in answers else False
        return self.text(text_of(value))


class OneOf(Predicate):
    """`selector` and `in`: equal to one of some values.

    Attributes
    ----------
    values : frozenset of str
        The values but null.
    """

    def __init__(self, values: list[Any]) -> None:
        texts = [None if value is None else text_of(value) for value in values]
        self.values = frozenset(text for text in texts if text is not None)
        self.unknown = True if None in texts else None
        self._longs = {parse_exact_long(text) for text in self.values} - {None}
        self._doubles = {parse_double(text) for text in self.values} - {None}

    def text(self, value: str) -> Answer:
        return value in self.values

    def long(self, value: int) -> Answer:
        return value in self._longs

    def double(self, value: float) -> Answer:
        return any(found is not None and compare(value, found) == 0 for found in self._doubles)


class Bound(Predicate):
    """`bound`: between two texts, in an order of its own."""

    def __init__(self, json: Mapping[str, Any]) -> None:
        self.lower, self.upper = _text_or_none(json.get("lower")), _text_or_none(json.get("upper"))
        self.lower_strict, self.upper_strict = bool(json.get("lowerStrict")), bool(json.get("upperStrict"))
        given = json.get("ordering") or ("alphanumeric" if json.get("alphaNumeric") else "lexicographic")
        name = str(given.get("type") if isinstance(given, Mapping) else given).lower()
        if name not in _ORDERS:
            raise TaskFailed(f"Unknown ordering [{name}] of a filter of type [bound]. Known: {', '.join(_ORDERS)}")
        self.numeric = name == "numeric"
        self._order = _ORDERS[name]
        self.unknown = self.lower is None

    def text(self, value: str) -> Answer:
        if self.lower is not None:
            order = self._order(value, self.lower)
            if order < 0 or (order == 0 and self.lower_strict):
                return False
        if self.upper is not None:
            order = self._order(value, self.upper)
            if order > 0 or (order == 0 and self.upper_strict):
                return False
        return True

    def long(self, value: int) -> Answer:
        return self._number(value) if self.numeric else self.text(str(value))

    def double(self, value: float) -> Answer:
        return self._number(value) if self.numeric else self.text(double_text(value))

    def _number(self, value: int | float) -> bool:
        """A bound that is no number lies below all numbers."""
        for given, strict, sign in ((self.lower, self.lower_strict, 1), (self.upper, self.upper_strict, -1)):
            if given is None:
                continue
            found = _decimal(given) if isinstance(value, int) else parse_double(given)
            if found is None:
                if sign < 0:
                    return False
                continue
            order = sign * compare(Decimal(value) if isinstance(found, Decimal) else value, found)
            if order < 0 or (order == 0 and strict):
                return False
        return True


def _text_or_none(value: Any) -> str | None:
    return None if value is None else text_of(value)


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and "_" not in text and text == text.strip() else None


def _lexicographic(left: str, right: str) -> int:
    a, b = utf16(left), utf16(right)
    return (a > b) - (a < b)


def _numeric(left: str, right: str) -> int:
    a, b = _decimal(left), _decimal(right)
    if a is None and b is None:
        return _lexicographic(left, right)
    if a is None or b is None:
        return (a is not None) - (b is not None)
    return (a > b) - (a < b)


def _by_length(left: str, right: str) -> int:
    a, b = units(left), units(right)
    return (a > b) - (a < b) or _lexicographic(left, right)


_PIECES = re.compile(r"[0-9]+|[^0-9]+")


def _alphanumeric(left: str, right: str) -> int:
    """Runs of digits by their number, all else by its text whatever its case; digits come first."""
    left, right = left.lower(), right.lower()
    for a, b in zip(_PIECES.findall(left), _PIECES.findall(right), strict=False):
        digits = (a[0].isascii() and a[0].isdigit(), b[0].isascii() and b[0].isdigit())
        if digits == (True, True):
            order = (int(a) > int(b)) - (int(a) < int(b)) or (len(a) > len(b)) - (len(a) < len(b))
        elif any(digits):
            return -1 if digits[0] else 1
        else:
            order = _lexicographic(a, b)
        if order:
            return order
    return (len(left) > len(right)) - (len(left) < len(right))


def _version(left: str, right: str) -> int:
    """Parts between dots: numbers above words, words whatever their case."""
    for a, b in zip(left.lower().split("."), right.lower().split("."), strict=False):
        if a.isdigit() and b.isdigit():
            order = (int(a) > int(b)) - (int(a) < int(b))
        else:
            order = a.isdigit() - b.isdigit() or _lexicographic(a, b)
        if order:
            return order
    return (left.count(".") > right.count(".")) - (left.count(".") < right.count("."))


_ORDERS = {
    "lexicographic": _lexicographic,
    "alphanumeric": _alphanumeric,
    "numeric": _numeric,
    "strlen": _by_length,
    "version": _version,
}


class Equal(Predicate):
    """`equals`, `inType`: equal to one of some values of a type."""

    def __init__(self, kind: str, values: list[Any]) -> None:
        self._kind = kind
        self._null = None in values
        self.unknown = True if self._null else None
        self._values = [typed(value, kind) for value in values if value is not None]

    def text(self, value: str) -> Answer:
        if self._kind == "STRING":
            return self._has(value)
        if self._kind == "LONG":
            return self._has(parse_exact_long(value))
        return self._has(parse_double(value)) if self._kind in ("DOUBLE", "FLOAT") else False

    def long(self, value: int) -> Answer:
        return self._has(str(value) if self._kind == "STRING" else value)

    def double(self, value: float) -> Answer:
        return self._has(double_text(value) if self._kind == "STRING" else value)

    def _has(self, value: Any) -> bool:
        """Whether it is one of them, without loss: 1e-5 is no 0."""
        if value is None or self._kind.startswith("ARRAY"):
            return False
        return any(compare(value, each) == 0 for each in self._values)


class Range(Predicate):
    """`range`: between two values of a type."""

    def __init__(self, json: Mapping[str, Any]) -> None:
        self._kind = str(json.get("matchValueType") or "STRING").upper()
        self._lower, self._upper = (
            None if json.get(name) is None else typed(json[name], self._kind) for name in ("lower", "upper")
        )
        self._open = (bool(json.get("lowerOpen")), bool(json.get("upperOpen")))

    def text(self, value: str) -> Answer:
        if self._kind == "STRING":
            return self._within(value, compare)
        return self._within(value, lambda left, right: _numeric(left, text_of(right)))

    def long(self, value: int) -> Answer:
        return self._within(str(value) if self._kind == "STRING" else value, compare)

    def double(self, value: float) -> Answer:
        return self._within(double_text(value) if self._kind == "STRING" else value, compare)

    def _within(self, found: Any, order_of: Callable[[Any, Any], int]) -> Answer:
        if self._kind.startswith("ARRAY"):
            return False
        for bound, is_open, sign in ((self._lower, self._open[0], 1), (self._upper, self._open[1], -1)):
            if bound is not None:
                order = sign * order_of(found, bound)
                if order < 0 or (order == 0 and is_open):
                    return False
        return True


def typed(value: Any, kind: str) -> Any:
    """A value of a filter in the type it names.

    Raises
    ------
    TaskFailed
        It cannot be one.
    """
    try:
        return cast(bind(value), kind)
    except ExpressionError as error:
        raise TaskFailed(f"matchValueType [{kind}] does not fit the value [{value}]: {error}") from None


class Null(Predicate):
    """`null`."""

    unknown = True

    def text(self, value: str) -> Answer:
        return False


class Matching(Predicate):
    """`like` and `regex`."""

    def __init__(self, pattern: re.Pattern[str], *, whole: bool) -> None:
        self._matches = pattern.fullmatch if whole else pattern.search

    def text(self, value: str) -> Answer:
        return self._matches(value) is not None


class Containing(Predicate):
    """`search`: all of some pieces are in the text."""

    def __init__(self, json: Mapping[str, Any]) -> None:
        query = json.get("query") or {}
        kind = query.get("type")
        values = query.get("values") if kind == "fragment" else [query.get("value")]
        if kind not in ("contains", "insensitive_contains", "fragment") or not values or None in values:
            raise TaskFailed(f"A filter of type [search] cannot have a query of type [{kind}]")
        self._sensitive = kind != "insensitive_contains" and bool(query.get("caseSensitive"))
        self._values = [text if self._sensitive else text.lower() for text in map(str, values)]

    def text(self, value: str) -> Answer:
        found = value if self._sensitive else value.lower()
        return all(each in found for each in self._values)


class Within(Predicate):
    """`interval`: milliseconds in one of some intervals."""

    def __init__(self, intervals: list[Any]) -> None:
        try:
            self._intervals = [Interval.parse(str(text)) for text in intervals]
        except BadRequest as error:
            raise TaskFailed(error.message) from None

    def text(self, value: str) -> Answer:
        found = parse_exact_long(value)
        return found is not None and self.long(found)

    def long(self, value: int) -> Answer:
        return any(interval.start <= value < interval.end for interval in self._intervals)

    def double(self, value: float) -> Answer:
        return self.long(int(value)) if value == value and abs(value) < 2**63 else False


def like(json: Mapping[str, Any]) -> Predicate:
    """Of a `like` filter."""
    return Matching(like_pattern(str(json.get("pattern")), json.get("escape")), whole=True)


@functools.cache
def regex(pattern: str) -> Predicate:
    """Of a `regex` filter."""
    try:
        return Matching(java_pattern(pattern), whole=False)
    except ExpressionError as error:
        raise TaskFailed(str(error)) from None
