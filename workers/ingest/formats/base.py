"""What an input format is, and the raw rows it gives.

A format turns bytes into raw columns, one per input field, each of one of these types:

=================  ===================================================================================
`String`           text
`Int64`            whole numbers
`Float64`          other numbers, and whole ones beyond 64 bits
`Boolean`          true, false
`List(String)`     delimited text with a list delimiter: a list of one text is a plain cell
`Object`           anything mixed, as Python values: str, int, float, bool, list, dict
`Null`             nothing in any row of this batch
=================  ===================================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.registry import Registry
from workers.ingest.batch import Batch, Chunk
from workers.ingest.java import LONG_MAX, LONG_MIN
from workers.ingest.sources import InputObject


class NotAnObject(ValueError):
    """A row that has no fields: its text."""


class Rows(Protocol):
    """What columns cannot tell about the rows of a raw batch."""

    @property
    def declared(self) -> Collection[str]:
        """Fields that every row has, whatever their value is."""

    def event(self, row: int) -> dict[str, Any]:
        """The row's fields in its own order, without those that discovery passes over."""

    def raw(self, row: int) -> dict[str, Any] | None:
        """The row as it was read, before anything was taken out of it; None for a null.

        Raises
        ------
        NotAnObject
            It is a value without fields.
        """

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        """Fields of these rows that are not `known`, in the order in which they are met."""


@dataclass(frozen=True, kw_only=True)
class RawBatch(Batch):
    """Rows as a format read them.

    Attributes
    ----------
    rows : Rows
        The rows themselves, for messages and discovery.
    uri : str or None
        The file's place as messages print it.
    lined : bool
        Whether rows stand in lines; those of binary files only have a number.
    """

    rows: Rows
    uri: str | None
    lined: bool = True


@dataclass(frozen=True, kw_only=True)
class RawChunk(Chunk):
    """A chunk whose batch is raw. Its bad rows' details lack the place: a record's number depends on the good rows."""

    batch: RawBatch


class InputFormat(ABC):
    """How bytes become rows."""

    @classmethod
    @abstractmethod
    def from_json(cls, json: Mapping[str, Any]) -> InputFormat:
        """From the `inputFormat` of a spec.

        Raises
        ------
        TaskFailed
            If a field is missing or of the wrong kind.
        """

    @abstractmethod
    def read(
        self, objects: Iterable[InputObject], *, chunk_bytes: int, wanted: Collection[str] | None = None
    ) -> Iterator[RawChunk]:
        """All rows of all objects, in order.

        Parameters
        ----------
        chunk_bytes : int
            Decompressed bytes to read at a time. The rows do not depend on it.
        wanted : collection of str, optional
            The only fields that columns are needed for.
        """


input_formats: Registry[type[InputFormat]] = Registry("input format")


def column(name: str, values: list[Any]) -> pl.Series:
    """A raw column of Python values."""
    kinds = set(map(type, values))
    kinds.discard(type(None))
    if not kinds:
        return pl.Series(name, values, dtype=pl.Null)
    if kinds == {str}:
        return pl.Series(name, values, dtype=pl.String)
    if int in kinds and not _fits(values, kinds):
        return column(name, [_within_long(value) for value in values])
    if len(kinds) == 1:
        dtype = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean}.get(kinds.pop())
        if dtype is not None:
            return pl.Series(name, values, dtype=dtype)
    return pl.Series(name, values, dtype=pl.Object)


def _fits(values: list[Any], kinds: set[type]) -> bool:
    numbers = values if kinds == {int} else [value for value in values if type(value) is int]
    present = [value for value in numbers if value is not None]
    return min(present) >= LONG_MIN and max(present) <= LONG_MAX


def _within_long(value: Any) -> Any:
    """Java reads whole numbers beyond 64 bits as doubles."""
    if type(value) is int and not LONG_MIN <= value <= LONG_MAX:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value
