"""A run: rows in segment order, rolled up. It lies in memory, or, spilled, on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from workers.ingest.building.columns import Dimension, Lists, ListTable, Numbers, Rows, Strings, join
from workers.ingest.building.schema import BuildSchema
from workers.ingest.building.store import ArrayFile, Column, DiskArray, Scratch
from workers.ingest.building.tables import DiskTable, DiskTableWriter, Table
from workers.ingest.rollup import Groups, State, order_rows, singles
from workers.ingest.rollup import state as states
from workers.ingest.rollup.state import memory as memory


@dataclass(frozen=True, kw_only=True)
class Run:
    """Rows as columns of integers and partial aggregates.

    Attributes
    ----------
    chunk : Column of int64
        Start of each row's time chunk, millis.
    time : Column of int64
        Truncated.
    dimensions : mapping
        By name, in the order in which they turned up.
    states : sequence of State
        One a metric, in spec order.
    """

    chunk: Column
    time: Column
    dimensions: Mapping[str, Dimension]
    states: Sequence[State] = field(default_factory=tuple)

    def __len__(self) -> int:
        return len(self.time)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        held = sum(c.nbytes for c in (self.chunk, self.time) if isinstance(c, np.ndarray))
        return held + sum(d.nbytes for d in self.dimensions.values()) + sum(s.nbytes for s in self.states)

    def take(self, rows: Rows) -> Run:
        """Those rows, of a run in memory."""
        return Run(
            chunk=memory(self.chunk)[rows],
            time=memory(self.time)[rows],
            dimensions={name: column.take(rows) for name, column in self.dimensions.items()},
            states=[state.take(rows) for state in self.states],
        )

    def key_columns(self, schema: BuildSchema) -> Iterator[Column]:
        """What rows are sorted by, the foremost first."""
        order = schema.sort_order(self.dimensions)
        if order[0] != "__time":  # a time belongs to one chunk only
            yield self.chunk
        for name in order:
            if name == "__time":
                yield self.time
            else:
                yield from self.dimensions[name].keys_in_order()


def stack(parts: Sequence[Run]) -> Run:
    """Runs in memory, one below the other, their codes made to agree; not sorted."""
    names = list(dict.fromkeys(name for part in parts for name in part.dimensions))
    rows = [len(part) for part in parts]
    return Run(
        chunk=np.concatenate([memory(p.chunk) for p in parts]),
        time=np.concatenate([memory(p.time) for p in parts]),
        dimensions={name: join(name, [p.dimensions.get(name) for p in parts], rows) for name in names},
        states=[states.stack(each) for each in zip(*(p.states for p in parts), strict=True)],
    )


def sort(rows: Run, schema: BuildSchema) -> Groups:
    """The order of rows in memory, and the groups that roll up to one."""
    groups = order_rows((memory(c) for c in rows.key_columns(schema)), len(rows))
    return groups if schema.rollup else singles(groups.order)


def roll_up(rows: Run, groups: Groups, schema: BuildSchema) -> Run:
    """The run that `rows`, in memory, make."""
    first = groups.first
    folded = [a.fold(s, groups) for a, s in zip(schema.aggregators, rows.states, strict=True)]
    return Run(
        chunk=memory(rows.chunk)[first],
        time=memory(rows.time)[first],
        dimensions={name: column.take(first) for name, column in rows.dimensions.items()},
        states=folded,
    )


def spill(run: Run, scratch: Scratch) -> Run:
    """The same run on disk."""
    file = ArrayFile(scratch)
    tables: dict[int, DiskTable] = {}

    def put(column: Column) -> DiskArray:
        return file.put(memory(column))

    def put_table(table: Table) -> DiskTable:
        if id(table) not in tables:
            writer = DiskTableWriter(file)
            for block in table.blocks():
                writer.append(block)
            tables[id(table)] = writer.done()
        return tables[id(table)]

    def put_dimension(column: Dimension) -> Dimension:
        if isinstance(column, Numbers):
            return Numbers(keys=put(column.keys), valid=put(column.valid), kind=column.kind)
        if isinstance(column, Strings):
            return replace(column, codes=put(column.codes), table=put_table(column.table))
        assert column.codes is not None and column.ranked is not None
        return Lists(
            ends=put(column.ends),
            items=put(column.items),
            table=put_table(column.table),
            codes=put(column.codes),
            ranked=ListTable(ends=put(column.ranked.ends), items=put(column.ranked.items)),
        )

    return Run(
        chunk=put(run.chunk),
        time=put(run.time),
        dimensions={name: put_dimension(column) for name, column in run.dimensions.items()},
        states=[state.map(put) for state in run.states],
    )
