"""Functions of numbers. Null in, null out; text is read as a number."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from workers.ingest.expressions.functions.base import function
from workers.ingest.expressions.values import ExpressionError, compare, double, long, wrap
from workers.ingest.java import double_to_long


def _of_double(name: str, compute: Callable[[float], float]) -> None:
    """File a function from a double to a double; what has no value is NaN or infinite, as in Java."""

    def call(value: Any) -> float | None:
        if not isinstance(value, int | float):
            return None  # text too, even if it reads as a number
        found = float(value)
        if found != found:
            return math.nan
        try:
            return float(compute(found))
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    function(name)(call)


def _whole(round_: Callable[[float], int]) -> Callable[[float], float]:
    return lambda x: math.copysign(float(round_(x)), x) if math.isfinite(x) else x


def _logarithm(log: Callable[[float], float], pole: float) -> Callable[[float], float]:
    return lambda x: -math.inf if x == pole else log(x)


def _cot(x: float) -> float:
    if math.isinf(x):
        return math.nan
    return math.cos(x) / math.sin(x) if math.sin(x) else math.copysign(math.inf, math.sin(x))


for _name, _compute in (
    ("acos", math.acos),
    ("asin", math.asin),
    ("atan", math.atan),
    ("cbrt", math.cbrt),
    ("ceil", _whole(math.ceil)),
    ("cos", math.cos),
    ("cosh", math.cosh),
    ("cot", _cot),
    ("exp", math.exp),
    ("expm1", math.expm1),
    ("floor", _whole(math.floor)),
    ("log", _logarithm(math.log, 0.0)),
    ("log10", _logarithm(math.log10, 0.0)),
    ("log1p", _logarithm(math.log1p, -1.0)),
    ("nextup", lambda x: math.nextafter(x, math.inf)),
    ("rint", _whole(round)),
    ("signum", lambda x: x if x == 0 else math.copysign(1.0, x)),
    ("sin", math.sin),
    ("sinh", lambda x: x if math.isinf(x) else math.copysign(_big(math.sinh, x), x)),
    ("sqrt", math.sqrt),
    ("tan", math.tan),
    ("tanh", math.tanh),
    ("todegrees", math.degrees),
    ("toradians", math.radians),
    ("ulp", math.ulp),
):
    _of_double(_name, _compute)


def _big(compute: Callable[[float], float], x: float) -> float:
    try:
        return compute(x)
    except OverflowError:
        return math.inf


@function("abs")
def _abs(value: Any) -> int | float | None:
    if not isinstance(value, int | float):
        return None
    return wrap(abs(value)) if isinstance(value, int) else abs(value)


@function("pi", 0)
def _pi() -> float:
    return math.pi


@function("getexponent")
def _exponent(value: Any) -> int | None:
    if not isinstance(value, int | float):
        return None
    found = float(value)
    bits = struct.unpack(">Q", struct.pack(">d", found))[0] >> 52 & 0x7FF
    return int(bits) - 1023


@function("round", 1, 2)
def _round(value: Any, scale: Any = 0) -> int | float | None:
    if not isinstance(value, int | float):
        return None
    if not isinstance(scale, int):
        raise ExpressionError("Function[round] second argument should be a LONG")
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0 if value != value else math.copysign(1.7976931348623157e308, value)
    if isinstance(value, int) and scale >= 0:
        return value
    rounded = Decimal(repr(value)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP) if _sane(value, scale) else value
    return wrap(int(rounded)) if isinstance(value, int) else float(rounded)


def _sane(value: int | float, scale: int) -> bool:
    """Whether so many digits can be kept at all, and need be."""
    exponent = Decimal(repr(value)).adjusted()
    return exponent + scale < 27


def _pair(name: str, of_longs: Callable[[int, int], Any] | None, of_doubles: Callable[[float, float], Any]) -> None:
    """File a function of two numbers; two longs may be treated apart."""

    def call(left: Any, right: Any) -> Any:
        if left is None or right is None or (isinstance(left, str) and isinstance(right, str)):
            return None
        if of_longs is not None and type(left) is int and type(right) is int:
            return of_longs(left, right)
        return of_doubles(double(left) or 0.0, double(right) or 0.0)  # text that is no number counts as 0

    function(name, 2)(call)


def _extreme(sign: int) -> Callable[[float, float], float]:
    return lambda a, b: math.nan if a != a or b != b else a if sign * compare(a, b) >= 0 else b


def _power(a: float, b: float) -> float:
    from workers.ingest.expressions.exact import power

    return power(a, b)


def _long_division(a: int, b: int) -> int:
    from workers.ingest.expressions.exact import calculate

    result: int = calculate("/", a, b)
    return result


def _double_division(a: float, b: float) -> int:
    from workers.ingest.expressions.exact import divide

    return double_to_long(divide(a, b))


def _remainder(a: float, b: float) -> float:
    try:
        return math.remainder(a, b)
    except ValueError:
        return math.nan


_pair("max", max, _extreme(1))
_pair("min", min, _extreme(-1))
_pair("atan2", None, math.atan2)
_pair("copysign", None, math.copysign)
_pair("hypot", None, math.hypot)
_pair("pow", None, _power)
_pair("remainder", None, _remainder)
_pair("nextafter", None, math.nextafter)
_pair("div", _long_division, _double_division)


@function("safe_divide", 2)
def _safe_divide(left: Any, right: Any) -> Any:
    if left is None or right is None or (isinstance(left, str) and isinstance(right, str)):
        return None
    if type(left) is int and type(right) is int:
        return _long_division(left, right) if right else None if left else 0
    a, b = double(left) or 0.0, double(right) or 0.0
    return a / b if b else None if a else 0.0


@function("scalb", 2)
def _scalb(left: Any, right: Any) -> float | None:
    if left is None or right is None or (isinstance(left, str) and isinstance(right, str)):
        return None
    a, b = double(left) or 0.0, long(right) or 0
    try:
        return math.ldexp(a, max(-5000, min(5000, b)))
    except OverflowError:
        return math.copysign(math.inf, a)


def _bits(name: str, compute: Callable[[int, int], int]) -> None:
    def call(left: Any, right: Any) -> int | None:
        if left is None or right is None or (isinstance(left, str) and isinstance(right, str)):
            return None
        return wrap(compute(long(left) or 0, long(right) or 0))

    function(name, 2)(call)


_bits("bitwiseand", lambda a, b: a & b)
_bits("bitwiseor", lambda a, b: a | b)
_bits("bitwisexor", lambda a, b: a ^ b)
_bits("bitwiseshiftleft", lambda a, b: (a << (b & 63)) & (2**64 - 1))
_bits("bitwiseshiftright", lambda a, b: a >> (b & 63))


@function("bitwisecomplement")
def _complement(value: Any) -> int | None:
    return ~double_to_long(float(value)) if isinstance(value, float) else ~value if isinstance(value, int) else None


@function("bitwiseconvertdoubletolongbits")
def _to_bits(value: Any) -> int | None:
    if not isinstance(value, int | float):
        return None
    return int(struct.unpack(">q", struct.pack(">d", float(value)))[0])


@function("bitwiseconvertlongbitstodouble")
def _from_bits(value: Any) -> float | None:
    found = long(value) if isinstance(value, int | float) else None
    return None if found is None else float(struct.unpack(">d", struct.pack(">q", found))[0])
