"""What goes in comes out equal, and what cannot be stored is refused with the column's name."""

from __future__ import annotations

import math
import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from workers.segment import utf16
from workers.segment.errors import SegmentError
from workers.segment.reader import SegmentReader
from workers.segment.writer import (
    ComplexColumn,
    IndexSpec,
    MultiStringColumn,
    NullColumn,
    NumericColumn,
    SegmentSpec,
    StringColumn,
    write_segment,
)

ORDERED = {"ordering": [{"columnName": "__time", "order": "ascending"}]}
INDEX_SPECS = [
    IndexSpec(),
    IndexSpec(lz4_level=9),
    IndexSpec(dimension_compression="uncompressed", metric_compression="uncompressed"),
    IndexSpec(dimension_compression="uncompressed", metric_compression="none"),
]


def spec_of(dimensions=(), metrics=(), index_spec=INDEX_SPECS[0], metadata=ORDERED):
    return SegmentSpec(
        interval_start_ms=0,
        interval_end_ms=10**6,
        dimensions=tuple(dimensions),
        metrics=tuple(metrics),
        metadata=metadata,
        index_spec=index_spec,
    )


def cut(array, size=7):
    """Pieces that fit no block."""
    return lambda: (array[i : i + size] for i in range(0, len(array), size))


def time_column(rows):
    times = np.arange(rows, dtype=np.int64)
    return NumericColumn("__time", "LONG", lambda: iter([(times, None)]))


def dictionary_of(values):
    """Sorted distinct values as bytes, null first, and their ids."""
    distinct = sorted(set(values) - {None}, key=lambda v: v.encode("utf-16-be"))
    entries = [None] * (None in values) + distinct
    return [None if e is None else e.encode() for e in entries], {e: i for i, e in enumerate(entries)}


def string_column(name, values, **kw):
    dictionary, ids = dictionary_of(values)
    return StringColumn(name, dictionary, cut(np.array([ids[v] for v in values], np.int32)), **kw)


def multi_column(name, lists, **kw):
    flat = [v for row in lists for v in row]
    dictionary, ids = dictionary_of(flat + [None] * any(not row for row in lists))
    counts = np.array([len(row) for row in lists], np.int32)
    return MultiStringColumn(name, dictionary, cut(counts), cut(np.array([ids[v] for v in flat], np.int32), 5), **kw)


def numeric_column(name, kind, values, dtype):
    nulls = np.array([v is None for v in values])
    array = np.array([0 if v is None else v for v in values], dtype)
    pieces = zip(cut(array)(), cut(nulls)(), strict=True)
    return NumericColumn(name, kind, lambda: pieces)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# the corner where UTF-16 order and UTF-8 order part
corner = st.text(st.sampled_from("a\ud7ff\ue000\uffff\U00010000\U0010ffff"), max_size=3)
strings = st.none() | st.just("") | texts | corner
longs = st.none() | st.integers(-(2**63), 2**63 - 1)
doubles = st.none() | st.floats() | st.just(-0.0)
floats = st.none() | st.floats(width=32)
row = st.tuples(strings, st.lists(strings, max_size=4), longs, doubles, floats)


def bits(values, code):
    return [None if v is None else b"nan" if math.isnan(v) else struct.pack(code, v) for v in values]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(row, min_size=1, max_size=40), index_spec=st.sampled_from(INDEX_SPECS), indexed=st.booleans())
def test_any_table_comes_out_as_it_went_in(rows, index_spec, indexed, tmp_path_factory):
    directory = tmp_path_factory.mktemp("segment")
    single, multi, long, double, float_ = (list(column) for column in zip(*rows, strict=True))
    columns = [
        time_column(len(rows)),
        string_column("s", single, bitmap_index=indexed),
        multi_column("mv", multi, bitmap_index=indexed),
        NullColumn("none"),
        numeric_column("l", "LONG", long, np.int64),
        numeric_column("d", "DOUBLE", double, np.float64),
        numeric_column("f", "FLOAT", float_, np.float32),
    ]
    size = write_segment(directory, spec_of(["s", "mv", "none", "l"], ["f", "d"], index_spec), columns, len(rows))
    assert size == sum(file.stat().st_size for file in directory.iterdir())
    reader = SegmentReader(directory)
    assert reader.num_rows == len(rows)
    assert reader.metrics == ("d", "f")
    assert reader.read("s").to_list() == single
    assert reader.read("mv").to_list() == multi
    assert reader.read("none").to_list() == [None] * len(rows)
    assert reader.read("l").to_list() == long
    assert bits(reader.read("d"), ">d") == bits(double, ">d")
    assert bits(reader.read("f"), ">f") == bits(float_, ">f")
    if indexed:
        assert dict(reader.bitmaps("s")) == {v: BitMap(i for i, w in enumerate(single) if w == v) for v in single}
        for value, found in reader.bitmaps("mv"):
            assert found == BitMap(i for i, r in enumerate(multi) if value in r or (value is None and not r))
    else:
        assert not list(reader.bitmaps("s")) + list(reader.bitmaps("mv"))


