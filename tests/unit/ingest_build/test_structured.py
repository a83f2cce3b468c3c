"""Values of any type as text: there and back, in Druid's order."""

import json
import math

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from overlord.model.granularity import Granularity
from workers.ingest.batch import Batch
from workers.ingest.building import Buckets, SegmentBuilder
from workers.ingest.building.columns import Autos, Strings
from workers.ingest.building.run_file import read_run, write_run
from workers.ingest.building.store import Scratch
from workers.ingest.partition.dynamic import DynamicPartitions
from workers.ingest.structured import text, values_of
from workers.segment import smile, utf16
from workers.segment.xxh64 import xxh64

from .test_builder import schema

strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
longs = st.integers(-(2**63), 2**63 - 1)
scalars = strings | longs | st.floats(allow_nan=False) | st.booleans()
values = scalars | st.lists(scalars | st.none(), max_size=4)
nested = st.recursive(
    scalars | st.none(), lambda inner: st.lists(inner) | st.dictionaries(strings, inner), max_leaves=9
)


def same(left, right):
    return repr(left) == repr(right)


@given(st.lists(values, max_size=20))
def test_values_come_back(given_values):
    texts = sorted({text(value).encode() for value in given_values}, key=utf16.sort_key)
    back = values_of(texts).to_list()
    assert {repr(value) for value in back} == {repr(value) for value in given_values}
    assert [text(value).encode() for value in back] == texts


@given(st.lists(longs | st.floats(), min_size=2, max_size=2))
def test_numbers_sort_by_value_whatever_their_type(pair):
    low, high = sorted(pair, key=lambda value: (math.isnan(value), 0.0 if math.isnan(value) else value))
    if float(low) < float(high) or (math.isnan(high) and not math.isnan(low)):
        assert text(low) < text(high)


def test_strings_come_before_numbers_and_these_before_the_rest():
    kinds = ["", "z", -math.inf, -1, -0.0, 0.0, 0.5, 1, 2**62, math.inf]
    texts = [text(value) for value in kinds]
    assert texts == sorted(texts)
    assert all(texts[-1] < text(value) for value in (True, False, [], [1], {"a": 1}))


@given(nested)
def test_smile_comes_back(value):
    assert same(smile.decode(smile.encode(value)), value)


def test_smile_refers_back_to_names():
    value = [{f"name{i % 1500}": i, "é" * 40: None, "": 1} for i in range(3000)]
    assert same(smile.decode(smile.encode(value)), value)


def test_the_hash_is_xxh64():
    assert [xxh64(data, 0) for data in (b"", b"a", b"abc")] == [
        0xEF46DB3751D8E999,
        0xD24EC4F1A98C6E5B,
        0x44BC2CF5AD770999,
    ]
    assert xxh64(b"", 0x9E3779B1) == 0xAC75FDA2929B17EF


def test_a_run_in_a_file_keeps_columns_of_found_types(tmp_path):
    column = pl.Series("v", [text(value) for value in ["s", 1, 2.5, [1, None], {"a": 1}, True]] + [None])
    strings = pl.Series("s", [None, "b", "a", "c", "d", "e", "b"])
    rows = len(column)
    builder = SegmentBuilder(
        schema(rollup=False, dimensions=["s", {"type": "auto", "name": "v"}], metrics=[]),
        Buckets(Granularity.parse("DAY")),
        DynamicPartitions(),
        scratch=tmp_path / "scratch",
    )
    batch = Batch(
        columns={"__time": pl.Series("__time", [0] * rows), "s": strings, "v": column},
        file=np.zeros(rows, np.int32),
        line=np.arange(1, rows + 1),
        files=("f",),
    )
    builder.add(batch)
    parted = builder.parted()
    assert parted is not None
    header = json.loads(json.dumps(write_run(parted[0], tmp_path / "run")))
    back = read_run(tmp_path / "run", header, 0, rows, Scratch(tmp_path / "more"))
    assert {name: type(column) for name, column in back.dimensions.items()} == {"s": Strings, "v": Autos}
    for name, given_column in (("s", strings), ("v", column)):
        found = back.dimensions[name]
        (values,) = found.table.gather(np.arange(1, len(found.table) + 1))
        got = [None if code == 0 else values[int(code) - 1] for code in found.codes[:]]
        assert sorted(map(str, got)) == sorted(map(str, given_column.to_list()))
