"""States of every kind in files: what sub-tasks hand on, cut at any row, folds to what it was."""

import json

import numpy as np
import pytest

from workers.ingest.building.columns import Numbers
from workers.ingest.building.merge import RunWriter, merge_runs
from workers.ingest.building.parting import gathered
from workers.ingest.building.run import Run, spill
from workers.ingest.building.run_file import read_run, write_run
from workers.ingest.building.store import Scratch
from workers.ingest.rollup import Cells, State

from .test_builder import schema

ROWS = 20
METRICS = [
    {"type": "longSum", "name": "plain", "fieldName": "x"},
    {"type": "doubleLast", "name": "pair", "fieldName": "x"},
    {"type": "stringFirst", "name": "text", "fieldName": "x"},
    {"type": "hyperUnique", "name": "hyper", "fieldName": "x"},
]


def run(start=0):
    keys = np.arange(start, start + ROWS, dtype=np.int64)
    cells = Cells.of([bytes([65 + i % 26]) * (i % 4) for i in range(ROWS)])
    sketches = Cells.of([bytes([1, 0, 0, 1, 0, 0, 0, 0, 7 + i, 16]) for i in range(ROWS)])
    return Run(
        chunk=np.zeros(ROWS, np.int64),
        time=np.zeros(ROWS, np.int64),
        dimensions={"k": Numbers(keys=keys, valid=np.ones(ROWS, np.uint8), kind="LONG")},
        states=[
            State.of_numbers(keys * 3),
            State(arrays={"time": keys * 7, "values": keys / 2, "valid": keys % 3 > 0}),
            State(arrays={"time": keys * 5}, cells=cells),
            State(cells=sketches),
        ],
    )


def columns(state):
    cells = None if state.cells is None else state.cells.to_list()
    flags = {"valid": [True] * len(state)} if "valid" not in state.arrays else {}
    return {name: column[:].tolist() for name, column in state.arrays.items()} | flags, cells


@pytest.mark.parametrize(("start", "stop"), [(0, ROWS), (0, 7), (7, ROWS), (5, 5)])
def test_a_stretch_of_a_written_run_has_its_states(start, stop, tmp_path):
    header = json.loads(json.dumps(write_run(run(), tmp_path / "run")))
    back = read_run(tmp_path / "run", header, start, stop, Scratch(tmp_path / "more"))
    for ours, given in zip(back.states, run().states, strict=True):
        assert columns(ours.rows(0, stop - start)) == columns(given.take(slice(start, stop)))


def test_stretches_in_another_order_are_read_as_one(tmp_path):
    scratch = Scratch(tmp_path)
    moved = gathered(spill(run(), scratch), [range(12, 15), range(0, 2), range(6, 6), range(18, 20)], scratch)
    rows = np.array([12, 13, 14, 0, 1, 18, 19])
    for ours, given in zip(moved.states, run().states, strict=True):
        assert columns(ours.rows(0, 7)) == columns(given.take(rows))
        assert columns(ours.rows(2, 5)) == columns(given.take(rows[2:5]))


def test_a_flag_that_is_left_out_at_first_is_true_there(tmp_path):
    writer = RunWriter(run(), Scratch(tmp_path))
    for valid in (None, np.zeros(ROWS, np.bool_), None):
        block = run()
        writer.append(Run(chunk=block.chunk, time=block.time, dimensions=block.dimensions,
                          states=[State.of_numbers(block.states[0].values, valid), *block.states[1:]]))  # fmt: skip
    whole = writer.done()
    assert whole.states[0].arrays["valid"][:].tolist() == [True] * ROWS + [False] * ROWS + [True] * ROWS
    assert whole.states[2].rows(0, 3 * ROWS).cells.to_list() == 3 * run().states[2].cells.to_list()


@pytest.mark.parametrize("block_rows", [3, 1000])
def test_runs_on_disk_merge_to_the_fold_of_their_states(block_rows, tmp_path):
    scratch = Scratch(tmp_path)
    kept = schema(metrics=METRICS, dimensions=[{"type": "long", "name": "k"}])
    merged = merge_runs([spill(run(at), scratch) for at in (0, 5, 10)], kept, scratch, block_rows)
    assert merged.dimensions["k"].keys[:].tolist() == list(range(30))
    sums, pairs, texts, sketches = (state.rows(0, 30) for state in merged.states)
    copies = [sum(at <= key < at + ROWS for at in (0, 5, 10)) for key in range(30)]
    assert sums.values.tolist() == [3 * key * count for key, count in enumerate(copies)]
    assert pairs.array("time").tolist() == [7 * key for key in range(30)]
    assert texts.cells.to_list()[:5] == run().states[2].cells.to_list()[:5]
    assert [int.from_bytes(cell[2:4], "big") for cell in sketches.cells.to_list()] == copies