@pytest.mark.parametrize("kind", ["series", "list", "iterator"])
@pytest.mark.parametrize("count", [255, 256, 65535, 65536, 200_000])
def test_dictionaries_of_any_size_come_back(count, kind, tmp_path):
    """The width of ids follows the number of values; from 65536 on they take three bytes."""
    values = pl.Series([f"{i:07d}" for i in range(count - 3)] + ["\ue000", "\U0001f600"][::-1])
    raw = [None, *values.cast(pl.Binary).to_list()]
    dictionary = {"series": pl.Series([None, *values.to_list()]), "list": raw, "iterator": iter(raw)}[kind]
    ids = np.random.default_rng(count).integers(0, count, 70_000).astype(np.int32)
    columns = [time_column(len(ids)), StringColumn("s", dictionary, cut(ids, 9_999))]
    write_segment(tmp_path, spec_of(["s"]), columns, len(ids))
    reader = SegmentReader(tmp_path)
    assert reader.read("s").equals(pl.Series([None, *values.to_list()]).gather(ids), null_equal=True)
    for i, (_, rows) in enumerate(reader.bitmaps("s")):
        if i % 997 == 0:
            assert rows == BitMap(np.flatnonzero(ids == i).astype(np.uint32))


def test_entries_that_do_not_fit_a_chunk_begin_a_new_one(tmp_path):
    rows = 5000
    values = np.random.default_rng(1).integers(0, 2**62, rows)
    columns = [time_column(rows)]
    columns += [NumericColumn(f"m{i}", "LONG", lambda: iter([(values, None)])) for i in range(5)]
    names = [f"m{i}" for i in range(5)]
    size = write_segment(tmp_path, spec_of(metrics=names), columns, rows, chunk_limit=100_000)
    chunks = sorted(tmp_path.glob("0*.smoosh"))
    assert len(chunks) == 3
    assert all(chunk.stat().st_size <= 100_000 for chunk in chunks)
    assert size == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert (tmp_path / "meta.smoosh").read_text().startswith("v1,2147483647,3\n")
    reader = SegmentReader(tmp_path)
    assert all((reader.read(name).to_numpy() == values).all() for name in names)


def test_an_entry_larger_than_a_chunk_is_refused(tmp_path):
    values = np.random.default_rng(1).integers(0, 2**62, 5000)
    columns = [time_column(5000), NumericColumn("big", "LONG", lambda: iter([(values, None)]))]
    with pytest.raises(SegmentError, match=r"column 'big': it takes \d+ bytes, but .* can hold 30000"):
        write_segment(tmp_path, spec_of(metrics=["big"]), columns, 5000, chunk_limit=30_000)


def write_one(directory, column, rows=3, **kw):
    write_segment(directory, spec_of([column.name], **kw), [time_column(rows), column], rows)


