"""Segments out of batches: the same rows, however they come and wherever they are kept meanwhile."""

import math
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlord.model.granularity import Granularity
from overlord.model.interval import Interval
from workers.ingest.batch import Batch
from workers.ingest.building import AllocatedBuckets, Buckets, BuildSchema, Limits, SegmentBuilder, tables
from workers.ingest.building import merge as merging
from workers.ingest.partition.dynamic import DynamicPartitions
from workers.segment.reader import SegmentReader

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_704_067_200_000
METRICS = [
    {"type": "count", "name": "n"},
    {"type": "longSum", "name": "total", "fieldName": "x"},
    {"type": "doubleMax", "name": "most", "fieldName": "y"},
]
DIMENSIONS = ["s", "mv", {"type": "long", "name": "l"}, {"type": "double", "name": "d"}]


def schema(*, rollup=True, dimensions=DIMENSIONS, metrics=METRICS, query="HOUR", **more):
    spec = {
        "dataSchema": {
            "timestampSpec": {"column": "ts", "format": "millis", "missingValue": None},
            "dimensionsSpec": {"dimensions": dimensions, **more},
            "metricsSpec": metrics,
            "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": query, "rollup": rollup},
        },
        "tuningConfig": {},
    }
    return BuildSchema.from_spec(spec, {})


def batch(rows, lists=True):
    dtypes = {
        "__time": pl.Int64,
        "s": pl.String,
        "mv": pl.List(pl.String) if lists else pl.String,
        "l": pl.Int64,
        "d": pl.Float64,
        "total": pl.Int64,
        "most": pl.Float64,
    }
    columns = {name: pl.Series(name, [r.get(name) for r in rows], dtype=dtype) for name, dtype in dtypes.items()}
    return Batch(
        columns=columns,
        file=np.zeros(len(rows), np.int32),
        line=np.arange(1, len(rows) + 1),
        files=("f",),
    )


def build(batches, folder, *, of=None, buckets=None, partitions=None, limits=None):
    of = of or schema()
    buckets = buckets or Buckets(Granularity.parse("DAY"))
    builder = SegmentBuilder(
        of, buckets, partitions or DynamicPartitions(), scratch=Path(folder), limits=limits or Limits()
    )
    for one in batches:
        builder.add(one)
    return list(builder.finish())


def rows_of(segments):
    """By interval and order: rows as tuples, floats as bits."""
    out = {}
    for built in segments:
        reader = SegmentReader(built.directory)
        assert reader.interval == built.interval
        rows = [tuple(plain(v) for v in row.values()) for row in reader.rows()]
        assert len(rows) == built.rows
        assert built.size == sum(f.stat().st_size for f in built.directory.iterdir())
        out[built.interval.start, built.order] = rows
    return out


def plain(value):
    return struct.pack(">d", value) if isinstance(value, float) else value


# ---- the plain version ----


def utf16(text):
    return (0, b"") if text is None else (1, text.encode("utf-16-be"))


def number(value):
    if value is None:
        return (0, 0, 0)
    if math.isnan(value):
        return (2, 0, 0)
    return (1, value, math.copysign(1, value) if value == 0 else 0)


def listed(value):
    return [utf16(v) for v in (value or [None])]


def key(row):
    return (
        row["__time"] // HOUR * HOUR,
        utf16(row["s"]),
        listed(row["mv"]),
        (row["l"] is not None, row["l"] or 0),
        number(row["d"]),
    )


