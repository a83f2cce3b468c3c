"""Druid's expression language: text to tree.

Operators by strength, the strongest first; all but `^` group to the left:

    ! -    ^    * / %    + -    < <= > >= == !=    && ||

An identifier is bare (`page`) or in double quotes; text stands in single quotes; `1` is a long, `1.` a double; arrays
are `[1, 2]`, `<LONG>[]`; `(x, y) -> x + y` is a lambda, which only functions over arrays take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workers.ingest.expressions.values import LONG_MAX, ExpressionError, array


@dataclass(frozen=True)
class Literal:
    """A constant."""

    value: Any


@dataclass(frozen=True)
class Identifier:
    """A field of the row, or a lambda's parameter."""

    name: str


@dataclass(frozen=True)
class Unary:
    """`!x` or `-x`."""

    op: str
    operand: Node


@dataclass(frozen=True)
class Binary:
    """Two operands."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Call:
    """A function, by its name in lower case."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True)
class Lambda:
    """The first argument of `map` and its like."""

    parameters: tuple[str, ...]
    body: Node


Node = Literal | Identifier | Unary | Binary | Call | Lambda

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<double>[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)
    | (?P<long>[0-9]+)
    | (?P<name>[_$A-Za-z][_$A-Za-z0-9]*)
    | "(?P<quoted>(?:[^"\\]|\\.)*)"
    | '(?P<text>(?:[^'\\]|\\.)*)'
    | (?P<type><(?:STRING|LONG|DOUBLE|ARRAY<(?:STRING|LONG|DOUBLE)>)>(?=\s*\[))
    | (?P<op>->|<=|>=|==|!=|&&|\|\||[-+*/%^!<>()\[\],])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_STRENGTH = {
    "^": 6, "*": 5, "/": 5, "%": 5, "+": 4, "-": 4,
    "<": 3, "<=": 3, ">": 3, ">=": 3, "==": 3, "!=": 3, "&&": 2, "||": 2,
}  # fmt: skip
_MOST_NESTED = 150


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises
    ------
    ExpressionError
        It is none; the message shows where.
    """
    parser = _Parser(text)
    node = parser.expression(0)
    parser.expect("end")
    return node


def inputs(node: Node) -> frozenset[str]:
    """The fields of the row that it looks at."""
    return frozenset(_free(node, frozenset()))


def _free(node: Node, bound: frozenset[str]) -> Iterator[str]:
    if isinstance(node, Identifier):
        if node.name not in bound:
            yield node.name
    elif isinstance(node, Unary):
        yield from _free(node.operand, bound)
    elif isinstance(node, Binary):
        yield from _free(node.left, bound)
        yield from _free(node.right, bound)
    elif isinstance(node, Lambda):
        yield from _free(node.body, bound | set(node.parameters))
    elif isinstance(node, Call):
        for arg in node.args:
            yield from _free(arg, bound)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._at = 0
        self._depth = 0

    def _split(self) -> Iterator[tuple[str, str, int]]:
        at, end = 0, len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise ExpressionError(f"Expression [{self._text}] cannot be read at position {at}")
            kind = str(match.lastgroup)
            yield kind, match[kind], match.start(kind)
            at = match.end()
        yield "end", "", end

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        kind, text, _ = self._tokens[min(self._at + ahead, len(self._tokens) - 1)]
        return kind, text

    def _next(self) -> tuple[str, str]:
        found = self._peek()
        self._at += 1
        return found

    def _is(self, op: str) -> bool:
        return self._peek() == ("op", op)

    def expect(self, wanted: str) -> None:
        """Pass over an operator, or the end."""
        kind, text = self._peek()
        if kind != wanted and (kind, text) != ("op", wanted):
            raise self._unexpected(wanted)
        self._at += 1

    def _unexpected(self, wanted: str) -> ExpressionError:
        _, text, at = self._tokens[min(self._at, len(self._tokens) - 1)]
        found = f"[{text}]" if text else "the end"
        return ExpressionError(f"Expression [{self._text}] has {found} at position {at} where [{wanted}] was expected")

    def expression(self, weakest: int) -> Node:
        """An expression whose operators bind stronger than `weakest`."""
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise ExpressionError(f"Expression [{self._text[:100]}...] is nested too deep")
        left = self._operand()
        while True:
            kind, op = self._peek()
            strength = _STRENGTH.get(op, 0) if kind == "op" else 0
            if strength <= weakest:
                self._depth -= 1
                return left
            self._at += 1
            left = Binary(op, left, self.expression(strength - 1 if op == "^" else strength))

    def _operand(self) -> Node:
        kind, text = self._next()
        if kind == "long":
            return Literal(_long(text))
        if kind == "double":
            return Literal(float(text))
        if kind == "text":
            return Literal(_unescaped(text))
        if kind == "quoted":
            return Identifier(_unescaped(text))
        if kind == "type":
            return self._array()
        if kind == "name":
            return self._name(text)
        if kind == "op" and text in ("-", "!"):
            return _negated(text, self.expression(6))
        if kind == "op" and text == "(":
            inner = self.expression(0)
            self.expect(")")
            return inner
        if kind == "op" and text == "[":
            self._at -= 1
            return self._array()
        self._at -= 1
        raise self._unexpected("a value")

    def _name(self, text: str) -> Node:
        if self._is("("):
            return self._call(text)
        if text == "null":
            return Literal(None)
        if text in ("NaN", "Infinity"):
            return Literal(float(text))
        return Identifier(text)

    def _call(self, name: str) -> Node:
        self.expect("(")
        args: list[Node] = []
        while not self._is(")"):
            if args:
                self.expect(",")
            args.append(self._lambda() or self.expression(0))
        self.expect(")")
        return Call(name.lower(), tuple(args))

    def _lambda(self) -> Lambda | None:
        """A lambda, if one begins here."""
        start = self._at
        parameters: list[str] = []
        if self._is("("):
            self._at += 1
            while self._peek()[0] in ("name", "quoted"):
                parameters.append(_unescaped(self._next()[1]))
                if not self._is(","):
                    break
                self._at += 1
            closed = self._is(")")
            self._at += closed
        else:
            closed = self._peek()[0] in ("name", "quoted")
            if closed:
                parameters.append(_unescaped(self._next()[1]))
        if closed and self._is("->"):
            self._at += 1
            return Lambda(tuple(parameters), self.expression(0))
        self._at = start
        return None

    def _array(self) -> Literal:
        self.expect("[")
        items: list[Any] = []
        while not self._is("]"):
            if items and self._is(","):
                self._at += 1
            item = self.expression(6) if self._is("-") else self._operand()
            if not isinstance(item, Literal):
                raise self._unexpected("a constant")
            items.append(item.value)
        self.expect("]")
        return Literal(array(items))


def _negated(op: str, operand: Node) -> Node:
    if op == "-" and isinstance(operand, Literal) and type(operand.value) in (int, float):
        return Literal(-operand.value)
    return Unary(op, operand)


def _long(text: str) -> int:
    value = int(text)
    if value > LONG_MAX + 1:
        raise ExpressionError(f"[{text}] is beyond the range of a long")
    return value


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    return _ESCAPE.sub(one, text) if "\\" in text else text
