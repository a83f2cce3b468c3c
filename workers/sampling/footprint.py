"""Bytes that rows would take in Druid's own index: its estimate, by which `maxBytesInMemory` stops a sample."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from typing import Any

import polars as pl

from workers.ingest.transform import Examined

TIME = "__time"
_ROW = 44 + 24  # an entry of a map, and the row's own fields
_PER_DIMENSION = 4
_LIST, _ITEM = 16, 4
_TEXT, _CHARACTER = 44 + 16, 2  # with its two places in a dictionary
_NUMBER: dict[Any, int] = {pl.Int64: 8, pl.Float64: 8, pl.Float32: 4}
_METRIC, _COUNT, _ORDER = 17, 16, 17


class Footprint:
    """What the rows so far take.

    Parameters
    ----------
    metrics : int
        Metrics with an input.
    counts : int
        Those that only count.
    """

    def __init__(self, metrics: int, counts: int) -> None:
        self._fixed = _ROW + metrics * _METRIC + counts * _COUNT + _ORDER
        self._known: dict[str, set[str]] = {}

    def clone(self) -> Footprint:
        """One that has seen the same rows."""
        other = copy(self)
        other._known = {name: set(values) for name, values in self._known.items()}
        return other

    def sizes(self, step: Examined, dimensions: Collection[str]) -> list[int]:
        """Of each row of a step. Rows that roll up into earlier ones are counted as if they did not."""
        sizes = [self._fixed] * len(step.kept)
        for name in dimensions:
            column = step.columns.get(name)
            if name == TIME or column is None:
                continue
            known = self._known.setdefault(name, set())
            number = _NUMBER.get(type(column.dtype))
            for row, value in enumerate(column.to_list()):
                sizes[row] += _PER_DIMENSION + (number if number is not None else _texts(value, known))
        return sizes


def _texts(value: Any, known: set[str]) -> int:
    texts = value if isinstance(value, list) else [value]
    size = _LIST + _ITEM * len(texts)
    for text in texts:
        if text is not None and text not in known:
            known.add(text)
            size += _TEXT + _CHARACTER * len(text)
    return size
