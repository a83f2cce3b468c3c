"""Sketches of the DataSketches library: what they share.

Each is kept in the library's own compact form. As long as a group has few items, its sketch holds them as they are, and
groups are folded as arrays; larger ones, and forms that others wrote, go through the library one by one. No sketch is
a cell without bytes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from overlord.model.metric_types import NO_LIBRARY
from workers.ingest.rollup import pieces
from workers.ingest.rollup.base import Complex
from workers.ingest.rollup.murmur128 import Longs, murmur3_128
from workers.ingest.rollup.ordering import Groups, singles
from workers.ingest.rollup.state import Array, Cells, State, memory

SEED = 9001


def library() -> ModuleType:
    """The `datasketches` package.

    Raises
    ------
    TaskFailed
        It is not installed.
    """
    try:
        import datasketches
    except ImportError:
        raise TaskFailed(NO_LIBRARY) from None
    return datasketches  # type: ignore[no-any-return]


def power_of_two(number: int, least: int, most: int) -> bool:
    """Whether it is one, within bounds."""
    return least <= number <= most and number & (number - 1) == 0


@dataclass(frozen=True, kw_only=True)
class Items:
    """Items of cells, in the order of their rows, and the rows whose cells are not lists of items.

    Attributes
    ----------
    row, item : ndarray, shape (items,)
    others : ndarray of bool, shape (rows,)
    """

    row: Array
    item: Array
    others: npt.NDArray[np.bool_]


class Sketch(Complex):
    """A metric that keeps sketches. State: cells.

    Attributes
    ----------
    head : int
        Bytes before the items of a sketch that holds them as they are.
    dtype : numpy dtype
        Of an item.
    most : int
        Items that are kept as they are.
    """

    head: ClassVar[int]
    dtype: ClassVar[np.dtype[Any]]
    most: int

    def __init__(self, name: str) -> None:
        super().__init__(name)
        library()

    def need(self, ok: bool, key: str, given: Any, what: str) -> None:
        """Make sure of an option.

        Raises
        ------
        TaskFailed
            It is not `ok`.
        """
        if not ok:
            raise TaskFailed(f"Metric [{self.name}]: {key} is [{given}], but must be {what}")

    @abstractmethod
    def items(self, values: pl.Series) -> tuple[Array, Array]:
        """Row and item of each input, rows ascending."""

    @abstractmethod
    def plain(self, head: npt.NDArray[np.uint8], sizes: Array) -> npt.NDArray[np.bool_]:
        """Which cells hold their items as they are; `head` is the first bytes of each, of shape (rows, head)."""

    @abstractmethod
    def heads(self, counts: Array, row: Array, item: Array) -> npt.NDArray[np.uint8]:
        """The first bytes of cells of that many items, which are sorted within their rows."""

    @abstractmethod
    def merged(self, cells: Sequence[bytes], items: Array) -> bytes:
        """The sketch of other sketches and of items."""

    def kept(self, row: Array, item: Array) -> tuple[Array, Array]:
        """Items without those that add nothing, in order of row and item."""
        order = np.lexsort((item, row))
        row, item = row[order], item[order]
        new = np.ones(len(row), np.bool_)
        new[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
        return row[new], item[new]

    def lift(self, values: pl.Series | None, rows: int) -> State:
        if values is None:
            return State(cells=Cells.empty(rows))
        if values.dtype == pl.Binary:
            given = Cells.of([cell or b"" for cell in values.to_list()])
            return State(cells=self._folded(given, singles(np.arange(rows))))
        row, item = self.items(values)
        return State(cells=self._made(row, item, rows))

    def fold(self, state: State, groups: Groups) -> State:
        return state.take(groups.order) if groups.single else State(cells=self._folded(state.stored, groups))

    def _folded(self, cells: Cells, groups: Groups) -> Cells:
        try:
            return pieces.folded(cells, groups, self._fold_piece)
        except (ValueError, RuntimeError, IndexError) as error:
            raise TaskFailed(f"Metric [{self.name}]: a value is no sketch of its kind: {error}") from None

    def _fold_piece(self, cells: Cells, groups: Groups) -> Cells:
        found = self._taken_apart(cells)
        if not found.others.any():
            return self._made(groups.ids[found.row], found.item, len(groups))
        odd = np.zeros(len(groups), np.bool_)
        odd[groups.ids[found.others]] = True
        easy = ~odd[groups.ids[found.row]]
        made = self._made(groups.ids[found.row[easy]], found.item[easy], len(groups)).to_list()
        ends = np.append(groups.starts[1:], len(cells))
        for group in np.flatnonzero(odd).tolist():
            rows = np.flatnonzero(found.others[groups.starts[group] : ends[group]]) + groups.starts[group]
            low, high = np.searchsorted(found.row, (groups.starts[group], ends[group]))
            made[group] = self.merged(cells.take(rows).to_list(), found.item[low:high])
        return Cells.of(made)

    def _taken_apart(self, cells: Cells) -> Items:
        ends, data = memory(cells.ends), memory(cells.data)
        sizes = np.diff(ends, prepend=0)
        safe = np.concatenate((data, np.zeros(self.head, np.uint8)))
        begins = ends - sizes
        known = sizes >= self.head
        head = np.where(known[:, None], safe[begins[:, None] + np.arange(self.head)], 0).astype(np.uint8)
        plain = known & self.plain(head, sizes)
        width = self.dtype.itemsize
        counts = np.where(plain, (sizes - self.head) // width, 0)
        row = np.repeat(np.arange(len(sizes)), counts)
        at = begins[row] + self.head + width * (np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts))
        item = data[at[:, None] + np.arange(width)].reshape(-1).view(self.dtype)
        return Items(row=row, item=item, others=(sizes > 0) & ~plain)

    def _made(self, row: Array, item: Array, rows: int) -> Cells:
        """The sketch of each row's items."""
        if not (row[1:] > row[:-1]).all():  # of single items there is nothing to sort
            row, item = self.kept(row, item)
        counts = np.bincount(row, minlength=rows)
        large = counts > self.most
        if large.any():
            return self._with_large(row, item, counts, large)
        width = self.dtype.itemsize
        sizes = np.where(counts > 0, self.head + width * counts, 0)
        ends = np.cumsum(sizes, dtype=np.int64)
        begins = ends - sizes
        data = np.zeros(int(ends[-1]) if rows else 0, np.uint8)
        there = counts > 0
        data[begins[there][:, None] + np.arange(self.head)] = self.heads(counts, row, item)[there]
        number = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
        at = begins[row] + self.head + width * number
        data[at[:, None] + np.arange(width)] = item.astype(self.dtype).view(np.uint8).reshape(-1, width)
        return Cells(ends=ends, data=data)

    def _with_large(self, row: Array, item: Array, counts: Array, large: npt.NDArray[np.bool_]) -> Cells:
        few = ~large[row]
        made = self._made(row[few], item[few], len(counts)).to_list()
        starts = np.cumsum(counts) - counts
        for group in np.flatnonzero(large).tolist():
            made[group] = self.merged((), item[starts[group] : starts[group] + counts[group]])
        return Cells.of(made)