@pytest.mark.parametrize(
    ("dictionary", "message"),
    [
        ([b"b", b"a"], "not strictly ascending"),
        ([b"a", b"a"], "not strictly ascending"),
        (["\ue000".encode(), "\U00010000".encode()], "not strictly ascending in UTF-16 order"),
        ([b"a", None], "a null that is not its first entry"),
        ([None, None], "a null that is not its first entry"),
        ([b"a", "\ud83d".encode("utf-16-le", "surrogatepass")], "not UTF-8"),
        ([b"a", "\ud83d".encode("utf-8", "surrogatepass")], r"not UTF-8: b'\\xed\\xa0\\xbd'; .* no unpaired"),
        ([b"\xc3", b"\xc3\xa9"], "not UTF-8"),
        ([], "its dictionary is empty"),
        (pl.Series(["b", "a"]), "not strictly ascending"),
        (pl.Series(["a", None]), "a null that is not its first entry"),
        (pl.Series([f"{i:05}" for i in range(2000)] + ["0"]), "not strictly ascending"),
        (pl.Series([f"{i:05}" for i in range(2000)] + [None]), "a null that is not its first entry"),
    ],
)
def test_a_dictionary_at_fault_is_refused(dictionary, message, tmp_path):
    with pytest.raises(SegmentError, match=f"column 'dim': .*{message}"):
        write_one(tmp_path, StringColumn("dim", dictionary, lambda: iter([np.zeros(3, np.int32)])))


@pytest.mark.parametrize("name", ["a,b", "a\nb"])
def test_a_name_that_cannot_be_stored_is_refused(name, tmp_path):
    with pytest.raises(SegmentError, match=r"its name has a (comma|newline), which a segment cannot store") as caught:
        write_one(tmp_path, NullColumn(name))
    assert repr(name) in caught.value.message
    assert "rename" in caught.value.hint


@pytest.mark.parametrize("ids", [[0, 1, 2], [-1, 0, 0]])
def test_an_id_outside_the_dictionary_is_refused(ids, tmp_path):
    with pytest.raises(SegmentError, match="column 'dim': an id is outside its dictionary of 2 values"):
        write_one(tmp_path, StringColumn("dim", [b"a", b"b"], lambda: iter([np.array(ids)])))


@pytest.mark.parametrize("given_rows", [0, 2, 4])
def test_a_column_of_another_length_is_refused(given_rows, tmp_path):
    array = np.zeros(given_rows, np.int64)
    message = "more than 3 rows" if given_rows > 3 else f"{given_rows} of 3 rows"
    columns = [
        NumericColumn("c", "LONG", lambda: iter([(array, None)])),
        StringColumn("c", [b"a"], lambda: iter([array])),
        MultiStringColumn("c", [b"a"], lambda: iter([np.array([1, 1, 1])]), lambda: iter([array])),
        MultiStringColumn("c", [None], lambda: iter([array]), lambda: iter([])),
        ComplexColumn("c", "hyperUnique", lambda: [b""] * given_rows),
    ]
    for column in columns:
        with pytest.raises(SegmentError, match=f"column 'c': its source gave {message}"):
            write_one(tmp_path, column)


def test_an_empty_row_needs_the_null_entry(tmp_path):
    column = MultiStringColumn("c", [b"a"], lambda: iter([np.array([1, 0, 1])]), lambda: iter([np.zeros(2, int)]))
    with pytest.raises(SegmentError, match="its dictionary must begin with null"):
        write_one(tmp_path, column)


def test_no_segment_without_rows(tmp_path):
    with pytest.raises(SegmentError, match="without rows"):
        write_segment(tmp_path, spec_of(), [time_column(0)], 0)


def test_time_must_ascend_unless_the_ordering_says_otherwise(tmp_path):
    times = np.array([2, 1, 3])
    column = NumericColumn("__time", "LONG", lambda: iter([(times[:1], None), (times[1:], None)]))
    with pytest.raises(SegmentError, match="column '__time': the rows are not in the order of time"):
        write_segment(tmp_path, spec_of(), [column], 3)
    by_dim = {"ordering": [{"columnName": "dim", "order": "ascending"}]}
    write_segment(tmp_path, spec_of(metadata=by_dim), [column], 3)
    assert SegmentReader(tmp_path).read("__time").to_list() == [2, 1, 3]


