"""Folding cells of bytes a few at a time, so that what it takes does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workers.ingest.rollup.ordering import Groups
from workers.ingest.rollup.state import Cells, stack_cells

ROWS, BYTES = 1 << 17, 4 << 20


def folded(cells: Cells, groups: Groups, fold: Callable[[Cells, Groups], Cells]) -> Cells:
    """One cell a group.

    Parameters
    ----------
    fold : callable
        Folds cells that stand in the order of their groups. A group that is longer than a piece begins the next one
        with the cell that it had.
    """
    done: list[Cells] = []
    rows = len(groups.order)
    step = max(1, min(ROWS, BYTES * rows // max(1, len(cells.data))))
    carried: Cells | None = None
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        part = cells.take(groups.order[start:stop])
        first, after = np.searchsorted(groups.starts, (start, stop)).tolist()
        starts = groups.starts[first:after] - start
        if carried is not None:
            part, starts = stack_cells([carried, part]), np.append(0, starts + 1)
        result = fold(part, Groups(np.arange(len(part)), starts))
        carried = None
        if stop < rows and (after == len(groups) or groups.starts[after] > stop):
            carried = result.take(slice(len(result) - 1, None))
            result = result.take(slice(0, len(result) - 1))
        done.append(result)
    return stack_cells(done) if done else Cells.empty(0)
