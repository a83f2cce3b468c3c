"""JsonPath over rows, with the answers of stock Druid's library (Jayway's, with errors suppressed).

A path that can lead to one place only gives that value or null; all others give a list. Quirks that are kept, for rows
come out as stock Druid has them: a property that is not there is a null that is there, below which all is null; an
element that is null is none of that; below `..`, the elements of an array are seen without the step after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

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
from workers.ingest.formats.json_path_functions import FUNCTIONS
from workers.ingest.formats.json_path_operators import OPERATORS
from workers.ingest.formats.json_path_values import NULL, NoAnswer, NotFound, Unfit, is_map, shown

Out = list[Any]
Visit = Callable[[Any, Any, Out], None]
"""What a step and all after it do with a value, below a root: they add what they find."""

Visits = Callable[[int, Any], Visit | None]
"""The visit that an element of an array gets, by its place and itself."""


def json_path(path: Path) -> Callable[[Any], Any]:
    """What a path finds in a row; null where stock Druid would fail."""
    evaluate = _evaluator(path, strict=False)

    def find(row: Any) -> Any:
        try:
            return shown(evaluate(row, row))
        except (NoAnswer, NotFound, RecursionError):
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
        if not is_map(model):
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
    return NULL if items[number] is None else items[number]


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
                after(NULL if item is None else item, root, out)
        elif isinstance(model, dict):
            for value in model.values():
                after(value, root, out)

    return visit


def _where(holds: Callable[[Any, Any], bool], after: Visit, *, upstream: bool) -> Visit:
    def visit(model: Any, root: Any, out: Out) -> None:
        if isinstance(model, list):
            for item in model:
                if holds(item, root):
                    after(NULL if item is None else item, root, out)
        elif is_map(model):
            if holds(model, root):
                after(model, root, out)
        elif upstream:
            raise NoAnswer  # "can not be applied to primitives"

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
    return lambda number, item: None if is_map(item) and step != Indexes((number,)) else after


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
        elif is_map(model):
            if fits(model, root):
                at_once(model, root, out)
            for value in (model or {}).values():
                visit(value, root, out)

    return visit


def _fitting(step: Step, *, leaf: bool) -> Callable[[Any, Any], bool]:
    match step:
        case Names(names) if len(names) > 1 and not leaf:
            return lambda model, root: is_map(model)
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


def _call(call: Call) -> Visit:
    arguments = [_argument(each) for each in call.arguments]
    counted = call.name in ("length", "size") and call.arguments and isinstance(call.arguments[0], Path)
    within = _children(call.arguments[0]) if counted else None

    def visit(model: Any, root: Any, out: Out) -> None:
        if within is not None and isinstance(found := within(model, model), list):
            out.append(len(found))
        else:
            out.append(FUNCTIONS[call.name](model, [argument(root) for argument in arguments]))

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
    return lambda root: shown(evaluate(root, root))


def _holding(condition: Condition) -> Callable[[Any, Any], bool]:
    """Whether a condition as a whole holds; one that compares what cannot be compared does not."""
    holds = _condition(condition)

    def test(item: Any, root: Any) -> bool:
        try:
            return holds(item, root)
        except Unfit:
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
            first, second, test = _value(left), _value(right), OPERATORS[operator]
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
    return lambda item, root: shown(evaluate(item if relative else root, root))
