"""What flows from reader to writer: rows as columns, and where each row came from.

A raw batch (from a format) has one column per input field, as that format types it. A typed batch (from
`workers.ingest.transform`) has `__time`, one column per dimension and one per metric that has an input:

=============  =======================================================================================
`__time`       Int64, millis, never null, not yet truncated
dimension      String | List(String) (after multiValueHandling) | Int64 | Float64 | Float32; of type auto: String,
               see `workers.ingest.structured`
metric         its aggregator's input under the metric's own name, as `transform.metrics` gives it
=============  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row, or a value in it, that could not be read.

    Attributes
    ----------
    kind : str
        "unparseable" (the row is lost) or "processedWithError" (a value is null, the row stays).
    input : str
        The row as Druid prints it: raw text, or `{ts=yesterday, page=X}`.
    details : tuple of str
        One message per fault, in Druid's words.
    file, line : str, int
        Origin; lines count from 1.
    raw : str or None
        Its text as it was read, where `input` is not that and somebody wants it.
    """

    kind: str
    input: str
    details: tuple[str, ...]
    file: str
    line: int
    raw: str | None = None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows as columns.

    Attributes
    ----------
    columns : mapping of str to polars.Series
        All of length `len(self)`; order is the order of first appearance. Nulls are polars nulls.
    file : ndarray of int32, shape (rows,)
        Index into `files`.
    line : ndarray of int64, shape (rows,)
        Line of the row's first byte in its file, from 1.
    files : tuple of str
        Names of the files read so far, as `InputObject.name` gives them.
    sparse : frozenset of str
        Dimensions that were found in some rows only: where all are null, nothing tells that there is such a field.
    """

    columns: Mapping[str, pl.Series]
    file: npt.NDArray[np.int32]
    line: npt.NDArray[np.int64]
    files: tuple[str, ...]
    sparse: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        rows = len(self.line)
        assert len(self.file) == rows, (len(self.file), rows)
        for name, column in self.columns.items():
            assert len(column) == rows, (name, len(column), rows)

    def __len__(self) -> int:
        return len(self.line)

    def select(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Batch:
        """The rows where `keep` is true, or those at the given positions, in that order."""
        index = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        return Batch(
            columns={n: c.gather(index) for n, c in self.columns.items()},
            file=self.file[index],
            line=self.line[index],
            files=self.files,
            sparse=self.sparse,
        )


@dataclass(kw_only=True)
class RowStats:
    """Druid's five counters of one phase."""

    processed: int = 0
    processedBytes: int = 0  # noqa: N815  the report's own key
    processedWithError: int = 0  # noqa: N815
    thrownAway: int = 0  # noqa: N815
    unparseable: int = 0


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One step of reading: rows that could be read, those that could not, and the bytes they took.

    Attributes
    ----------
    records_with_errors : int
        Good rows of `batch` in which some value was null for want of a readable one.
    thrown_away : int
        Rows dropped by a filter.
    """

    batch: Batch
    bad: list[BadRow] = field(default_factory=list)
    bytes: int = 0
    records_with_errors: int = 0
    thrown_away: int = 0
    unparseable: int = 0
