"""Dimension columns on their way into a segment: integers that order as the values do, and what they stand for.

==========  ==========================================================================================
`Strings`   `codes` into a table, 0 = null
`Autos`     values of any type as texts; otherwise like `Strings`
`Lists`     multi-value strings: `ends` and `items` (codes into a table), see `lists`; `codes` is the rank
            of each row's list among `ranked`, the distinct ones
`Numbers`   `keys`, the value as an integer of the same order (for floats -0.0 before 0.0, NaN last),
            and `valid`, 0 for null
==========  ==========================================================================================

Any array may lie on disk (`store.Column`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.building import lists
from workers.ingest.building.coder import Coder, OpenTable
from workers.ingest.building.store import Column
from workers.ingest.building.tables import EMPTY, MemoryTable, Table, union

Ints = npt.NDArray[Any]
Rows = npt.NDArray[np.intp] | slice

_KINDS = {pl.Int64: "LONG", pl.Float64: "DOUBLE", pl.Float32: "FLOAT"}
_FLOATS: dict[str, tuple[Any, Any]] = {"DOUBLE": (np.float64, np.int64), "FLOAT": (np.float32, np.int32)}


@dataclass(frozen=True, kw_only=True)
class ListTable:
    """Distinct lists in order, each with at least one item."""

    ends: Column
    items: Column

    def __len__(self) -> int:
        return len(self.ends)


@dataclass(frozen=True, kw_only=True)
class Strings:
    """See the module's text."""

    codes: Column
    table: Table

    kind: ClassVar[str] = "STRING"

    def keys_in_order(self) -> list[Column]:
        """The columns rows are sorted by."""
        return [self.codes]

    @property
    def nbytes(self) -> int:
        """Memory held, the table's included."""
        return _nbytes(self.codes) + self.table.nbytes

    def take(self, rows: Rows) -> Strings:
        """The rows given, of a column in memory."""
        return replace(self, codes=_memory(self.codes)[rows])


@dataclass(frozen=True, kw_only=True)
class Autos(Strings):
    """Values of any type, whose table holds the texts of `workers.ingest.structured`."""

    kind: ClassVar[str] = "AUTO"


@dataclass(frozen=True, kw_only=True)
class Lists:
    """See the module's text. `codes` and `ranked` are None until the column is sorted for the first time."""

    ends: Column
    items: Column
    table: Table
    codes: Column | None = None
    ranked: ListTable | None = None

    kind: ClassVar[str] = "STRING"

    def keys_in_order(self) -> list[Column]:
        """The columns rows are sorted by."""
        assert self.codes is not None
        return [self.codes]

    @property
    def nbytes(self) -> int:
        """Memory held, the table's included."""
        held = _nbytes(self.ends) + _nbytes(self.items) + self.table.nbytes
        if self.codes is not None and self.ranked is not None:
            held += _nbytes(self.codes) + _nbytes(self.ranked.ends) + _nbytes(self.ranked.items)
        return held

    def take(self, rows: Rows) -> Lists:
        """The rows given, of a column in memory."""
        ends, items = lists.take(_memory(self.ends), _memory(self.items), rows)
        codes = None if self.codes is None else _memory(self.codes)[rows]
        return Lists(ends=ends, items=items, table=self.table, codes=codes, ranked=self.ranked)


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """See the module's text."""

    keys: Column
    valid: Column
    kind: str

    def keys_in_order(self) -> list[Column]:
        """The columns rows are sorted by."""
        return [self.valid, self.keys]

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return _nbytes(self.keys) + _nbytes(self.valid)

    def take(self, rows: Rows) -> Numbers:
        """The rows given, of a column in memory."""
        return Numbers(keys=_memory(self.keys)[rows], valid=_memory(self.valid)[rows], kind=self.kind)


Dimension = Strings | Lists | Numbers


def encode(values: pl.Series, coder: Coder, *, auto: bool = False) -> Dimension:
    """A batch's column as integers; its table is not sorted yet. `auto`: it holds texts of values of any type."""
    if values.dtype == pl.String:
        codes, table = coder.encode(values)
        return Autos(codes=codes, table=table) if auto else Strings(codes=codes, table=table)
    if values.dtype == pl.Null:
        return Strings(codes=np.zeros(len(values), np.uint8), table=EMPTY)
    if values.dtype == pl.List(pl.String):
        return _encode_lists(values, coder)
    for dtype, kind in _KINDS.items():
        if values.dtype == dtype:
            return _encode_numbers(values, kind)
    raise TaskFailed(f"Dimension [{values.name}] came as {values.dtype}, which no column type can hold")


def _encode_lists(values: pl.Series, coder: Coder) -> Lists:
    sizes = values.list.len()
    has_items = (sizes > 0).fill_null(False)
    counts = sizes.fill_null(1).to_numpy().astype(np.int64)  # a null row is one null item
    ends = np.cumsum(counts)
    codes, table = coder.encode(values.filter(has_items).explode())
    items = np.zeros(int(ends[-1]) if len(ends) else 0, codes.dtype)
    items[np.repeat(has_items.to_numpy(), counts)] = codes
    return Lists(ends=ends, items=items, table=table)


