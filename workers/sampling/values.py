"""Values as the answer shows them."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import polars as pl

from workers.ingest.java import LONG_MAX, LONG_MIN, double_to_long, parse_double, text_of
from workers.ingest.rollup.base import short


def _double(value: Any) -> float | None:
    if isinstance(value, int | float):
        return float(value)
    return parse_double(value) if isinstance(value, str) else None


def _long(value: Any) -> int | None:
    number = _double(value)
    if isinstance(value, int) or number is None:
        return None if number is None else int(value)
    return double_to_long(number)


def wire(value: Any) -> Any:
    """A value that JSON can hold: what is no number is named, as Jackson does, and bytes are in base64."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [wire(item) for item in value]
    if isinstance(value, dict):
        return {str(name): wire(item) for name, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if type(value) is int and not LONG_MIN <= value <= LONG_MAX:
        return float(value)
    return value


def python_values(column: pl.Series) -> list[Any]:
    """A typed column's values; floats in their own few digits. A list of one text is that text."""
    if column.dtype == pl.Float32:
        return [None if value is None else short(value) for value in column.to_list()]
    values = column.to_list()
    if column.dtype == pl.List(pl.String):
        return [value[0] if value and len(value) == 1 else value or None for value in values]
    return values


_SCALARS: dict[str, Callable[[Any], Any]] = {"LONG": _long, "DOUBLE": _double, "STRING": text_of}
CASTS = frozenset(_SCALARS) | {f"ARRAY<{name}>" for name in _SCALARS}


def cast(value: Any, kind: str) -> Any:
    """A value as one of the types of `CASTS`."""
    if value is None:
        return None
    if not kind.startswith("ARRAY"):
        return _SCALARS[kind](value)
    scalar = _SCALARS[kind.removeprefix("ARRAY<").removesuffix(">")]
    return [None if item is None else scalar(item) for item in (value if isinstance(value, list) else [value])]
