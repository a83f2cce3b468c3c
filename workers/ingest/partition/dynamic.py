"""Dynamic partitions: rows as they come, until a segment or all open ones together are full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ingest.partition.base import Partitions

_NO_LIMIT = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class DynamicPartitions(Partitions):
    """Limits after which all open segments are closed, as Druid closes them together.

    Attributes
    ----------
    max_rows_per_segment : int
        Rows after rollup in one segment.
    max_total_rows : int
        Rows after rollup in all open segments.
    """

    max_rows_per_segment: int = 5_000_000
    max_total_rows: int = 20_000_000

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> DynamicPartitions:
        """From a partitionsSpec; -1 lifts maxTotalRows and gives maxRowsPerSegment its default."""
        rows = json.get("maxRowsPerSegment")
        total = json.get("maxTotalRows")
        return cls(
            max_rows_per_segment=cls.max_rows_per_segment if rows in (None, -1) else int(rows),
            max_total_rows=cls.max_total_rows if total is None else _NO_LIMIT if total == -1 else int(total),
        )

    def full(self, counts: Mapping[int, int]) -> bool:
        """Whether so many rows a chunk reach a limit."""
        return sum(counts.values()) >= self.max_total_rows or max(counts.values(), default=0) >= (
            self.max_rows_per_segment
        )

    def cut(
        self, counts: Mapping[int, int], chunks: npt.NDArray[np.int64], is_new: npt.NDArray[np.bool_]
    ) -> int | None:
        """How many of the rows at hand still go into the open segments.

        Parameters
        ----------
        counts : mapping of int to int
            Rows in the open segments, by chunk.
        chunks : ndarray of int64, shape (rows,)
            Chunk of each row at hand, in input order.
        is_new : ndarray of bool, shape (rows,)
            False for rows that roll up into one already there or an earlier one at hand.

        Returns
        -------
        int or None
            One more than the position of the row that reaches a limit; None if none does.
        """
        first = len(chunks)
        over_all = np.flatnonzero(np.cumsum(is_new) + sum(counts.values()) >= self.max_total_rows)
        if len(over_all):
            first = int(over_all[0])
        touched, rows = np.unique(chunks[is_new], return_counts=True)
        for chunk, more in zip(touched.tolist(), rows.tolist(), strict=True):
            before = counts.get(chunk, 0)
            if before + more >= self.max_rows_per_segment:
                of_chunk = np.cumsum(is_new & (chunks == chunk)) + before
                first = min(first, int(np.argmax(of_chunk >= self.max_rows_per_segment)))
        return None if first == len(chunks) else first + 1
