"""Partial aggregates, one a row, as columns; in memory or on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workers.ingest import ragged

if TYPE_CHECKING:
    from workers.ingest.building.store import Column

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp] | slice


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Byte strings, one a row.

    Attributes
    ----------
    ends : Column of int64
        Where each row's bytes end in `data`.
    data : Column of uint8
    """

    ends: Column
    data: Column

    def __len__(self) -> int:
        return len(self.ends)

    @classmethod
    def of(cls, cells: Sequence[bytes]) -> Cells:
        """From bytes objects."""
        sizes = np.fromiter(map(len, cells), np.int64, len(cells))
        return cls(ends=np.cumsum(sizes, dtype=np.int64), data=np.frombuffer(b"".join(cells), np.uint8))

    @classmethod
    def empty(cls, rows: int) -> Cells:
        """Rows without bytes."""
        return cls(ends=np.zeros(rows, np.int64), data=np.empty(0, np.uint8))

    def to_list(self) -> list[bytes]:
        """The byte strings."""
        ends = self.ends[:].tolist()
        data = self.data[:].tobytes()
        return [data[start:stop] for start, stop in zip([0, *ends][:-1], ends, strict=True)]

    def take(self, rows: Rows) -> Cells:
        """The cells at `rows`, of cells in memory."""
        ends, data = ragged.take(memory(self.ends), memory(self.data), rows)
        return Cells(ends=ends, data=data)

    def rows(self, start: int, stop: int) -> Cells:
        """A stretch, read into memory."""
        ends = self.ends[start:stop]
        begin = int(self.ends[start - 1 : start][0]) if start else 0
        return Cells(ends=ends - begin, data=self.data[begin : int(ends[-1]) if len(ends) else begin])


def memory(column: Column) -> Array:
    """The column, known to be in memory."""
    assert isinstance(column, np.ndarray), type(column)
    return column


@dataclass(frozen=True, kw_only=True)
class State:
    """One partial aggregate a row.

    Attributes
    ----------
    arrays : mapping of str to Column, each of shape (rows,)
        Those of a number's fold are `values`, zero where there is none, and `valid`, of bool. An array of bool that is
        True throughout may be left out.
    cells : Cells or None
        What has no fixed width.
    """

    arrays: Mapping[str, Column] = field(default_factory=dict)
    cells: Cells | None = None

    @classmethod
    def of_numbers(cls, values: Array, valid: npt.NDArray[np.bool_] | None = None) -> State:
        """Numbers, and where there are any; None for everywhere."""
        return cls(arrays={"values": values} | ({} if valid is None else {"valid": valid}))

    def __len__(self) -> int:
        return len(self.cells) if self.cells is not None else len(next(iter(self.arrays.values())))

    def columns(self) -> list[Column]:
        """All columns."""
        return [*self.arrays.values(), *(() if self.cells is None else (self.cells.ends, self.cells.data))]

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(column.nbytes for column in self.columns() if isinstance(column, np.ndarray))

    @property
    def size(self) -> int:
        """Bytes of all rows, wherever they lie."""
        return sum(len(column) * column.dtype.itemsize for column in self.columns())

    def array(self, name: str) -> Array:
        """One of the arrays, known to be in memory."""
        return memory(self.arrays[name])

    def flags(self, name: str) -> npt.NDArray[np.bool_]:
        """One of bools, which may have been left out."""
        return self.array(name) if name in self.arrays else np.ones(len(self), np.bool_)

    @property
    def values(self) -> Array:
        """The array of that name."""
        return self.array("values")

    @property
    def valid(self) -> npt.NDArray[np.bool_] | None:
        """The array of that name; None if it is True throughout."""
        return self.array("valid") if "valid" in self.arrays else None

    @property
    def stored(self) -> Cells:
        """The cells."""
        assert self.cells is not None
        return self.cells

    def take(self, rows: Rows) -> State:
        """The states at `rows`, of states in memory."""
        return State(
            arrays={name: memory(column)[rows] for name, column in self.arrays.items()},
            cells=None if self.cells is None else self.cells.take(rows),
        )

    def rows(self, start: int, stop: int) -> State:
        """A stretch, read into memory."""
        return State(
            arrays={name: column[start:stop] for name, column in self.arrays.items()},
            cells=None if self.cells is None else self.cells.rows(start, stop),
        )

    def map(self, put: Callable[[Column], Column]) -> State:
        """The same rows, each column put elsewhere."""
        return State(
            arrays={name: put(column) for name, column in self.arrays.items()},
            cells=None if self.cells is None else Cells(ends=put(self.cells.ends), data=put(self.cells.data)),
        )


def stack(states: Sequence[State]) -> State:
    """States in memory, one below the other."""
    if len(states) == 1:
        return states[0]
    names = dict.fromkeys(name for state in states for name in state.arrays)
    arrays: dict[str, Column] = {
        name: np.concatenate([state.array(name) if name in state.arrays else state.flags(name) for state in states])
        for name in names
    }
    cells = [state.cells for state in states if state.cells is not None]
    return State(arrays=arrays, cells=stack_cells(cells) if cells else None)


def stack_cells(parts: Sequence[Cells]) -> Cells:
    """Cells in memory, one below the other."""
    before = np.cumsum([0, *(len(part.data) for part in parts[:-1])])
    return Cells(
        ends=np.concatenate([memory(p.ends) + base for p, base in zip(parts, before.tolist(), strict=True)]),
        data=np.concatenate([memory(part.data) for part in parts]),
    )
