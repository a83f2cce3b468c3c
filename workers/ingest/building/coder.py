"""Codes of a column's values while batches still come: the same value has the same code in all of them.

polars keeps what was seen (a `Categories`), so that a batch costs one look at each of its values, and what is sorted
at the end is the distinct values of all batches at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.building.tables import EMPTY, Table

Ints = npt.NDArray[Any]

MOST_VALUES = 1 << 16
"""With more a coder begins anew. So what it keeps, which no limit counts, stays small; and where nearly every row has a
value of its own, nothing is gained by having seen others."""
VALUE_BYTES = 64
"""What a value takes beside its text, about."""


class Coder:
    """Gives the values of one column codes; 0 is null."""

    def __init__(self) -> None:
        self._seen = Seen()

    def encode(self, values: pl.Series) -> tuple[Ints, Table]:
        """The codes of a String series, and the table they are of."""
        if len(self._seen) > MOST_VALUES:
            self._seen = Seen()
        codes = self._seen.codes(values)
        highest = int(codes.max(initial=0))
        if highest == 0:
            return np.zeros(len(values), np.uint8), EMPTY
        grown = self._seen.grow(values, codes, highest)
        return codes.astype(np.min_scalar_type(highest), copy=False), OpenTable(self._seen, grown)


class Seen:
    """Values in the order in which they turned up."""

    def __init__(self) -> None:
        self._dtype = pl.Categorical(pl.Categories.random())
        self._keeps = pl.Series([], dtype=self._dtype)  # polars forgets the values with the last series of the type
        self._count = 0
        self._parts = [EMPTY.values]

    def __len__(self) -> int:
        return self._count

    def codes(self, values: pl.Series) -> Ints:
        """Codes of `values`, of which new ones are taken up."""
        places = values.cast(self._dtype).to_physical()
        if places.null_count():
            return (places + 1).fill_null(0).to_numpy()
        return places.to_numpy() + np.uint32(1)

    def grow(self, values: pl.Series, codes: Ints, highest: int) -> int:
        """Keep the values that `codes` has shown to be new; about the memory they take."""
        new = highest - self._count
        if new <= 0:
            return 0
        at = np.flatnonzero(codes > self._count)
        places = np.empty(new, np.intp)
        places[codes[at] - (self._count + 1)] = at  # whichever of equal values comes last
        texts = values.gather(places).alias("values")
        self._parts.append(texts)
        self._count = highest
        return new * VALUE_BYTES + int(texts.str.len_bytes().sum())

    @property
    def values(self) -> pl.Series:
        """All of them."""
        if len(self._parts) > 1:
            self._parts = [pl.concat(self._parts, rechunk=True)]
        return self._parts[0]


@dataclass(frozen=True)
class OpenTable:
    """What a coder has seen, as the table of a batch's codes. Its values are not in order.

    Attributes
    ----------
    seen : Seen
    nbytes : int
        What this batch has added.
    """

    seen: Seen
    nbytes: int

    sorted: ClassVar[bool] = False

    @property
    def values(self) -> pl.Series:
        """Values seen so far, those of later batches too."""
        return self.seen.values

    @property
    def key(self) -> int:
        """The same for all batches of a coder."""
        return id(self.seen)

    def __len__(self) -> int:
        return len(self.seen)

    def blocks(self) -> Iterator[pl.Series]:
        """See `Table`; in order of appearance."""
        yield self.values

    def gather(self, codes: Ints) -> Iterator[pl.Series]:
        """See `Table`."""
        yield self.values[codes - 1]
