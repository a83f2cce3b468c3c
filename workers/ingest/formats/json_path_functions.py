"""The functions that can end a JsonPath, as stock Druid's library computes them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from overlord.model.json_path_steps import Json
from workers.ingest.formats.json_path_values import NoAnswer, is_map, is_number
from workers.ingest.java import text_of

_LARGEST, _SMALLEST = 1.7976931348623157e308, 5e-324


def _numbers(model: Any, arguments: list[Any]) -> list[float]:
    """The numbers of an array, and of what paths among the arguments find; literals are none."""
    found = [*(model if isinstance(model, list) else ())]
    for value in arguments:
        found += value if isinstance(value, list) else [value]
    numbers = [float(each) for each in found if is_number(each)]
    if not numbers:
        raise NoAnswer
    return numbers


def _deviation(numbers: list[float]) -> float:
    count, total, squares = len(numbers), sum(numbers), sum(each * each for each in numbers)
    return math.sqrt(squares / count - total * total / count / count)


def _length(model: Any, arguments: list[Any]) -> Any:
    if model is None:
        raise NoAnswer
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
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _append(model: Any, arguments: list[Any]) -> Any:
    if not isinstance(model, list):
        return model
    return [*model, *(value.value if isinstance(value, Json) else value for value in arguments)]


def _sequence(model: Any, number: int) -> Any:
    if not isinstance(model, list) or not -len(model) <= number < len(model):
        raise NoAnswer
    return model[number]


def _index(model: Any, arguments: list[Any]) -> Any:
    given = [value.value if isinstance(value, Json) else value for value in arguments]
    if not given or not is_number(given[0]):
        raise NoAnswer
    return _sequence(model, int(given[0]))


FUNCTIONS: dict[str, Callable[[Any, list[Any]], Any]] = {
    "append": _append,
    "avg": lambda model, given: (lambda n: sum(n) / len(n))(_numbers(model, given)),
    "concat": _concat,
    "first": lambda model, given: _sequence(model, 0),
    "index": _index,
    "keys": lambda model, given: list(model or ()) if is_map(model) else None,
    "last": lambda model, given: _sequence(model, -1),
    "length": _length,
    "max": lambda model, given: max(_SMALLEST, *_numbers(model, given)),
    "min": lambda model, given: min(_LARGEST, *_numbers(model, given)),
    "size": _length,
    "stddev": lambda model, given: _deviation(_numbers(model, given)),
    "sum": lambda model, given: sum(_numbers(model, given)),
}
