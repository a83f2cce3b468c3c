"""JsonPath over rows, with the answers of stock Druid's library (Jayway's, with errors suppressed).

A path that can lead to one place only gives that value or null; all others give a list. Quirks that are kept, for rows
come out as stock Druid has them: a property that is not there is a null that is there, below which all is null; an
element that is null is none of that; below `..`, the elements of an array are seen without the step after it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from overlord.model.json_path import (
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
from workers.ingest.java import text_of

Out = list[Any]
Visit = Callable[[Any, Any, Out], None]
"""What a step and all after it do with a value, below a root: they add what they find."""

Visits = Callable[[int, Any], Visit | None]
"""The visit that an element of an array gets, by its place and itself."""


class _Null:
    """A null that is an element of an array; one behind a name is None."""


class NotFound(Exception):
    """A path leads nowhere, where that matters."""


class _Unfit(Exception):
    """Values that an operator is not for."""


class _NoAnswer(Exception):
    """Stock Druid's task would fail here."""


_NULL = _Null()
_LARGEST, _SMALLEST = 1.7976931348623157e308, 5e-324
_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def json_path(path: Path) -> Callable[[Any], Any]:
    """What a path finds in a row; null where stock Druid would fail."""
    evaluate = _evaluator(path, strict=False)

    def find(row: Any) -> Any:
        try:
            return _shown(evaluate(row, row))
        except (_NoAnswer, NotFound, RecursionError):
            return None

    return find


def _evaluator(path: Path, *, strict: bool) -> Callable[[Any, Any], Any]:
    """From an element and a root to the value; a strict one raises `NotFound` where there is none."""
    steps = _inverted(path.steps)
    definite = _definite(steps)
    visit = _compiled(steps, strict=strict)
    first = _keep if visit is None else visit

    def evaluate(item: Any, root: Any) -> Any:
        out: Out = []
        first(item, root, out)
        if not definite:
            return out
        if not out and strict:
            raise NotFound
        return out[-1] if out else None

    return evaluate