def hashes(values: pl.Series, *, utf16: bool) -> tuple[Array, Longs, Longs]:
    """Row and hash of each input that is not null nor empty.

    Parameters
    ----------
    values : Series of String, Int64, Float64, List(String) or List(Binary)
        Of Binary, the very bytes to hash.
    utf16 : bool
        Whether texts are hashed as UTF-16, little-endian; else as UTF-8.
    """
    row = np.arange(len(values))
    if isinstance(values.dtype, pl.List):
        row = np.repeat(row, values.list.len().fill_null(0).to_numpy())
        values = values.drop_nulls()
        values = values.filter(values.list.len() > 0).explode()
    if values.dtype == pl.String:
        there = (values.str.len_bytes() > 0).fill_null(False)
    elif values.dtype == pl.Binary:
        there = (values.bin.size() > 0).fill_null(False)
    else:
        there = values.is_not_null()
    row, values = row[there.to_numpy()], values.filter(there)
    data, ends = _bytes(values, utf16)
    return row, *murmur3_128(data, ends, SEED)


def _bytes(values: pl.Series, utf16: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    if values.dtype in (pl.Int64, pl.Float64):
        numbers = values.to_numpy()
        if values.dtype == pl.Float64:
            numbers = np.where(numbers == 0, 0.0, np.where(np.isnan(numbers), np.nan, numbers))
        return numbers.astype(numbers.dtype.newbyteorder("<")).view(np.uint8), 8 * np.arange(1, len(values) + 1)
    if values.dtype == pl.Binary:
        cells = values.to_list()
        return np.frombuffer(b"".join(cells), np.uint8), np.cumsum(list(map(len, cells)), dtype=np.int64)
    joined: str = values.str.join("").item() if len(values) else ""
    if not utf16:
        sizes = values.str.len_bytes().to_numpy().astype(np.int64)
        return np.frombuffer(joined.encode(), np.uint8), np.cumsum(sizes)
    units = joined.encode("utf-16-le")
    sizes = values.str.len_chars().to_numpy().astype(np.int64)
    if len(units) != 2 * len(joined):
        sizes = sizes + values.str.count_matches("[\U00010000-\U0010ffff]").to_numpy()
    return np.frombuffer(units, np.uint8), np.cumsum(2 * sizes)
