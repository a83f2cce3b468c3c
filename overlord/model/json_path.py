"""JsonPath as stock Druid's library (Jayway's) reads it: from the text to steps.

What its grammar takes is taken: `$` may be left out, brackets may hold several names or indexes, a filter's path ends
at a blank or an operator. Evaluation is in `workers.ingest.formats.json_path`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from overlord.model.java_pattern import java_pattern
from overlord.model.json_path_steps import (
    Call,
    Compared,
    Condition,
    Deep,
    Every,
    Exists,
    Indexes,
    Json,
    Logic,
    Names,
    Path,
    Pattern,
    Slice,
    Step,
    Value,
    Where,
)

FUNCTIONS = frozenset(
    ("append", "avg", "concat", "first", "index", "keys", "last", "length", "max", "min", "size", "stddev", "sum")
)
OPERATORS = frozenset(
    (">=", "<=", "==", "===", "!=", "!==", "<", ">", "=~", "NIN", "IN", "CONTAINS", "ALL", "SIZE", "EXISTS")
) | frozenset(("TYPE", "MATCHES", "EMPTY", "SUBSETOF", "ANYOF", "NONEOF"))
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NAME_END = frozenset(".[")
_OPERATOR = frozenset("<>=~!")


class BadPath(ValueError):
    """A text that is no JsonPath: what is wrong, and where."""


def parse_json_path(text: str) -> Path:
    """Read a JsonPath.

    Raises
    ------
    BadPath
        If the stock library cannot read it, or a function in it is not known.
    """
    text = text.strip(" ")
    if not text:
        raise BadPath("json can not be null or empty")
    if text[0] not in "$@":
        text = "$." + text
    if text.endswith("."):
        raise BadPath("Path must not end with a '.' or '..'")
    try:
        return _Reader(text).path()
    except BadPath:
        raise
    except (ValueError, IndexError, RecursionError) as error:  # a number of thousands of digits, too many brackets
        raise BadPath(f"{type(error).__name__}: {error}") from None


class _Reader:
    """A place in a text, and what can be read there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    # ------------------------------------------------------------ paths

    def path(self) -> Path:
        """The whole text as a path."""
        relative = self.text[0] == "@"
        self.at = 1
        steps: list[Step] = []
        if self.at < len(self.text) and self.text[self.at] not in ".[":
            raise BadPath(f"Illegal character at position {self.at} expected '.' or '['")
        while self.at < len(self.text):
            if steps and self.at == len(self.text) - 1 and self.text[self.at] != "*":
                break  # a last character that starts nothing is passed over
            if steps and isinstance(steps[-1], Call):
                raise BadPath(f"Nothing can follow a function, at position {self.at}")
            self._step(steps)
        if steps and isinstance(steps[-1], Deep):
            raise BadPath("Path must not end with a '.' or '..'")
        return Path(relative, tuple(steps))

    def _step(self, steps: list[Step]) -> None:
        if self.text.startswith("..", self.at):
            steps.append(Deep())
            self.at += 2
        elif self._is("."):
            self.at += 1
        if self._is("."):
            raise BadPath(f"Character '.' on position {self.at} is not valid.")
        if self._is("*"):
            self.at += 1
            steps.append(Every())
        elif self._is("["):
            steps.append(self._bracket())
        else:
            steps.append(self._name())

    def _name(self) -> Step:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _NAME_END:
            if self.text[self.at] == " ":
                raise BadPath(
                    f"Use bracket notation ['my prop'] if your property contains blank characters. position: {self.at}"
                )
            if self.text[self.at] == "(":
                return self._call(self.text[start : self.at])
            self.at += 1
        if start == self.at:
            raise self._unreadable()
        return Names((self.text[start : self.at],))

    def _bracket(self) -> Step:
        start = self.at
        inside = self._skip_blanks(start + 1)
        head = self.text[inside : inside + 1]
        if head in ("'", '"') and head:
            return self._quoted_names(inside)
        if head == "?":
            return self._where(inside)
        end = self.text.find("]", start)
        content = self.text[start + 1 : end].strip() if end > 0 else ""
        if content == "*":
            step: Step = Every()
        elif re.fullmatch(r"-?\d+(\s*,\s*-?\d+)*", content):
            step = Indexes(tuple(int(number) for number in content.split(",")))
        elif re.fullmatch(r"[-\d: ]+", content) and ":" in content:
            step = _slice(content)
        else:
            raise self._unreadable()
        self.at = end + 1
        return step

    def _quoted_names(self, at: int) -> Names:
        names: list[str] = []
        while True:
            name, at = self._quoted(at)
            names.append(name)
            at = self._skip_blanks(at)
            if self.text.startswith("]", at):
                self.at = at + 1
                return Names(tuple(names))
            if not self.text.startswith(",", at):
                raise BadPath(
                    "Property must be separated by comma or Property must be terminated close square bracket "
                    f"at index {at}"
                )
            at = self._skip_blanks(at + 1)
            if self.text[at : at + 1] not in ("'", '"'):
                raise BadPath(f"Found empty property at index {at}")

    def _quoted(self, at: int) -> tuple[str, int]:
        """The text between quotes at `at`, and the place behind them."""
        quote = self.text[at]
        out: list[str] = []
        place = at + 1
        while place < len(self.text) and self.text[place] != quote:
            if self.text[place] == "\\" and place + 1 < len(self.text):
                if code := re.match(r"u([0-9a-fA-F]{4})", self.text[place + 1 :]):
                    out.append(chr(int(code[1], 16)))
                    place += 6
                    continue
                place += 1
                out.append(_ESCAPES.get(self.text[place], self.text[place]))
            else:
                out.append(self.text[place])
            place += 1
        if place >= len(self.text):
            raise BadPath(f"Property has not been closed - missing closing {quote}")
        return "".join(out), place + 1

    # ------------------------------------------------------------ functions

    def _call(self, name: str) -> Call:
        if name not in FUNCTIONS:
            raise BadPath(f"Function with name: {name} does not exist. Known: {', '.join(sorted(FUNCTIONS))}")
        end = _closing(self.text, self.at, "(", ")")
        arguments = tuple(_argument(part) for part in _split(self.text[self.at + 1 : end]))
        self.at = end + 1
        return Call(name, arguments)

    # ------------------------------------------------------------ filters

    def _where(self, at: int) -> Where:
        opening = self._skip_blanks(at + 1)
        if not self.text.startswith("(", opening):
            raise self._unreadable()
        end = _closing(self.text, opening, "(", ")")
        close = self._skip_blanks(end + 1)
        if not self.text.startswith("]", close):
            raise self._unreadable()
        inner = _Reader(self.text[opening + 1 : end])
        condition = inner._either()
        if inner._skip_blanks(inner.at) < len(inner.text):
            raise BadPath(f"Expected end of filter expression instead of: {inner.text[inner.at :]}")
        self.at = close + 1
        return Where(condition)

    def _either(self) -> Condition:
        return self._joined("or", "||", lambda: self._joined("and", "&&", self._operand))

    def _joined(self, kind: str, sign: str, part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self.text.startswith(sign, self._skip_blanks(self.at)):
            self.at = self._skip_blanks(self.at) + len(sign)
            parts.append(part())
        return parts[0] if len(parts) == 1 else Logic(kind, tuple(parts))

    def _operand(self) -> Condition:
        self.at = self._skip_blanks(self.at)
        if self._is("!"):
            after = self._skip_blanks(self.at + 1)
            self.at = after
            if self.text[after : after + 1] not in ("$", "@"):
                return Logic("not", (self._operand(),))
            return self._relation(wanted=False)
        if self._is("("):
            self.at += 1
            found = self._either()
            self.at = self._skip_blanks(self.at)
            if not self._is(")"):
                raise BadPath("Expected character: )")
            self.at += 1
            return found
        return self._relation(wanted=True)

    def _relation(self, *, wanted: bool) -> Condition:
        left = self._value()
        mark = self.at
        try:
            operator = self._operator()
            return Compared(left, operator, self._value())
        except BadPath:
            self.at = mark
            if self.text[self._skip_blanks(mark) :][:1] in _OPERATOR:
                raise
        if not isinstance(left, Path):
            raise BadPath("Expected path node")
        return Exists(left, wanted)

    def _operator(self) -> str:
        start = self._skip_blanks(self.at)
        ahead = r"[<>=~!]+" if self.text[start : start + 1] in _OPERATOR else r"[^ ]*"
        found = re.compile(ahead).match(self.text, start)
        name = found[0].upper() if found else ""
        if name not in OPERATORS:
            raise BadPath(f"Filter operator {name} is not supported!")
        self.at = start + len(name)
        return name

    def _value(self) -> Value:
        self.at = self._skip_blanks(self.at)
        head = self.text[self.at : self.at + 1]
        if head in ("$", "@"):
            return self._inner_path()
        if head in ("'", '"'):
            text, self.at = self._quoted(self.at)
            return Json(text)
        if head == "/":
            return self._pattern()
        if head in ("[", "{"):
            end = _closing(self.text, self.at, head, {"[": "]", "{": "}"}[head])
            text, self.at = self.text[self.at : end + 1], end + 1
            return Json(_lenient_json(text))
        value: Any
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return Json(value)
        number = re.compile(r"[-0-9.eE]+").match(self.text, self.at)
        try:
            if number is None:
                raise ValueError
            value = float(number[0]) if set(number[0]) & set(".eE") else int(number[0])
        except ValueError:
            raise BadPath(f"Failed to parse filter: {self.text}, error on position: {self.at}, char: {head}") from None
        self.at = number.end()
        return Json(value)

    def _inner_path(self) -> Path:
        start = self.at
        self.at += 1
        while self.at < len(self.text):
            head = self.text[self.at]
            if head == "[":
                self.at = _closing(self.text, self.at, "[", "]") + 1
            elif head == "(":
                self.at = _closing(self.text, self.at, "(", ")") + 1
            elif head in _OPERATOR or head in " )":
                break
            else:
                self.at += 1
        return parse_json_path(self.text[start : self.at])

    def _pattern(self) -> Pattern:
        end = self.at + 1
        while end < len(self.text) and self.text[end] != "/":
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise BadPath("Pattern not closed. Expected / in " + self.text)
        flags = re.compile(r"[a-zA-Z]*").match(self.text, end + 1)
        assert flags is not None
        try:
            regex = java_pattern(self.text[self.at + 1 : end], _flags(flags[0]))
        except ValueError as error:
            raise BadPath(f"Pattern cannot be read: {error}") from None
        self.at = flags.end()
        return Pattern(regex)

    # ------------------------------------------------------------ letters

    def _is(self, letter: str) -> bool:
        return self.text.startswith(letter, self.at)

    def _skip_blanks(self, at: int) -> int:
        while self.text.startswith(" ", at):
            at += 1
        return at

    def _unreadable(self) -> BadPath:
        return BadPath(f"Could not parse token starting at position {self.at}. Expected ?, ', 0-9, * ")


def _slice(content: str) -> Slice:
    ends = [part.strip() for part in content.split(":")]
    try:
        start, end = (int(part) if part else None for part in ends[:2])
    except ValueError:
        start = end = None
    if start is None and end is None:
        raise BadPath(f"Failed to parse SliceOperation: {content}")
    return Slice(start, end)


def _closing(text: str, at: int, opening: str, closing: str) -> int:
    """The place of the bracket that closes the one at `at`; those in quotes and patterns do not count."""
    depth, quote = 0, ""
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 1
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "/" and text[:at].rstrip(" ").endswith("=~"):
            quote = "/"
        elif letter == opening:
            depth += 1
        elif letter == closing:
            depth -= 1
            if not depth:
                return at
        at += 1
    raise BadPath(f"Missing closing {closing} in {text}")


def _split(text: str) -> list[str]:
    """Arguments, by the commas that stand in no bracket and no quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[at - 1] != "\\" else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _argument(text: str) -> Path | Json:
    if text[0] in "$@":
        return parse_json_path(text)
    if text[0] not in '{"-0123456789':
        raise BadPath(f"An argument must be a path, a number, an object or a text in double quotes: {text}")
    return Json(_lenient_json(text))


def _lenient_json(text: str) -> Any:
    """JSON, in which texts may stand between single quotes."""
    import json

    changed = re.sub(
        r"'((?:[^'\\]|\\.)*)'|\"(?:[^\"\\]|\\.)*\"",
        lambda match: match[0] if match[1] is None else json.dumps(match[1].replace("\\'", "'")),
        text,
    )
    try:
        return json.loads(changed)
    except ValueError:
        raise BadPath(f"Cannot read {text} as JSON") from None


def _flags(letters: str) -> int:
    known = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "u": 0, "d": 0, "U": 0}
    flags = 0 if "U" in letters else int(re.ASCII)
    for letter in letters:
        if letter not in known:
            raise BadPath(f"Unknown flag of a pattern: {letter}")
        flags |= known[letter]
    return flags
