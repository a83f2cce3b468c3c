"""What Druid counts of an ingestion, row for row, and the bad rows it remembers.

Druid reads its input twice when it does not know the intervals: first it looks at times only
(determinePartitions), then it builds (buildSegments). We read once and keep both accounts. They differ in that the
first knows only rows that are lost; and the first must be able to fail, with its own numbers, before the second would.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from overlord.errors import TaskFailed
from workers.ingest.bad_rows import KeptBadRows
from workers.ingest.batch import BadRow, Chunk, RowStats
from workers.publish.availability import Availability

UNLIMITED = 2**31 - 1

_log = logging.getLogger("overlord.ingest")


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How bad rows are borne.

    Attributes
    ----------
    most : int
        One more, and the task fails.
    saved : int
        How many are kept for the report; the newest.
    logged : bool
        Whether each goes to the task's log.
    """

    most: int = UNLIMITED
    saved: int = 0
    logged: bool = False

    @classmethod
    def from_json(cls, tuning: Mapping[str, Any]) -> Tolerance:
        """From a tuningConfig."""
        most, saved = tuning.get("maxParseExceptions"), tuning.get("maxSavedParseExceptions") or 0
        if tuning.get("reportParseExceptions"):
            return cls(most=0, saved=min(saved, 1), logged=bool(tuning.get("logParseExceptions")))
        return cls(most=UNLIMITED if most is None else most, saved=saved, logged=bool(tuning.get("logParseExceptions")))


class TooManyBadRows(TaskFailed):
    """maxParseExceptions is exceeded."""


class Account:
    """The numbers and the bad rows of one phase."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.stats = RowStats()
        self._tolerance = tolerance
        self._saved: deque[dict[str, Any]] = deque(maxlen=tolerance.saved)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Bad rows as the report shows them, newest first."""
        return list(reversed(self._saved))

    def add(
        self, chunk: Chunk, bad: Sequence[BadRow], lines: npt.NDArray[np.int64], dropped: npt.NDArray[np.int64]
    ) -> None:
        """Count a chunk.

        Parameters
        ----------
        bad : sequence of BadRow
            Those this phase knows of, in input order.
        lines, dropped : ndarray of int64
            Lines of the rows that are taken (with or without a fault), and of those no interval wants.

        Raises
        ------
        TooManyBadRows
            The numbers then are those up to the row that was one too many.
        """
        stats = self.stats
        stats.processedBytes += chunk.bytes
        stats.thrownAway += chunk.thrown_away
        with_error = sum(row.kind == "processedWithError" for row in bad)
        room = self._tolerance.most - stats.unparseable - stats.processedWithError
        if len(bad) <= room:
            self._remember(bad)
            stats.processed += len(lines) - with_error
            stats.processedWithError += with_error
            stats.unparseable += len(bad) - with_error
            stats.thrownAway += len(dropped)
            return
        seen = bad[: room + 1]
        last = seen[-1]
        self._remember(seen)
        with_error = sum(row.kind == "processedWithError" for row in seen)
        taken = int((lines <= last.line).sum())
        stats.processed += taken - with_error
        stats.processedWithError += with_error
        stats.unparseable += len(seen) - with_error
        stats.thrownAway += int((dropped <= last.line).sum())
        raise TooManyBadRows(
            f"org.apache.druid.java.util.common.RE: Max parse exceptions[{self._tolerance.most}] exceeded\n"
            f"The last one, in {last.file}, line {last.line}: {'; '.join(last.details)}"
        )

    def _remember(self, bad: Sequence[BadRow]) -> None:
        if self._tolerance.logged:
            for row in bad:
                _log.error("Encountered parse exception: %s", "; ".join(row.details))
        now = int(time.time() * 1000)
        if self._saved.maxlen:
            for row in bad[-self._saved.maxlen :]:
                self._saved.append(
                    {
                        "input": row.input,
                        "errorType": row.kind,
                        "details": list(row.details),
                        "timeOfExceptionMillis": now,
                    }
                )


