"""Raw columns as numbers: long, double and float dimensions, and metric inputs.

The fast path converts whole columns; what it leaves null goes value by value through `workers.ingest.java`, so
that the two can only agree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest import java


class Unreadable(ValueError):
    """A value that is no number; the text says so in Druid's words."""


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A typed column and the values that did not fit it.

    Attributes
    ----------
    values : Series
        Null where there was nothing or nothing readable.
    faults : list of (int, str)
        Row and message of each unreadable value.
    """

    values: pl.Series
    faults: list[tuple[int, str]] = field(default_factory=list)


Cast = Callable[[pl.Series], pl.Series]


class Reader(ABC):
    """Makes numbers of raw values.

    Attributes
    ----------
    dtype : polars type
        Int64, Float64 or Float32.
    """

    dtype: ClassVar[type[pl.DataType]]

    def __init__(self, name: str, field_name: str) -> None:
        self.name = name
        self.field = field_name

    @abstractmethod
    def exact(self, value: Any) -> int | float:
        """One value that is not null.

        Raises
        ------
        Unreadable
            If it is no number for this column.
        """

    @abstractmethod
    def texts(self, texts: pl.Series) -> pl.Series:
        """Numbers of the texts that can be cast without doubt, null elsewhere."""

    @abstractmethod
    def numbers(self, numbers: pl.Series) -> pl.Series:
        """Int64 or Float64 as this column's type, as Java casts."""

    def read(self, raw: pl.Series | None, rows: int) -> Typed:
        """The whole column."""
        if raw is None or raw.dtype == pl.Null:
            return Typed(values=pl.Series(self.name, [None], dtype=self.dtype).new_from_index(0, rows))
        if raw.dtype in (pl.Int64, pl.Float64):
            return Typed(values=self.numbers(raw).alias(self.name))
        if raw.dtype == pl.String:
            return self._rest(self.texts(raw).alias(self.name), raw)
        nothing = pl.Series(self.name, [None], dtype=self.dtype).new_from_index(0, rows)
        return self._rest(nothing, raw)

    def _rest(self, done: pl.Series, raw: pl.Series) -> Typed:
        """Go through the values that are there but not yet numbers."""
        if done.null_count() == 0:
            return Typed(values=done)
        left = np.flatnonzero((done.is_null() & raw.is_not_null()).to_numpy())
        if not len(left):
            return Typed(values=done)
        known: dict[str, int | float | Unreadable] = {}
        found: list[int | float] = []
        rows: list[int] = []
        faults: list[tuple[int, str]] = []
        for row, value in zip(left.tolist(), _python(raw, left), strict=True):
            number = self._one(value, known)
            if isinstance(number, Unreadable):
                faults.append((row, str(number)))
            else:
                rows.append(row)
                found.append(number)
        if rows:
            done = done.scatter(rows, pl.Series(found, dtype=self.dtype, strict=False))
        return Typed(values=done, faults=faults)

    def _one(self, value: Any, known: dict[str, int | float | Unreadable]) -> int | float | Unreadable:
        if isinstance(value, str) and value in known:
            return known[value]
        try:
            number: int | float | Unreadable = self.exact(value)
        except Unreadable as fault:
            number = fault
        if isinstance(value, str):
            known[value] = number
        return number


def _python(raw: pl.Series, at: npt.NDArray[np.intp]) -> list[Any]:
    """Raw values; a list of one text from a delimited file is a plain cell."""
    values = raw.gather(at).to_list()
    if raw.dtype == pl.List(pl.String):
        return [value[0] if len(value) == 1 else value for value in values]
    return values


class LongDimension(Reader):
    """Exact decimals without a fraction; other numbers are cut."""

    dtype = pl.Int64
    word = "long"

    def exact(self, value: Any) -> int:
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, int | float):
            return as_long(value)
        if isinstance(value, str):
            if (number := java.parse_exact_long(value)) is not None:
                return number
            raise Unreadable(_dimension_fault(value, self.word, self.name))
        raise Unreadable(_dimension_fault(value, self.word, self.name))

    def texts(self, texts: pl.Series) -> pl.Series:
        return texts.cast(pl.Int64, strict=False)

    def numbers(self, numbers: pl.Series) -> pl.Series:
        return longs(numbers)


