"""What the parts of JsonPath's evaluation share: nulls of two kinds, and the ways to give up."""

from __future__ import annotations

from typing import Any


class Null:
    """A null that is an element of an array; one behind a name is None."""


class NotFound(Exception):
    """A path leads nowhere, where that matters."""


class Unfit(Exception):
    """Values that an operator is not for."""


class NoAnswer(Exception):
    """Stock Druid's task would fail here."""


NULL = Null()


def is_map(model: Any) -> bool:
    """Whether properties can be asked for: of a null behind a name too, all of whose properties are null."""
    return model is None or isinstance(model, dict)


def is_number(value: Any) -> bool:
    """Whether it is a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> Any:
    """A result without the marks of nulls in arrays."""
    if isinstance(value, Null):
        return None
    if isinstance(value, list) and any(isinstance(item, Null) for item in value):
        return [None if isinstance(item, Null) else item for item in value]
    return value
