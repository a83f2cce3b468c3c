"""Druid's expression language, over columns where that is possible and row by row where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from workers.ingest.expressions.exact import compile_exact
from workers.ingest.expressions.parser import inputs, parse
from workers.ingest.expressions.values import ExpressionError, bind
from workers.ingest.expressions.vector import TooHard, vectorised
from workers.ingest.formats.base import column as raw_column

__all__ = ["Expression", "ExpressionError", "compile_exact", "inputs", "parse"]

_HASHABLE = (pl.String, pl.Int64, pl.Float64, pl.Boolean)


class Expression:
    """One expression.

    Parameters
    ----------
    text : str

    Attributes
    ----------
    inputs : frozenset of str
        The fields it looks at.

    Raises
    ------
    ExpressionError
        It cannot be understood.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._node = parse(text)
        self._exact = compile_exact(self._node)
        self.inputs = inputs(self._node)

    def evaluate(self, columns: Mapping[str, pl.Series], rows: int) -> tuple[pl.Series, dict[int, str]]:
        """The value in each row.

        Parameters
        ----------
        columns : mapping of str to Series
            Raw columns, each of `rows` values.

        Returns
        -------
        Series
            A raw column, named as the expression reads.
        dict of int to str
            Rows without a value for a fault, and what it was; they are null.
        """
        given = {name: columns.get(name) for name in self.inputs}
        try:
            return vectorised(self._node, given).alias(self.text), {}
        except (TooHard, PolarsError):
            return self._row_by_row(given, rows)

    def _row_by_row(self, given: Mapping[str, pl.Series | None], rows: int) -> tuple[pl.Series, dict[int, str]]:
        there = {name: column for name, column in given.items() if column is not None}
        values: list[Any] = []
        faults: dict[int, str] = {}
        known: dict[tuple[Any, ...], tuple[Any, str | None]] = {}
        reusable = all(column.dtype in _HASHABLE for column in there.values())
        lists = [column.to_list() for column in there.values()]
        names = tuple(there)
        for row, found in enumerate(zip(*lists, strict=True) if lists else ((),) * rows):
            key = _key(found) if reusable else ()
            answer = known.get(key) if reusable else None
            if answer is None:
                answer = self._one(dict(zip(names, found, strict=True)))
                if reusable and len(known) < 100_000:
                    known[key] = answer
            values.append(answer[0])
            if answer[1] is not None:
                faults[row] = answer[1]
        return raw_column(self.text, values), faults

    def of_row(self, fields: Mapping[str, Any]) -> Any:
        """The value in one row; None where there is none."""
        return self._one(fields)[0]

    def _one(self, fields: Mapping[str, Any]) -> tuple[Any, str | None]:
        try:
            return self._exact({name: bind(value) for name, value in fields.items()}), None
        except (ExpressionError, ValueError, OverflowError, RecursionError) as error:
            return None, str(error)


def _key(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Doubles by their text: 0.0 is equal to -0.0, and prints differently."""
    return tuple((repr(value) if type(value) is float else value, type(value)) for value in values)