class DoubleDimension(Reader):
    """What Guava's `Doubles.tryParse` takes."""

    dtype = pl.Float64
    word = "double"

    def exact(self, value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        number = java.parse_double(value) if isinstance(value, str) else None
        if number is None:
            raise Unreadable(_dimension_fault(value, self.word, self.name))
        return number

    def texts(self, texts: pl.Series) -> pl.Series:
        return finite(texts)

    def numbers(self, numbers: pl.Series) -> pl.Series:
        return numbers.cast(pl.Float64)


class FloatDimension(DoubleDimension):
    """The same in 32 bits; a text is rounded once, from its decimal digits."""

    dtype = pl.Float32  # type: ignore[assignment]  # a narrower type of number, on purpose
    word = "float"

    def exact(self, value: Any) -> float:
        number = super().exact(value)
        return float_of_text(value, number) if isinstance(value, str) else number

    def texts(self, texts: pl.Series) -> pl.Series:
        wide = finite(texts)
        bits = wide.fill_null(0.0).to_numpy().view(np.int64)
        doubtful = (bits & 0x1FFFFFFF) == 0x10000000  # half way between two floats: the double's own rounding shows
        narrow = floats(wide)
        return narrow.scatter(np.flatnonzero(doubtful), None) if doubtful.any() else narrow

    def numbers(self, numbers: pl.Series) -> pl.Series:
        return floats(numbers)


class Metric(Reader):
    """A metric's input: commas and blanks do not matter, a long is tried before a double."""

    def exact(self, value: Any) -> int | float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.narrow(value)
        if not isinstance(value, str):
            raise Unreadable(f"Unknown type[{java.class_of(value)}] for field[{self.field}]")
        number = java.parse_metric(value)
        if number is None:
            raise Unreadable(f"Unable to parse value[{value}] for field[{self.field}]")
        return self.narrow(number)

    @abstractmethod
    def narrow(self, number: int | float) -> int | float:
        """A number in this metric's type."""


class LongMetric(Metric):
    """Cut to 64 bits."""

    dtype = pl.Int64

    def narrow(self, number: int | float) -> int:
        return as_long(number)

    def texts(self, texts: pl.Series) -> pl.Series:
        done = texts.cast(pl.Int64, strict=False)
        return (
            done
            if done.null_count() == texts.null_count()
            else pl.select(pl.coalesce(done, longs(finite(texts)))).to_series()
        )

    def numbers(self, numbers: pl.Series) -> pl.Series:
        return longs(numbers)


class DoubleMetric(Metric):
    """64-bit floating point."""

    dtype = pl.Float64

    def narrow(self, number: int | float) -> float:
        return float(number)

    def texts(self, texts: pl.Series) -> pl.Series:
        return finite(texts)

    def numbers(self, numbers: pl.Series) -> pl.Series:
        return numbers.cast(pl.Float64)


class FloatMetric(Metric):
    """32-bit floating point; whole numbers are rounded once, others by way of a double."""

    dtype = pl.Float32

    def narrow(self, number: int | float) -> float:
        with np.errstate(over="ignore"):
            return float(np.int64(number).astype(np.float32) if isinstance(number, int) else np.float32(number))

    def texts(self, texts: pl.Series) -> pl.Series:
        whole = texts.cast(pl.Int64, strict=False)
        if whole.null_count() == texts.null_count():
            return floats(whole)
        return pl.select(pl.coalesce(floats(whole), floats(finite(texts)))).to_series()

    def numbers(self, numbers: pl.Series) -> pl.Series:
        return floats(numbers)


def as_long(number: int | float) -> int:
    """Java's cast to long; whole numbers beyond it have been doubles since they were read."""
    if isinstance(number, float):
        return java.double_to_long(number)
    return min(max(number, java.LONG_MIN), java.LONG_MAX)


def longs(numbers: pl.Series) -> pl.Series:
    """Int64 or Float64 as Int64: towards zero, clamped, NaN is 0."""
    if numbers.dtype == pl.Int64:
        return numbers
    values = numbers.fill_null(0.0).to_numpy()
    high, low = values >= 2.0**63, values <= -(2.0**63)
    inside = np.where(high | low | np.isnan(values), 0.0, values).astype(np.int64)
    result = pl.Series(np.where(high, java.LONG_MAX, np.where(low, java.LONG_MIN, inside)))
    return _nulls_of(numbers, result)


def floats(numbers: pl.Series) -> pl.Series:
    """Int64 or Float64 as Float32, to the nearest."""
    with np.errstate(over="ignore"):
        narrow = numbers.fill_null(0).to_numpy().astype(np.float32)
    return _nulls_of(numbers, pl.Series(narrow))


def _nulls_of(mask: pl.Series, values: pl.Series) -> pl.Series:
    if not mask.null_count():
        return values
    return values.scatter(np.flatnonzero(mask.is_null().to_numpy()), None)


def filled(values: pl.Series, instead: float) -> npt.NDArray[Any]:
    """As an array, with something in place of nulls."""
    return (values.fill_null(instead) if values.null_count() else values).to_numpy()


def finite(texts: pl.Series) -> pl.Series:
    """Texts cast to double; names of infinity and NaN, which are spelt in more ways than Java takes, stay null."""
    wide = texts.cast(pl.Float64, strict=False)
    odd = np.flatnonzero(~np.isfinite(filled(wide, 0.0)))
    return wide.scatter(odd, None) if len(odd) else wide


def float_of_text(text: str, wide: float) -> float:
    """The float nearest to a decimal text whose nearest double is `wide`."""
    with np.errstate(over="ignore"):
        near = np.float32(wide)
    tie = int(np.float64(wide).view(np.int64)) & 0x1FFFFFFF == 0x10000000
    if not tie or not np.isfinite(near) or "x" in text.lower():
        return float(near)
    exact = Fraction(text.rstrip("fFdD"))
    if exact == Fraction(wide):
        return float(near)  # a real tie: to even, which the cast has done
    up = np.nextafter(near, np.float32(np.inf)) if float(near) < wide else near
    down = near if float(near) < wide else np.nextafter(near, np.float32(-np.inf))
    return float(up if exact > Fraction(wide) else down)


def _dimension_fault(value: Any, word: str, name: str) -> str:
    """Druid's words for a value that is no number of that kind."""
    if isinstance(value, str):
        return f"Could not convert value [{value}] to {word} for dimension [{name}]."
    shown = java.text_of(value)
    if isinstance(value, list):
        return (
            f"Could not ingest value [{shown}] as {word} for dimension [{name}]. "
            f"A {word} column cannot have multiple values in the same row."
        )
    return f"Could not convert value [{shown}] to {word} for dimension [{name}]. Invalid type: [{java.class_of(value)}]"