class Ledger:
    """Both phases, and the report they give.

    Parameters
    ----------
    determining : bool
        Whether there is a determinePartitions phase.
    bad_rows : KeptBadRows, optional
        Where rejected rows go.
    as_parent : bool
        Whether the report is that of a task whose sub-tasks do the work.
    """

    def __init__(
        self,
        tolerance: Tolerance,
        *,
        determining: bool,
        bad_rows: KeptBadRows | None = None,
        as_parent: bool = False,
    ) -> None:
        self._as_parent = as_parent
        self.bad_rows = bad_rows
        self._only_determined = False
        self._tolerance = tolerance
        self.determining = determining
        self.determine = Account(tolerance)
        self.build = Account(tolerance)
        self.state = "DETERMINE_PARTITIONS" if determining else "BUILD_SEGMENTS"
        self.build_failure: TooManyBadRows | None = None
        self.segments_read: int | None = None
        self.availability = Availability()

    def add(self, chunk: Chunk, keep: npt.NDArray[np.bool_] | None, *, build: bool = True) -> bool:
        """Count a chunk in the phases it passes.

        Parameters
        ----------
        keep : ndarray of bool or None
            Rows some interval wants; None for all.
        build : bool
            False if this reading only determines.

        Returns
        -------
        bool
            Whether its rows are to be built: not once the build has failed, though determining goes on to its end.
        """
        lines = chunk.batch.line
        none = lines[:0]
        if self.bad_rows is not None:
            self.bad_rows.add(chunk.bad)
            self._only_determined = not build
        if self.determining and self.state == "DETERMINE_PARTITIONS":
            lost = [row for row in chunk.bad if row.kind == "unparseable"]
            self.determine.add(
                chunk, lost, lines if keep is None else lines[keep], none if keep is None else lines[~keep]
            )
            if not build:
                return False
        if self.build_failure is not None:
            return False
        try:
            if keep is None:
                self.build.add(chunk, chunk.bad, lines, none)
            else:
                wanted = set(lines[keep].tolist())
                bad = [row for row in chunk.bad if row.kind == "unparseable" or row.line in wanted]
                self.build.add(chunk, bad, lines[keep], lines[~keep])
        except TooManyBadRows as failure:
            if self.state == "DETERMINE_PARTITIONS":
                self.build_failure = failure
                return False
            raise
        return True

    def determined(self) -> None:
        """All input is seen: what is left is building."""
        self.state = "BUILD_SEGMENTS"
        if self.bad_rows is not None and self._only_determined:
            self.bad_rows.restart()
        if self.build_failure is not None:
            raise self.build_failure

    def report(self, *, error: str | None = None, published: int | None = None) -> dict[str, Any]:
        """The payload of `ingestionStatsAndErrors`; `published` once the task has succeeded."""
        nothing = Account(self._tolerance)
        build = nothing if error is not None and self.state == "DETERMINE_PARTITIONS" else self.build
        events = {"determinePartitions": self.determine.events, "buildSegments": build.events}
        payload: dict[str, Any] = {
            "ingestionState": "COMPLETED" if published is not None else self.state,
            "unparseableEvents": events if self._tolerance.saved else {},
            "rowStats": {"determinePartitions": asdict(self.determine.stats), "buildSegments": asdict(build.stats)},
            "errorMsg": error,
            "segmentAvailabilityConfirmed": self.availability.confirmed,
            "segmentAvailabilityWaitTimeMs": self.availability.waited_ms,
            "recordsProcessed": {},
        }
        if self._as_parent:
            payload["unparseableEvents"] = {"buildSegments": build.events}
            payload["rowStats"] = {"totals": {"buildSegments": asdict(build.stats)}}
        if self.bad_rows is not None:
            payload["badRowsKept"] = self.bad_rows.count
        if published is None:
            return payload
        read = {} if self.segments_read is None else {"segmentsRead": self.segments_read}
        return payload | read | {"segmentsPublished": published}