def _inverted(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """`$..a.length()` is the function of all that is found, as if it were `$.length($..a)`."""
    if steps and isinstance(steps[-1], Call) and isinstance(steps[0], Deep):
        return (Call(steps[-1].name, (Path(False, steps[:-1]),)),)
    return steps


def _definite(steps: Iterable[Step]) -> bool:
    given = tuple(steps)
    for at, step in enumerate(given):
        if isinstance(step, Names) and len(step.names) > 1 and at + 1 < len(given):
            return False
        if isinstance(step, Indexes) and len(step.numbers) > 1:
            return False
        if isinstance(step, Slice | Every | Deep | Where):
            return False
    return True


def _compiled(steps: tuple[Step, ...], *, strict: bool, above: bool = True) -> Visit | None:
    """All steps as one; None if there are none. `above`: whether what is above them leads to one place only."""
    follow: Visit | None = None
    for at in range(len(steps) - 1, -1, -1):
        upstream = above and _definite((*steps[:at], Names(())))
        if isinstance(steps[at], Deep):
            follow = _deep(steps[at + 1], follow, _beyond(steps[at + 1], steps[at + 2 :], strict=strict))
        else:
            follow = _step(steps[at], follow, upstream=upstream, strict=strict)
    return follow


def _step(step: Step, follow: Visit | None, *, upstream: bool, strict: bool) -> Visit:
    after, fails = follow or _keep, strict and upstream
    match step:
        case Names(names):
            return _names(names, after, leaf=follow is None, fails=fails, strict=strict)
        case Indexes(numbers):
            return _elements(lambda length: numbers, after, fails=fails)
        case Slice(start, end):
            return _elements(lambda length: _stretch(start, end, length), after, fails=fails)
        case Every():
            return _every(after)
        case Where(condition):
            return _where(_holding(condition), after, upstream=upstream)
        case Call():
            return _call(step)
        case Deep():
            raise AssertionError("compiled with what follows it")


def _keep(model: Any, root: Any, out: Out) -> None:
    out.append(model)


def _names(names: tuple[str, ...], after: Visit, *, leaf: bool, fails: bool, strict: bool) -> Visit:
    def visit(model: Any, root: Any, out: Out) -> None:
        if not _is_map(model):
            if fails:
                raise NotFound
            return
        values = model or {}
        if len(names) > 1 and leaf:
            if strict and not all(name in values for name in names):
                raise NotFound
            out.append({name: values[name] for name in names if name in values})
            return
        for name in names:
            after(values.get(name), root, out)

    return visit


def _elements(numbers: Callable[[int], Iterable[int]], after: Visit, *, fails: bool) -> Visit:
    def visit(model: Any, root: Any, out: Out) -> None:
        if not isinstance(model, list):
            if fails:
                raise NotFound
            return
        for number in numbers(len(model)):
            after(_element(model, number), root, out)

    return visit


def _element(items: list[Any], number: int) -> Any:
    if not -len(items) <= number < len(items):
        return None
    return _NULL if items[number] is None else items[number]


def _stretch(start: int | None, end: int | None, length: int) -> range:
    if end is None:
        assert start is not None
        return range(max(0, length + start if start < 0 else start), length)
    if start is None:
        return range(min(length, length + end if end < 0 else end))
    return range(start, min(length, end)) if length else range(0)


def _every(after: Visit) -> Visit:
    def visit(model: Any, root: Any, out: Out) -> None:
        if isinstance(model, list):
            for item in model:
                after(_NULL if item is None else item, root, out)
        elif isinstance(model, dict):
            for value in model.values():
                after(value, root, out)

    return visit


def _where(holds: Callable[[Any, Any], bool], after: Visit, *, upstream: bool) -> Visit:
    def visit(model: Any, root: Any, out: Out) -> None:
        if isinstance(model, list):
            for item in model:
                if holds(item, root):
                    after(_NULL if item is None else item, root, out)
        elif _is_map(model):
            if holds(model, root):
                after(model, root, out)
        elif upstream:
            raise _NoAnswer  # "can not be applied to primitives"

    return visit


def _beyond(step: Step, steps: tuple[Step, ...], *, strict: bool) -> Visits | None:
    """What comes after a step below `..`, for an element of an array; None if nothing does.

    Where one name or `*` ends the path, objects are only looked into if the step names their place in the array.
    """
    after = _compiled(steps, strict=strict, above=False)
    if after is None:
        return None
    last = steps[0] if len(steps) == 1 else None
    if not isinstance(last, Every) and not (isinstance(last, Names) and len(last.names) == 1):
        return lambda number, item: after
    return lambda number, item: None if _is_map(item) and step != Indexes((number,)) else after


def _deep(step: Step, at_once: Visit | None, beyond: Visits | None) -> Visit:
    """All that is below, where `step` fits. Of an array, what comes after `step` sees elements without it."""
    assert at_once is not None
    fits = _fitting(step, leaf=beyond is None)

    def visit(model: Any, root: Any, out: Out) -> None:
        if isinstance(model, list):
            if fits(model, root):
                if beyond is None:
                    at_once(model, root, out)
                else:
                    for number, item in enumerate(model):
                        if (after := beyond(number, item)) is not None:
                            after(item, root, out)
            for item in model:
                visit(item, root, out)
        elif _is_map(model):
            if fits(model, root):
                at_once(model, root, out)
            for value in (model or {}).values():
                visit(value, root, out)

    return visit


def _fitting(step: Step, *, leaf: bool) -> Callable[[Any, Any], bool]:
    match step:
        case Names(names) if len(names) > 1 and not leaf:
            return lambda model, root: _is_map(model)
        case Names(names):
            return lambda model, root: isinstance(model, dict) and all(name in model for name in names)
        case Indexes() | Slice():
            return lambda model, root: isinstance(model, list)
        case Where(condition):
            return _holding(condition)
        case Every():
            return lambda model, root: True
        case _:
            return lambda model, root: False


def _is_map(model: Any) -> bool:
    return model is None or isinstance(model, dict)


def _shown(value: Any) -> Any:
    """A result without the marks of nulls in arrays."""
    if isinstance(value, _Null):
        return None
    if isinstance(value, list) and any(isinstance(item, _Null) for item in value):
        return [None if isinstance(item, _Null) else item for item in value]
    return value


# ---------------------------------------------------------------- functions


def _call(call: Call) -> Visit:
    arguments = [_argument(each) for each in call.arguments]
    counted = call.name in ("length", "size") and call.arguments and isinstance(call.arguments[0], Path)
    within = _children(call.arguments[0]) if counted else None

    def visit(model: Any, root: Any, out: Out) -> None:
        if within is not None and isinstance(found := within(model, model), list):
            out.append(len(found))
        else:
            out.append(_FUNCTIONS[call.name](model, [argument(root) for argument in arguments]))

    return visit


def _children(path: Any) -> Callable[[Any, Any], Any]:
    """All elements that a path finds; of a path to one place only the last one is looked at."""
    evaluate = _evaluator(Path(path.relative, (*path.steps, Every())), strict=False)
    if not _definite(path.steps):
        return evaluate
    return lambda item, root: (evaluate(item, root) or [None])[-1]


def _argument(argument: Path | Json) -> Callable[[Any], Any]:
    if isinstance(argument, Json):
        return lambda root: argument
    evaluate = _evaluator(argument, strict=False)
    return lambda root: _shown(evaluate(root, root))


def _numbers(model: Any, arguments: list[Any]) -> list[float]:
    """The numbers of an array, and of what paths among the arguments find; literals are none."""
    found = [*(model if isinstance(model, list) else ())]
    for value in arguments:
        found += value if isinstance(value, list) else [value]
    numbers = [float(each) for each in found if _is_number(each)]
    if not numbers:
        raise _NoAnswer
    return numbers


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _deviation(numbers: list[float]) -> float:
    count, total, squares = len(numbers), sum(numbers), sum(each * each for each in numbers)
    return math.sqrt(squares / count - total * total / count / count)


def _length(model: Any, arguments: list[Any]) -> Any:
    if model is None:
        raise _NoAnswer
    return len(model) if isinstance(model, list | dict) else None


def _concat(model: Any, arguments: list[Any]) -> str:
    parts = [each for each in model if isinstance(each, str)] if isinstance(model, list) else []
    for value in arguments:
        if isinstance(value, Json):
            parts.append(_json_text(value.value))
        else:
            parts += [_plain_text(each) for each in (value if isinstance(value, list) else [value]) if each is not None]
    return "".join(parts)


def _plain_text(value: Any) -> str:
    if isinstance(value, dict | list):
        return _json_text(value)
    return text_of(value)


def _json_text(value: Any) -> str:
    import json

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _append(model: Any, arguments: list[Any]) -> Any:
    if not isinstance(model, list):
        return model
    return [*model, *(value.value if isinstance(value, Json) else value for value in arguments)]


def _sequence(model: Any, number: int) -> Any:
    if not isinstance(model, list) or not -len(model) <= number < len(model):
        raise _NoAnswer
    return model[number]


def _index(model: Any, arguments: list[Any]) -> Any:
    given = [value.value if isinstance(value, Json) else value for value in arguments]
    if not given or not _is_number(given[0]):
        raise _NoAnswer
    return _sequence(model, int(given[0]))


_FUNCTIONS: dict[str, Callable[[Any, list[Any]], Any]] = {
    "append": _append,
    "avg": lambda model, given: (lambda n: sum(n) / len(n))(_numbers(model, given)),
    "concat": _concat,
    "first": lambda model, given: _sequence(model, 0),
    "index": _index,
    "keys": lambda model, given: list(model or ()) if _is_map(model) else None,
    "last": lambda model, given: _sequence(model, -1),
    "length": _length,
    "max": lambda model, given: max(_SMALLEST, *_numbers(model, given)),
    "min": lambda model, given: min(_LARGEST, *_numbers(model, given)),
    "size": _length,
    "stddev": lambda model, given: _deviation(_numbers(model, given)),
    "sum": lambda model, given: sum(_numbers(model, given)),
}


# ---------------------------------------------------------------- conditions


def _holding(condition: Condition) -> Callable[[Any, Any], bool]:
    """Whether a condition as a whole holds; one that compares what cannot be compared does not."""
    holds = _condition(condition)

    def test(item: Any, root: Any) -> bool:
        try:
            return holds(item, root)
        except _Unfit:
            return False

    return test


def _condition(condition: Condition) -> Callable[[Any, Any], bool]:
    match condition:
        case Logic("not", (part,)):
            inner = _condition(part)
            return lambda item, root: not inner(item, root)
        case Logic(kind, parts):
            several = [_condition(part) for part in parts]
            join = all if kind == "and" else any
            return lambda item, root: join(part(item, root) for part in several)
        case Exists(path, wanted):
            return _exists(path, wanted)
        case Compared(Json(list() | dict()), "==" | "===" | "!=" | "!==" as operator, _):
            return lambda item, root: operator[0] == "!"  # such a literal equals nothing
        case Compared(left, operator, right):
            first, second, test = _value(left), _value(right), _TESTS[operator]
            return lambda item, root: test(first(item, root), second(item, root))
    raise AssertionError(condition)


def _exists(path: Path, wanted: bool) -> Callable[[Any, Any], bool]:
    evaluate = _evaluator(path, strict=True)

    def there(item: Any, root: Any) -> bool:
        try:
            evaluate(item, root)  # of the element, even where the path starts at `$`
        except NotFound:
            return not wanted
        return wanted

    return there


def _value(value: Value) -> Callable[[Any, Any], Any]:
    if isinstance(value, Json):
        return lambda item, root: value.value
    if isinstance(value, Pattern):
        return lambda item, root: value.regex
    evaluate, relative = _evaluator(value, strict=False), value.relative
    return lambda item, root: _shown(evaluate(item if relative else root, root))


def _equal(left: Any, right: Any) -> bool:
    """As stock Druid's library has it: a text that is a number equals that number, seen from the left one."""
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return _same(left, right)
    if isinstance(left, str):
        return (isinstance(right, str) and left == right) or (_is_number(right) and left == _number_text(right))
    if _is_number(left):
        if isinstance(right, str):
            return _DECIMAL.fullmatch(right) is not None and float(right) == left
        return _is_number(right) and bool(left == right)
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
    return "number" if _is_number(value) else "json" if isinstance(value, list | dict) else type(value)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return test(left.encode("utf-16-be", "surrogatepass"), right.encode("utf-16-be", "surrogatepass"))
        return _is_number(left) and _is_number(right) and test(left, right)

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
        raise _NoAnswer  # "Could not determine value type"


def _among(left: Any, items: list[Any]) -> bool:
    _check_plain(items)
    return any(_equal(left, item) for item in items)


def _in(left: Any, right: Any) -> bool:
    _check_json(right)
    return isinstance(right, list) and _among(left, right)


def _check_json(*values: Any) -> None:
    if not all(isinstance(value, list | dict) for value in values):
        raise _Unfit


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
    return _is_number(right) and isinstance(left, list | str) and len(left) == int(right)


def _empty(left: Any, right: Any) -> bool:
    if not isinstance(left, str | list | dict):
        return False
    if not isinstance(right, bool):
        raise _Unfit
    return (not left) == right


def _exists_as(left: Any, right: Any) -> bool:
    if not isinstance(left, bool) and not isinstance(right, bool):
        raise _NoAnswer
    if not (isinstance(left, bool) and isinstance(right, bool)):
        raise _Unfit
    return left == right


def _never(left: Any, right: Any) -> bool:
    """Of operators that need what no path and no text can give."""
    raise _Unfit


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
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
