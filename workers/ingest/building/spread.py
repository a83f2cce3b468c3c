"""Writing the segments of a run: one after the other, or, when they are many and small, by several processes.

Of a small segment's time most goes into Python and the file system, so threads do not help. Helpers are forked when
the rows are ready, share the parent's memory and send back no more than what they wrote. What a helper did not do, for
whatever reason, the parent does itself, so that an error shows as it would without helpers.

polars must not be used in a forked process: its threads are not there. `plain` takes it out of a run beforehand.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection

import numpy as np

from workers.ingest.building.columns import Dimension, Lists, Strings
from workers.ingest.building.emit import BuiltSegment
from workers.ingest.building.run import Run
from workers.ingest.building.tables import MemoryTable, PlainTable

MANY_SEGMENTS = 32
SMALL_ROWS = 100_000
FEW_VALUES = 200_000
MOST_HELPERS = 4

_PR_SET_PDEATHSIG = 1

Emit = Callable[[Run, int], BuiltSegment]
"""Writes the n-th segment of a run; a folder that is half written is removed before it is called again."""


def spread(
    run: Run, rows: Sequence[int], emit: Emit, folder_of: Callable[[int], os.PathLike[str]]
) -> Iterator[BuiltSegment]:
    """All segments, in order.

    Parameters
    ----------
    run : Run
    rows : sequence of int
        Rows of each segment.
    emit : callable
    folder_of : callable
        Where the n-th segment is written.
    """
    processes = min(MOST_HELPERS, len(os.sched_getaffinity(0)))
    ready = plain(run) if processes > 1 and len(rows) >= MANY_SEGMENTS and max(rows) <= SMALL_ROWS else None
    if ready is None:
        for n in range(len(rows)):
            yield emit(run, n)
        return
    helpers = [_Helper(ready, range(first, len(rows), processes), emit) for first in range(processes)]
    try:
        for n in range(len(rows)):
            built = helpers[n % processes].next()
            if built is None:
                shutil.rmtree(folder_of(n), ignore_errors=True)
                built = emit(run, n)
            yield built
    finally:
        for helper in helpers:
            helper.end()


class _Helper:
    """A forked process that writes some of the segments."""

    def __init__(self, run: Run, numbers: Sequence[int], emit: Emit) -> None:
        context = multiprocessing.get_context("fork")
        self._results, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_help, args=(run, numbers, emit, sender, os.getpid()), daemon=True)
        self._process.start()
        sender.close()

    def next(self) -> BuiltSegment | None:
        """What it wrote next; None if it gave up."""
        try:
            built: BuiltSegment = self._results.recv()
        except (EOFError, OSError):
            self._process.kill()  # so that it does not write where the parent is about to
            self._process.join()
            return None
        return built

    def end(self) -> None:
        """Nothing of it stays."""
        self._process.kill()
        self._process.join()
        self._results.close()


def _help(run: Run, numbers: Sequence[int], emit: Emit, results: Connection, parent: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    gc.disable()  # a collection would touch, and so copy, all that is shared
    with suppress(Exception):  # the parent finds it missing, does it again and meets the cause itself
        for n in numbers:
            results.send(emit(run, n))
    results.close()
    os._exit(0)


def plain(run: Run) -> Run | None:
    """The run without polars, or None where it is too large for that or lies on disk."""
    if not isinstance(run.time, np.ndarray):
        return None
    tables = [d.table for d in run.dimensions.values() if isinstance(d, Strings | Lists)]
    if not all(isinstance(table, MemoryTable) for table in tables) or sum(map(len, tables)) > FEW_VALUES:
        return None
    return replace(run, dimensions={name: _plain(column) for name, column in run.dimensions.items()})


def _plain(column: Dimension) -> Dimension:
    if isinstance(column, Strings | Lists) and isinstance(column.table, MemoryTable):
        return replace(column, table=PlainTable.of(column.table.values))
    return column