def test_columns_and_spec_must_name_the_same(tmp_path):
    null = NullColumn("a")
    with pytest.raises(SegmentError, match="column 'b' is named but not given"):
        write_segment(tmp_path, spec_of(["a", "b"]), [time_column(1), null], 1)
    with pytest.raises(SegmentError, match="column 'a' is neither a dimension nor a metric"):
        write_segment(tmp_path, spec_of(), [time_column(1), null], 1)
    with pytest.raises(SegmentError, match="a column name is used twice"):
        write_segment(tmp_path, spec_of(["a"], ["a"]), [time_column(1), null], 1)


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ({"bitmap": {"type": "concise"}}, r"with bitmap.type \[concise\] can be read, but are not written"),
        ({"dimensionCompression": "lzf"}, r"dimensionCompression \[lzf\]"),
        ({"metricCompression": "lzf"}, r"metricCompression \[lzf\]"),
        ({"longEncoding": "auto"}, r"longEncoding \[auto\]"),
        ({"complexMetricCompression": "lz4"}, r"complexMetricCompression \[lz4\]"),
    ],
)
def test_an_index_spec_that_is_not_written_is_refused(json, message):
    with pytest.raises(SegmentError, match=message) as caught:
        IndexSpec.from_json(json)
    assert caught.value.where.startswith("spec.tuningConfig.indexSpec." + next(iter(json)))


def test_an_index_spec_of_defaults_is_taken():
    json = {
        "bitmap": {"type": "roaring"},
        "dimensionCompression": "lz4",
        "stringDictionaryEncoding": {"type": "utf8"},
        "metricCompression": "none",
        "longEncoding": "longs",
    }
    assert IndexSpec.from_json(json) == IndexSpec(metric_compression="none")
    assert IndexSpec.from_json(None) == IndexSpec()


@given(st.lists(strings | corner, max_size=20))
def test_strings_sort_by_utf16_code_units(values):
    key = lambda v: (v is not None, (v or "").encode("utf-16-be"))  # noqa: E731
    ordered = sorted(values, key=key)
    assert utf16.sort(pl.Series(values, dtype=pl.String)).to_list() == ordered
    assert sorted((v.encode() for v in values if v is not None), key=utf16.sort_key) == [
        v.encode() for v in ordered if v is not None
    ]
    assert utf16.is_ascending(pl.Series(sorted({v for v in values if v is not None}, key=key), dtype=pl.String))


def files_of(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def many_columns(rows):
    rng = np.random.default_rng(3)
    texts = [f"v{i}" for i in rng.integers(0, 500, rows)]
    numbers = [numeric_column(f"m{i}", "LONG", rng.integers(0, 10**i, rows).tolist(), np.int64) for i in range(4)]
    return [time_column(rows), string_column("a", texts), string_column("b", texts[::-1]), *numbers]


@pytest.mark.parametrize(("limit", "codec"), [(2**31 - 1, "lz4"), (100_000, "lz4"), (2**31 - 1, "zstd")])
def test_columns_made_by_several_threads_give_the_same_files(tmp_path, monkeypatch, limit, codec):
    monkeypatch.setattr("workers.segment.smoosh.Aside.BUFFER_BYTES", 10_000)  # so that files are needed
    rows = 20_000
    for threads in (1, 3):
        index_spec = IndexSpec(dimension_compression=codec, metric_compression=codec)
        spec = spec_of(["a", "b"], [f"m{i}" for i in range(4)], index_spec)
        write_segment(tmp_path / str(threads), spec, many_columns(rows), rows, chunk_limit=limit, threads=threads)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")


def test_a_column_that_fails_in_a_thread_is_named(tmp_path):
    wrong = StringColumn("a", [b"b", b"a"], cut(np.zeros(100, np.int32)))
    with pytest.raises(SegmentError, match="column 'a': its dictionary is not strictly ascending"):
        write_segment(tmp_path / "s", spec_of(["a"]), [time_column(100), wrong], 100, threads=2)


@pytest.mark.parametrize("kind", ["random", "steps"])
def test_blocks_compressed_quickly_are_not_much_larger(tmp_path, kind):
    rows = 400_000
    rng = np.random.default_rng(4)
    values = rng.random(rows) if kind == "random" else np.cumsum(rng.integers(0, 3, rows)) / 8
    sizes = {}
    for level in (0, 3, 8):
        column = NumericColumn("m", "DOUBLE", lambda: iter([(values, None)]))
        spec = spec_of(metrics=["m"], index_spec=IndexSpec(lz4_level=level))
        sizes[level] = write_segment(tmp_path / str(level), spec, [time_column(rows), column], rows)
        assert np.array_equal(SegmentReader(tmp_path / str(level)).read("m").to_numpy(), values)
    assert sizes[3] <= 1.13 * sizes[8]
    assert kind == "random" or sizes[3] < sizes[0]
