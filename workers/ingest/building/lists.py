"""Lists of different lengths as two arrays: `items`, and for each list where its items end.

Row r is `items[ends[r - 1] : ends[r]]`. Items are codes of values: 0 is null, the rest ascend as the values do.
As a key `[]` is `[null]`; lists compare item by item, then the shorter one comes first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ingest.ragged import lengths as lengths
from workers.ingest.ragged import take as take

Ints = npt.NDArray[Any]


def as_keys(ends: Ints, items: Ints) -> tuple[Ints, Ints]:
    """The same lists with `[null]` in place of `[]`."""
    sizes = lengths(ends)
    if len(sizes) == 0 or sizes.min() > 0:
        return ends, items
    return np.cumsum(np.maximum(sizes, 1)), np.insert(items, ends[sizes == 0], 0)


def rank(ends: Ints, items: Ints) -> tuple[Ints, Ints]:
    """Order lists, equal ones alike.

    The lists are put into a tree, one level of items at a time for those that go on that far; a node's place
    before all longer lists below it is the number of lists in the tree up to there.

    Parameters
    ----------
    ends, items : ndarray of integers
        Lists without empty ones (see `as_keys`).

    Returns
    -------
    ranks : ndarray of int64, shape (rows,)
        Dense, from 0.
    firsts : ndarray of intp
        The first row of each rank.
    """
    rows = len(ends)
    if rows == 0:
        return np.empty(0, np.int64), np.empty(0, np.intp)
    sizes = lengths(ends)
    starts = ends - sizes
    width = int(items.max()) + 1
    parents: list[Ints] = []
    ended: list[Ints] = []  # by level: how many distinct lists end at the node, 0 or 1
    node_of = np.zeros(rows, np.int64)  # the node at which the row's list ends
    active = np.arange(rows)
    above = np.zeros(rows, np.int64)
    level = 0
    while len(active):
        keys = above * width + items[starts[active] + level]
        nodes, node = np.unique(keys, return_inverse=True)
        parents.append(nodes // width)
        ends_here = sizes[active] == level + 1
        mark = np.zeros(len(nodes), np.int64)
        mark[node[ends_here]] = 1
        ended.append(mark)
        node_of[active[ends_here]] = node[ends_here]
        active, above = active[~ends_here], node[~ends_here].astype(np.int64)
        level += 1
    places = _places(parents, ended)
    ranks = np.empty(rows, np.int64)
    by_size = np.argsort(sizes, kind="stable")
    cuts = np.searchsorted(sizes[by_size], np.arange(1, len(places) + 2))
    for depth, place in enumerate(places):
        here = by_size[cuts[depth] : cuts[depth + 1]]
        ranks[here] = place[node_of[here]]
    firsts = np.empty(int(ranks.max()) + 1, np.intp)
    firsts[ranks[::-1]] = np.arange(rows)[::-1]
    return ranks, firsts


def _places(parents: list[Ints], ended: list[Ints]) -> list[Ints]:
    """For each level, the rank of a list that ends at each node."""
    below = [mark.copy() for mark in ended]  # distinct lists at or below the node
    for level in range(len(parents) - 1, 0, -1):
        below[level - 1] += np.bincount(parents[level], weights=below[level], minlength=len(below[level - 1])).astype(
            np.int64
        )
    places = [np.cumsum(below[0]) - below[0]]
    for level in range(1, len(parents)):
        before = np.cumsum(below[level]) - below[level]
        parent = parents[level]
        eldest = np.concatenate((np.ones(1, np.bool_), parent[1:] != parent[:-1]))
        family = np.cumsum(eldest) - 1
        places.append(places[level - 1][parent] + ended[level - 1][parent] + before - before[eldest][family])
    return places