def _encode_numbers(values: pl.Series, kind: str) -> Numbers:
    valid = values.is_not_null().to_numpy().astype(np.uint8)
    plain = values.fill_null(0).to_numpy()
    return Numbers(keys=to_keys(plain, kind), valid=valid, kind=kind)


def to_keys(values: Ints, kind: str) -> Ints:
    """Numbers as integers of the same order."""
    if kind not in _FLOATS:
        return values
    floats, ints = _FLOATS[kind]
    values = np.where(np.isnan(values), floats(np.nan), values)  # one NaN, as Java compares them
    bits: Ints = values.view(ints)
    return np.where(bits < 0, bits ^ np.iinfo(ints).max, bits)


def from_keys(keys: Ints, kind: str) -> Ints:
    """The inverse of `to_keys`."""
    if kind not in _FLOATS:
        return keys
    floats, ints = _FLOATS[kind]
    bits: Ints = np.where(keys < 0, keys ^ np.iinfo(ints).max, keys).astype(ints, copy=False)
    return bits.view(floats)


def missing(rows: int, like: Dimension) -> Dimension:
    """Rows that have no value, to stand beside the column `like`."""
    if isinstance(like, Numbers):
        return Numbers(keys=np.zeros(rows, like.keys.dtype), valid=np.zeros(rows, np.uint8), kind=like.kind)
    return Strings(codes=np.zeros(rows, np.uint8), table=EMPTY)


def join(name: str, parts: Sequence[Dimension | None], rows: Sequence[int]) -> Dimension:
    """Columns in memory, one below the other; the table sorted, lists ranked.

    Parameters
    ----------
    parts : sequence
        One a batch or run; None where it lacks the column, which then is null there.
    rows : sequence of int
        Rows of each.
    """
    model = common_kind(name, parts)
    whole = [missing(n, model) if p is None else p for p, n in zip(parts, rows, strict=True)]
    if isinstance(model, Numbers):
        numbers = [p for p in whole if isinstance(p, Numbers)]
        return Numbers(
            keys=np.concatenate([_memory(p.keys) for p in numbers]),
            valid=np.concatenate([_memory(p.valid) for p in numbers]),
            kind=model.kind,
        )
    texts = [p for p in whole if not isinstance(p, Numbers)]
    table, new_codes = union([p.table for p in texts if isinstance(p.table, MemoryTable | OpenTable)])
    if isinstance(model, Strings):
        return replace(
            model,
            codes=_joined_codes([_memory(p.codes) for p in texts if p.codes is not None], new_codes, len(table)),
            table=table,
        )
    return _join_lists([as_lists(p) for p in texts], new_codes, table)


def _joined_codes(parts: Sequence[Ints], new_codes: Sequence[Ints], highest: int) -> Ints:
    """Codes, one column below the other, each replaced; in as few bytes as the highest needs."""
    out = np.empty(sum(map(len, parts)), np.min_scalar_type(highest))
    at = 0
    for codes, new in zip(parts, new_codes, strict=True):
        np.take(new.astype(out.dtype), codes, out=out[at : at + len(codes)], mode="clip")
        at += len(codes)
    return out


def common_kind(name: str, parts: Sequence[Dimension | None]) -> Dimension:
    """One of `parts` of the type that can hold them all."""
    there = [p for p in parts if p is not None]
    kinds = {p.kind for p in there}
    if len(kinds) > 1:
        raise TaskFailed(f"Dimension [{name}] came with several types: {', '.join(sorted(kinds))}")
    return next((p for p in there if isinstance(p, Lists)), there[0])


def as_lists(column: Strings | Lists) -> Lists:
    """Single values as lists of one."""
    if isinstance(column, Lists):
        return column
    codes = _memory(column.codes)
    return Lists(ends=np.arange(1, len(codes) + 1), items=codes, table=column.table)


def _join_lists(parts: Sequence[Lists], new_codes: Sequence[Ints], table: MemoryTable) -> Lists:
    sizes = [lists.lengths(_memory(p.ends)) for p in parts]
    ends = np.cumsum(np.concatenate(sizes), dtype=np.int64)
    items = np.concatenate([new[_memory(p.items)] for p, new in zip(parts, new_codes, strict=True)])
    key_ends, key_items = lists.as_keys(ends, items)
    codes, firsts = lists.rank(key_ends, key_items)
    ranked_ends, ranked_items = lists.take(key_ends, key_items, firsts)
    return Lists(
        ends=ends,
        items=items,
        table=table,
        codes=codes.astype(np.int32),
        ranked=ListTable(ends=ranked_ends, items=ranked_items),
    )


def _memory(column: Column) -> Ints:
    assert isinstance(column, np.ndarray), type(column)
    return column


def _nbytes(column: Column) -> int:
    return column.nbytes if isinstance(column, np.ndarray) else 0