def plainly(rows, rollup):
    days = {}
    for row in sorted(rows, key=key):
        day = days.setdefault(row["__time"] // DAY * DAY, [])
        if rollup and day and key(day[-1][0]) == key(row):
            day[-1].append(row)
        else:
            day.append([row])
    return days


def shown(group, multi):
    first = group[0]
    totals = [r["total"] for r in group if r["total"] is not None]
    mosts = [r["most"] for r in group if r["most"] is not None]
    mv = first["mv"] or [None]
    mv = mv[0] if len(mv) == 1 else mv
    most = None
    if mosts:
        most = math.nan if any(map(math.isnan, mosts)) else max(mosts, key=number)
    return {
        "__time": first["__time"] // HOUR * HOUR,
        "s": first["s"],
        "mv": mv,
        "l": first["l"],
        "d": first["d"],
        "n": len(group),
        "total": (sum(totals) + 2**63) % 2**64 - 2**63 if totals else None,
        "most": most,
    }


def same(a, b):
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return plain(a) == plain(b)


TEXT = st.sampled_from([None, "", "a", "b", "é", "\uffee", "\U0001f600", "zz"])
VALUE = st.sampled_from([None, 0.0, -0.0, 1.5, -1.5, math.nan, math.inf])
ROW = st.fixed_dictionaries(
    {
        "__time": st.integers(T0 - DAY, T0 + 2 * DAY),
        "s": TEXT,
        "mv": st.one_of(st.none(), st.lists(TEXT, max_size=3)),
        "l": st.sampled_from([None, 0, -(2**63), 2**63 - 1, 3]),
        "d": VALUE,
        "total": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "most": VALUE,
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW, min_size=1, max_size=40), st.booleans(), st.integers(1, 12), st.integers(1, 8), st.data())
def test_any_split_into_batches_and_spills_gives_the_plain_rows(rows, rollup, per_batch, in_memory, data):
    block = data.draw(st.integers(1, 5))
    batches = [batch(rows[i : i + per_batch]) for i in range(0, len(rows), per_batch)]
    with TemporaryDirectory() as folder:
        limits = Limits(rows=in_memory, block_rows=block) if data.draw(st.booleans()) else Limits()
        built = build(batches, folder, of=schema(rollup=rollup), limits=limits)
        expected = plainly(rows, rollup)
        assert [(b.interval.start, b.order) for b in built] == [(day, 0) for day in sorted(expected)]
        for one in built:
            got = list(SegmentReader(one.directory).rows())
            want = [shown(group, True) for group in expected[one.interval.start]]
            assert len(got) == len(want)
            for g, w in zip(got, want, strict=True):
                for name in w:
                    value = g[name]
                    if value in ("NaN", "Infinity", "-Infinity"):
                        value = float(value.replace("Infinity", "inf"))
                    assert same(value, w[name]), (name, g, w)


def random_rows(count, seed=3):
    rng = np.random.default_rng(seed)
    words = [None, "", *(f"w{i:03d}" for i in range(300)), "\uffee", "\U0001f600"]
    lists = [None, [], [None], *([words[i], words[j]] for i in range(2, 12) for j in range(2, 9)), ["w001"]]
    return [
        {
            "__time": T0 + int(rng.integers(0, 3 * DAY)),
            "s": words[int(rng.integers(0, len(words)))],
            "mv": lists[int(rng.integers(0, len(lists)))],
            "l": int(rng.integers(0, 3)),
            "d": None,
            "total": int(rng.integers(-5, 5)),
            "most": float(rng.integers(0, 9)),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("rollup", [True, False])
def test_many_runs_with_everything_on_disk(tmp_path, monkeypatch, rollup):
    """More runs than are merged at once, dictionaries of several blocks."""
    monkeypatch.setattr(merging, "FAN_IN", 5)
    monkeypatch.setattr(merging._ListCursor, "BLOCK", 7)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 200)
    monkeypatch.setattr(tables, "_KEEP_BYTES", 0)
    rows = random_rows(3000)
    batches = [batch(rows[i : i + 100]) for i in range(0, len(rows), 100)]
    one_pass = build(batches, tmp_path / "memory", of=schema(rollup=rollup))
    spilled = build(batches, tmp_path / "disk", of=schema(rollup=rollup), limits=Limits(rows=100, block_rows=64))
    assert rows_of(spilled) == rows_of(one_pass)
    for a, b in zip(one_pass, spilled, strict=True):
        for file in a.directory.iterdir():
            assert file.read_bytes() == (b.directory / file.name).read_bytes(), file.name


def test_one_hot_key_is_more_than_a_block(tmp_path):
    rows = [{"__time": T0, "s": "a", "mv": ["x", "y"], "l": 1, "d": 0.5, "total": i} for i in range(200)]
    batches = [batch(rows[i : i + 40]) for i in range(0, 200, 40)]
    (segment,) = build(batches, tmp_path, of=schema(rollup=False), limits=Limits(rows=40, block_rows=16))
    assert SegmentReader(segment.directory).read("total").to_list() == list(range(200))


def test_a_column_that_turns_multi_value_late(tmp_path):
    early = [{"__time": T0 + i, "s": "a", "mv": f"v{i % 3}", "total": 1} for i in range(6)]
    late = [{"__time": T0 + 9, "s": "a", "mv": ["v0", "v9"], "total": 1}]
    for folder, limits in (("memory", Limits()), ("disk", Limits(rows=3, block_rows=4))):
        (segment,) = build(
            [batch(early[:3], lists=False), batch(early[3:], lists=False), batch(late)],
            tmp_path / folder,
            limits=limits,
        )
        assert [r["mv"] for r in SegmentReader(segment.directory).rows()] == ["v0", ["v0", "v9"], "v1", "v2"]


def test_a_dimension_that_turns_up_late_is_null_before(tmp_path):
    first = batch([{"__time": T0, "s": "b"}, {"__time": T0, "s": "a"}])
    bare = Batch(
        columns={n: first.columns[n] for n in ("__time", "s")}, file=first.file, line=first.line, files=first.files
    )
    second = batch([{"__time": T0, "s": "a", "mv": ["late"]}])
    for folder, limits in (("memory", Limits()), ("disk", Limits(rows=2, block_rows=2))):
        of = schema(dimensions=[], metrics=METRICS[:1])
        (segment,) = build([bare, second], tmp_path / folder, of=of, limits=limits)
        got = [(r["s"], r["mv"], r["n"]) for r in SegmentReader(segment.directory).rows()]
        assert got == [("a", None, 1), ("a", "late", 1), ("b", None, 1)]
        assert segment.dimensions[:2] == ("s", "mv")


def test_empty_columns_are_kept_as_the_spec_says(tmp_path):
    rows = batch([{"__time": T0, "s": "a"}])
    (kept,) = build([rows], tmp_path / "1", of=schema())
    assert kept.dimensions == ("s", "mv", "l", "d")
    dropping = BuildSchema.from_spec(
        {
            "dataSchema": {
                "timestampSpec": {},
                "dimensionsSpec": {"dimensions": DIMENSIONS},
                "granularitySpec": {},
                "metricsSpec": METRICS,
            }
        },
        {"storeEmptyColumns": False},
    )
    (dropped,) = build([rows], tmp_path / "2", of=dropping)
    assert dropped.dimensions == ("s", "l", "d")


def test_order_not_by_time(tmp_path):
    of = schema(dimensions=["s", {"type": "long", "name": "__time"}, "mv"], forceSegmentSortByTime=False)
    rows = [{"__time": T0 + h * HOUR, "s": s} for h in (30, 2, 1) for s in ("b", "a")]
    first, second = build([batch(rows)], tmp_path, of=of)
    got = [(r["s"], (r["__time"] - T0) // HOUR) for r in SegmentReader(first.directory).rows()]
    assert got == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert SegmentReader(second.directory).num_rows == 2
    assert [o["columnName"] for o in of.metadata()["ordering"]] == ["s", "__time", "mv"]


# ---- partitions ----


@pytest.mark.parametrize("per_batch", [1, 7, 100, 1000])
@pytest.mark.parametrize("rollup", [True, False])
def test_segments_close_at_the_very_row_that_fills_them(tmp_path, per_batch, rollup):
    rows = [{"__time": T0, "s": f"{i // 2:04d}", "total": 1} for i in range(500)]  # each twice
    batches = [batch(rows[i : i + per_batch]) for i in range(0, 500, per_batch)]
    limits = DynamicPartitions(max_rows_per_segment=100)
    segments = build(batches, tmp_path, of=schema(rollup=rollup), partitions=limits)
    assert [s.order for s in segments] == list(range(len(segments)))
    if rollup:
        # The row that completes a hundred closes the segment: its twin begins the next one.
        assert [s.rows for s in segments] == [100, 100, 52]
    else:
        assert [s.rows for s in segments] == [100] * 5


def test_one_full_segment_closes_all_open_ones(tmp_path):
    rows = [{"__time": T0 + (i % 2) * DAY, "s": f"{i}"} for i in range(10)]
    segments = build([batch(rows)], tmp_path, partitions=DynamicPartitions(max_rows_per_segment=3))
    got = [((s.interval.start - T0) // DAY, s.order, s.rows) for s in segments]
    assert got == [(0, 0, 3), (1, 0, 2), (0, 1, 2), (1, 1, 3)]


def test_total_rows_close_all(tmp_path):
    rows = [{"__time": T0 + i * DAY, "s": "a"} for i in range(5)]
    segments = build([batch(rows)], tmp_path, partitions=DynamicPartitions(max_total_rows=2))
    assert [s.rows for s in segments] == [1] * 5 and {s.order for s in segments} == {0}


# ---- chunks ----


def test_only_rows_of_the_given_intervals_chunks_are_kept():
    buckets = Buckets(Granularity.parse("DAY"), [Interval(T0 + HOUR, T0 + 2 * HOUR), Interval(T0 + DAY, T0 + 2 * DAY)])
    times = np.array([T0 - 1, T0, T0 + DAY - 1, T0 + DAY, T0 + 2 * DAY])
    assert buckets.keep(times).tolist() == [False, True, True, True, False]
    assert buckets.keep(times[1:4]) is None
    assert Buckets(Granularity.parse("DAY")).keep(times) is None


def test_chunks_of_a_millisecond_are_not_listed():
    century = Interval.parse("2000/2100")
    buckets = Buckets(Granularity.parse("NONE"), [century])
    assert buckets.wanted == [century]
    assert buckets.within([Interval(T0, T0 + 2)]) == [Interval(T0, T0 + 1), Interval(T0 + 1, T0 + 2)]


def test_all_keeps_given_intervals_as_they_are():
    given_interval = Interval(T0 + HOUR, T0 + 2 * HOUR)
    buckets = Buckets(Granularity.parse("ALL"), [given_interval])
    assert buckets.keep(np.array([T0, T0 + HOUR])).tolist() == [False, True]
    (start,) = buckets.starts(np.array([T0 + HOUR + 5]))
    assert buckets.interval(int(start)) == given_interval


def test_allocated_chunks_follow_the_answer():
    asked = []

    def allocate(ms):
        asked.append(ms)
        hour = ms // HOUR * HOUR
        return Interval(hour, hour + HOUR) if ms < T0 + DAY else Interval(T0 + DAY, T0 + 9 * DAY)

    buckets = AllocatedBuckets(Granularity.parse("DAY"), [], allocate)
    times = np.array([T0 + 5, T0 + HOUR, T0 + 7, T0 + 3 * DAY, T0 + 2 * DAY])
    assert buckets.starts(times).tolist() == [T0, T0 + HOUR, T0, T0 + DAY, T0 + DAY]
    assert asked == [T0 + 5, T0 + HOUR, T0 + 3 * DAY]
    assert buckets.interval(T0) == Interval(T0, T0 + HOUR)
