"""The exact evaluator: one row at a time, by Druid's rules. The vectorised one falls back to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from workers.ingest.expressions.functions import functions
from workers.ingest.expressions.functions.base import Compiled, Env
from workers.ingest.expressions.parser import Binary, Call, Identifier, Lambda, Literal, Node, Unary
from workers.ingest.expressions.values import (
    ExpressionError,
    common,
    compare,
    double,
    text,
    truth,
    wrap,
)


def compile_exact(node: Node) -> Compiled:
    """A function from a row's fields to the value.

    Raises
    ------
    ExpressionError
        A function is unknown, or has too few or too many arguments.
    """
    if isinstance(node, Literal):
        value = node.value
        return lambda env: value
    if isinstance(node, Identifier):
        name = node.name
        return lambda env: env.get(name)
    if isinstance(node, Unary):
        return _unary(node.op, compile_exact(node.operand))
    if isinstance(node, Binary):
        return _binary(node.op, compile_exact(node.left), compile_exact(node.right))
    if isinstance(node, Lambda):
        raise ExpressionError("A lambda can only be the first argument of a function over arrays")
    return _call(node)


def _call(node: Call) -> Compiled:
    if node.name not in functions:
        raise ExpressionError(f"function '{node.name}' is not defined.")
    known = functions[node.name]
    count = len(node.args)
    if count < known.least or (known.most is not None and count > known.most):
        wanted = str(known.least) if known.most == known.least else f"at least {known.least}"
        raise ExpressionError(f"Function[{node.name}] requires {wanted} argument{'s' * (wanted != '1')}")
    if known.special:
        args = [_function_of(arg) if isinstance(arg, Lambda) else compile_exact(arg) for arg in node.args]
        compiled: Compiled = known.call(*args)
        return compiled
    if any(isinstance(arg, Lambda) for arg in node.args):
        raise ExpressionError(f"Function[{node.name}] takes no lambda")
    call, parts = known.call, [compile_exact(arg) for arg in node.args]
    return lambda env: call(*[part(env) for part in parts])


def _function_of(node: Lambda) -> Callable[[Env], Callable[..., Any]]:
    """A lambda as a function of its arguments, in a row."""
    body, names = compile_exact(node.body), node.parameters

    def in_row(env: Env) -> Callable[..., Any]:
        return lambda *values: body({**env, **dict(zip(names, values, strict=True))})

    return in_row


def _unary(op: str, operand: Compiled) -> Compiled:
    def negate(env: Env) -> Any:
        value = operand(env)
        if value is None:
            return None
        if not isinstance(value, int | float):
            raise ExpressionError(f"operator '-' is not supported on [{text(value)}]")
        return wrap(-value) if isinstance(value, int) else -value

    def inverse(env: Env) -> Any:
        value = operand(env)
        return None if value is None else int(not truth(value))

    return negate if op == "-" else inverse


def _binary(op: str, left: Compiled, right: Compiled) -> Compiled:
    if op == "&&":
        return lambda env: _and(left(env), right, env)
    if op == "||":
        return lambda env: _or(left(env), right, env)
    if op in ("==", "!="):
        wanted = op == "=="
        return lambda env: _equality(left(env), right(env), wanted)
    holds = _ORDERS.get(op)
    if holds is not None:
        return lambda env: _ordered(holds, left(env), right(env))
    return lambda env: calculate(op, left(env), right(env))


def _and(value: Any, right: Compiled, env: Env) -> int | None:
    if value is not None and not truth(value):
        return 0
    other = right(env)
    if other is not None and not truth(other):
        return 0
    return None if value is None or other is None else 1


def _or(value: Any, right: Compiled, env: Env) -> int | None:
    if value is not None and truth(value):
        return 1
    other = right(env)
    if other is not None and truth(other):
        return 1
    return None if value is None or other is None else 0


_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def _ordered(holds: Callable[[int], bool], left: Any, right: Any) -> int | None:
    order = order_of(left, right)
    return None if order is None else int(holds(order))


def _equality(left: Any, right: Any, wanted: bool) -> int | None:
    """By IEEE for doubles, where order is Java's: -0.0 is 0.0, and NaN is nothing."""
    if left is not None and right is not None and common(left, right) == "DOUBLE":
        a, b = double(left), double(right)
        return None if a is None or b is None else int((a == b) == wanted)
    order = order_of(left, right)
    return None if order is None else int((order == 0) == wanted)


def order_of(left: Any, right: Any) -> int | None:
    """How two operands compare; None if one is null or no number where one is wanted."""
    if left is None or right is None:
        return None
    kind = common(left, right)
    if kind == "DOUBLE":
        left, right = double(left), double(right)
        if left is None or right is None:
            return None
    return compare(left, right)


def calculate(op: str, left: Any, right: Any) -> Any:
    """`left op right`."""
    if left is None or right is None:
        return None
    kind = common(left, right)
    if kind == "STRING":
        if op != "+":
            raise ExpressionError(f"operator '{op}' is not supported on type 'STRING'.")
        return left + right
    if kind == "ARRAY":
        return None
    if kind == "LONG":
        return _of_longs(op, left, right)
    a, b = double(left), double(right)
    return None if a is None or b is None else _of_doubles(op, a, b)


def _of_longs(op: str, left: int, right: int) -> int:
    if op == "+":
        return wrap(left + right)
    if op == "-":
        return wrap(left - right)
    if op == "*":
        return wrap(left * right)
    if op == "^":
        return _long_power(left, right)
    if right == 0:
        raise ExpressionError("/ by zero")
    quotient = abs(left) // abs(right)
    quotient = quotient if (left < 0) == (right < 0) else -quotient
    return wrap(quotient) if op == "/" else left - right * quotient


def _long_power(base: int, exponent: int) -> int:
    if not 0 <= exponent < 2**31:
        raise ExpressionError(f"exponent ({exponent}) must be >= 0 and an int")
    return wrap(pow(base, exponent, 2**64))


def _of_doubles(op: str, left: float, right: float) -> float:
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    if op == "*":
        return left * right
    if op == "/":
        return divide(left, right)
    if op == "^":
        return power(left, right)
    return math.fmod(left, right) if right and math.isfinite(left) and right == right else math.nan


def divide(left: float, right: float) -> float:
    """A double by a double, as IEEE has it."""
    if right:
        return left / right
    if left != left or not left or right != right:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def power(base: float, exponent: float) -> float:
    """`Math.pow`."""
    try:
        if abs(base) == 1.0 and not math.isfinite(exponent):
            return math.nan  # C says 1 here, Java does not
        if base == 1.0 and exponent != exponent:
            return math.nan
        return math.pow(base, exponent)
    except OverflowError:
        return math.copysign(math.inf, base) if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        if base == 0:
            return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf
        return math.nan
