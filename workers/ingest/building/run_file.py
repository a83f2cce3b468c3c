"""A run in a file, for another process to merge.

All columns lie one after the other as plain little-endian values, dictionaries as blocks of Arrow IPC (see
`DiskTable`); a header, which is JSON and kept apart, says what lies where. Reading a stretch reads no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workers.ingest.building.columns import Autos, Dimension, Lists, ListTable, Numbers, Strings
from workers.ingest.building.parting import gathered
from workers.ingest.building.run import Run
from workers.ingest.building.store import ArrayFile, Column, DiskArray, Scratch, blocks
from workers.ingest.building.tables import DiskTable, DiskTableWriter, Table
from workers.ingest.rollup import Cells, State

Json = dict[str, Any]


def write_run(run: Run, path: Path) -> Json:
    """Write a whole run; gives the header."""
    with path.open("xb", buffering=0) as file:
        out = _Writer(ArrayFile.over(file))
        return {
            "rows": len(run),
            "chunk": out.column(run.chunk),
            "time": out.column(run.time),
            "dimensions": [[name, out.dimension(column)] for name, column in run.dimensions.items()],
            "states": [out.state(state) for state in run.states],
            "tables": out.tables,
        }


class _Writer:
    def __init__(self, file: ArrayFile) -> None:
        self._file = file
        self._known: dict[int, int] = {}
        self.tables: list[Json] = []

    def column(self, column: Column) -> Json:
        start = self._file.size
        for piece in blocks(column, 0, len(column)):
            self._file.put(piece)
        return {"at": start, "dtype": np.dtype(column.dtype).str, "length": len(column)}

    def state(self, state: State) -> Json:
        cells = state.cells
        return {
            "arrays": {name: self.column(column) for name, column in state.arrays.items()},
            "cells": None if cells is None else [self.column(cells.ends), self.column(cells.data)],
        }

    def table(self, table: Table) -> int:
        if id(table) not in self._known:
            writer = DiskTableWriter(self._file)
            for block in table.blocks():
                writer.append(block)
            done = writer.done()
            self._known[id(table)] = len(self.tables)
            self.tables.append({"places": done.places, "counts": done.counts, "nbytes": done.nbytes})
        return self._known[id(table)]

    def dimension(self, column: Dimension) -> Json:
        if isinstance(column, Numbers):
            return {"kind": column.kind, "keys": self.column(column.keys), "valid": self.column(column.valid)}
        if isinstance(column, Strings):
            auto = isinstance(column, Autos)
            return {"codes": self.column(column.codes), "table": self.table(column.table), "auto": auto}
        assert column.codes is not None and column.ranked is not None
        return {
            "ends": self.column(column.ends),
            "items": self.column(column.items),
            "table": self.table(column.table),
            "codes": self.column(column.codes),
            "ranked": [self.column(column.ranked.ends), self.column(column.ranked.items)],
        }


def read_run(path: Path, header: Mapping[str, Any], start: int, stop: int, scratch: Scratch) -> Run:
    """Rows `start` to `stop` of a run that was written to `path`."""
    file = path.open("rb", buffering=0)
    tables = [DiskTable(ArrayFile.over(file), t["places"], t["counts"], t["nbytes"]).loaded() for t in header["tables"]]

    def column(json: Mapping[str, Any]) -> DiskArray:
        return DiskArray(file, json["at"], np.dtype(json["dtype"]), json["length"])

    run = Run(
        chunk=column(header["chunk"]),
        time=column(header["time"]),
        dimensions={name: _dimension(json, column, tables) for name, json in header["dimensions"]},
        states=[_state(json, column) for json in header["states"]],
    )
    return gathered(run, [range(start, stop)], scratch)


def _state(json: Mapping[str, Any], column: Callable[[Mapping[str, Any]], DiskArray]) -> State:
    cells = json["cells"]
    return State(
        arrays={name: column(each) for name, each in json["arrays"].items()},
        cells=None if cells is None else Cells(ends=column(cells[0]), data=column(cells[1])),
    )


def _dimension(
    json: Mapping[str, Any], column: Callable[[Mapping[str, Any]], DiskArray], tables: Sequence[Table]
) -> Dimension:
    if "keys" in json:
        return Numbers(keys=column(json["keys"]), valid=column(json["valid"]), kind=json["kind"])
    table = tables[json["table"]]
    if "ends" not in json:
        kind = Autos if json["auto"] else Strings
        return kind(codes=column(json["codes"]), table=table)
    ends, items = map(column, json["ranked"])
    return Lists(
        ends=column(json["ends"]),
        items=column(json["items"]),
        table=table,
        codes=column(json["codes"]),
        ranked=ListTable(ends=ends, items=items),
    )
