"""Every row lands in the part that Druid's rules name, whether parts are cut in memory or on disk."""

import json
from collections import Counter
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from overlord.errors import TaskFailed
from overlord.model.granularity import Granularity
from workers.ingest.building import Buckets, Limits
from workers.ingest.partition import DynamicPartitions, HashedPartitions, RangePartitions, partitioning
from workers.ingest.partition.group_keys import quoted
from workers.ingest.partition.murmur import buckets_of, murmur3_32
from workers.segment.reader import SegmentReader

from .test_builder import DAY, HOUR, T0, batch, build, schema

TEXTS = st.sampled_from(["a", "b", "ab", "", "é", "\u2028", '"\\', "\n\x01", "\uffee", "😀", "z" * 9])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "__time": st.integers(T0, T0 + 2 * DAY - 1),
            "s": st.none() | TEXTS,
            "mv": st.none() | st.lists(TEXTS, max_size=3),
            "l": st.none() | st.integers(-3, 300),
            "d": st.just(None),
            "total": st.integers(0, 5),
            "most": st.just(1.0),
        }
    ),
    min_size=1,
    max_size=60,
)
SPILL = Limits(rows=5, block_rows=3)


def murmur(data):
    """The plain version."""

    def rotate(word, bits):
        return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF

    def scramble(word):
        return rotate(word * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF

    state, end = 0, len(data) // 4 * 4
    for at in range(0, end, 4):
        state = rotate(state ^ scramble(int.from_bytes(data[at : at + 4], "little")), 13) * 5 + 0xE6546B64 & 0xFFFFFFFF
    state ^= scramble(int.from_bytes(data[end:], "little")) if end < len(data) else 0
    state ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        state = (state ^ state >> shift) * factor & 0xFFFFFFFF
    return state - (1 << 32) if state >> 31 else state


def written(value):
    """Jackson's compact JSON."""
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{written(k)}:{written(v)}" for k, v in value.items()) + "}"
    return quoted(value) if isinstance(value, str) else str(value)


def values(value):
    if value is None:
        return []
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def utf16(text):
    return b"" if text is None else b"\1" + text.encode("utf-16-be")


def built(rows, partitions, folder, limits=None, **how):
    """By day: shard spec and rows of each segment."""
    found = {}
    buckets = Buckets(Granularity.parse("DAY"))
    for one in build([batch(rows)], folder, of=schema(**how), partitions=partitions, buckets=buckets, limits=limits):
        rows = list(SegmentReader(one.directory).rows())
        found.setdefault(one.interval.start, []).append((one.shard_spec.to_json(), one.order, rows))
    return found


@given(st.lists(st.binary(max_size=41), max_size=30))
def test_many_hashes_at_once_are_those_of_one_at_a_time(strings):
    hashes = murmur3_32(b"".join(strings), np.array([len(s) for s in strings], np.int64))
    assert hashes.tolist() == [murmur(s) for s in strings]


def test_buckets_are_those_of_java_for_negative_hashes():
    hashes = np.array([-7, 7, -2147483648, 2147483647], np.int32)
    assert buckets_of(hashes, 3).tolist() == [1, 1, 2, 1]


@pytest.mark.parametrize(
    ("text", "json_text"),
    [('a"b', '"a\\"b"'), ("\x01\n", '"\\u0001\\n"'), ("é", '"é"'), ("😀", '"\\uD83D\\uDE00"'), ("/\x7f", '"/\x7f"')],
)
def test_strings_are_escaped_as_jackson_does(text, json_text):
    assert quoted(text) == json_text


@pytest.mark.parametrize("dimensions", [(), ("s",), ("s", "l"), ("mv",)])
@pytest.mark.parametrize("limits", [None, SPILL])
@given(rows=ROWS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_row_lies_in_the_bucket_of_its_hash(dimensions, limits, rows):
    partitions = HashedPartitions(num_shards=3, dimensions=dimensions)
    with TemporaryDirectory() as folder:
        days = built(rows, partitions, folder, limits)
    assert sum(row["n"] for parts in days.values() for _, _, found in parts for row in found) == len(rows)
    for parts in days.values():
        assert [order for _, order, _ in parts] == list(range(len(parts)))
        for spec, _, found in parts:
            for row in found:
                if dimensions:
                    key = [values(row[name]) for name in dimensions]
                else:
                    dims = {k: values(row[k]) for k in sorted(("s", "mv", "l", "d"))}
                    key = [row["__time"], {k: sorted(set(v), key=utf16) for k, v in dims.items() if v}]
                assert spec["bucketId"] == abs(int(np.fmod(murmur(written(key).encode()), 3)))
                assert (spec["numBuckets"], spec["partitionDimensions"]) == (3, list(dimensions))


@pytest.mark.parametrize(("target", "shards"), [(10, 5), (20, 3), (50, 1), (49, 2), (1000, 1)])
def test_without_numshards_rolled_up_rows_are_counted_a_chunk(target, shards, tmp_path):
    rows = [{"__time": T0 + i % 50 * 1000, "s": str(i % 50), "total": 1} for i in range(150)]
    days = built(rows, HashedPartitions(target_rows=target), tmp_path)
    assert {spec["numBuckets"] for parts in days.values() for spec, _, _ in parts} == {shards}


@pytest.mark.parametrize(
    ("rows", "most", "parts"), [(8, 8, 2), (15, 8, 3), (24, 8, 4), (31, 8, 5), (33, 8, 5), (10, 1, 10)]
)
def test_a_margin_for_an_error_of_druids_sketch_is_kept_below_the_most_rows(rows, most, parts):
    assert RangePartitions(dimensions=("s",), max_rows=most).count(rows) == parts


@pytest.mark.parametrize(("query", "truncated"), [("ALL", -(2**62)), ("DAY", T0 // DAY * DAY), ("HOUR", T0)])
def test_the_time_that_is_hashed_may_lie_before_the_rows_chunk(query, truncated, tmp_path):
    rows = [{"__time": T0, "s": str(i), "total": 1} for i in range(20)]
    partitions = HashedPartitions(num_shards=4, query_granularity=Granularity.parse(query))
    buckets = Buckets(Granularity.parse("HOUR"))
    of = schema(query=query)
    for one in build([batch(rows)], tmp_path, of=of, partitions=partitions, buckets=buckets):
        for row in SegmentReader(one.directory).rows():
            key = [truncated, {"s": [row["s"]]}]
            assert one.shard_spec.to_json()["bucketId"] == abs(int(np.fmod(murmur(written(key).encode()), 4)))


def test_sub_tasks_round_the_number_of_shards_to_the_nearest(tmp_path):
    rows = [{"__time": T0 + i * 1000, "s": str(i), "total": 1} for i in range(50)]
    days = built(rows, HashedPartitions(target_rows=21, by_sub_tasks=True), tmp_path)
    assert {spec["numBuckets"] for parts in days.values() for spec, _, _ in parts} == {2}


def test_equal_rows_count_once_for_the_number_of_shards_though_they_stay(tmp_path):
    rows = [{"__time": T0 + i % 5 * 1000, "s": str(i % 5), "total": 1} for i in range(50)]
    partitions = HashedPartitions(target_rows=5, rollup=False)
    with_all = built(rows, partitions, tmp_path, rollup=False)
    assert [len(found) for parts in with_all.values() for _, _, found in parts] == [50]


@pytest.mark.parametrize("shards", [None, 4])
def test_parts_are_numbered_as_they_turn_up(shards, tmp_path):
    rows = [{"__time": T0 + i, "s": str(i), "total": 1} for i in range(40)]
    days = built(rows, HashedPartitions(num_shards=shards, target_rows=10, dimensions=("s",)), tmp_path)
    (parts,) = days.values()
    hashes = [murmur(written([[str(i)]]).encode()) for i in range(40)]
    turned_up = list(dict.fromkeys(abs(int(np.fmod(each, 4))) for each in hashes))
    assert [spec["bucketId"] for spec, _, _ in parts] == turned_up


@pytest.mark.parametrize("limits", [None, SPILL])
@pytest.mark.parametrize("dimensions", [("s",), ("s", "l"), ("l", "s")])
@given(rows=ROWS, target=st.integers(1, 12))
@example(rows=[{"__time": T0, "s": None, "l": i, "total": 1} for i in range(9)], target=2)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_ranges_are_cut_at_even_ranks_of_rolled_up_rows(limits, dimensions, rows, target):
    with TemporaryDirectory() as folder:
        days = built(rows, RangePartitions(dimensions=dimensions, target_rows=target), folder, limits)
    assert sum(row["n"] for parts in days.values() for _, _, found in parts for row in found) == len(rows)

    def key(row):
        return tuple(None if row.get(name) is None else str(row[name]) for name in dimensions)

    for parts in days.values():
        keys = sorted((key(row) for _, _, found in parts for row in found), key=lambda k: [utf16(v) for v in k])
        count = max(1, int(len(keys) / target + 0.5))
        quantiles = [keys[0], *(keys[i * len(keys) // count] for i in range(1, count)), keys[-1]]
        cuts = list(dict.fromkeys(quantiles))[1:-1]
        bounds = list(zip([None, *cuts], [*cuts, None], strict=True))
        assert [bound(spec) for spec, _, _ in parts] == bounds
        for (low, high), (_, _, found) in zip(bounds, parts, strict=True):
            for row in found:
                place = [utf16(v) for v in key(row)]
                assert low is None or place >= [utf16(v) for v in low]
                assert high is None or place < [utf16(v) for v in high]


def bound(spec):
    if spec["type"] == "single":
        return tuple(None if spec[k] is None and k != "x" else (spec[k],) for k in ("start", "end"))
    return tuple(spec[k] and tuple(spec[k]) for k in ("start", "end"))


@pytest.mark.parametrize("name", ["hashed", "range"])
def test_parts_are_the_same_on_disk_and_in_memory(name, tmp_path):
    rows = [
        {
            "__time": T0 + i * HOUR // 7,
            "s": f"v{i * 7919 % 40}",
            "mv": [f"m{i % 3}", f"m{i % 5}"],
            "l": i % 9,
            "total": i,
        }
        for i in range(400)
    ]
    made = HashedPartitions(num_shards=4) if name == "hashed" else RangePartitions(dimensions=("s", "l"), max_rows=40)
    again = HashedPartitions(num_shards=4) if name == "hashed" else made
    assert built(rows, made, tmp_path / "a") == built(rows, again, tmp_path / "b", SPILL)


def test_ranges_refuse_rows_with_several_values(tmp_path):
    rows = [{"__time": T0, "mv": ["a", "b"], "total": 1}]
    with pytest.raises(TaskFailed, match="multi-value dimension \\[mv\\]"):
        built(rows, RangePartitions(dimensions=("mv",), target_rows=1), tmp_path)


def test_cuts_that_were_found_before_are_kept_to(tmp_path):
    rows = [{"__time": T0, "s": s, "total": 1} for s in ("a", "b", "c", "d", None)]
    partitions = RangePartitions(dimensions=("s",), target_rows=1, bounds_of={T0: [("b",), ("bb",), ("c5",)]})
    ((_, parts),) = built(rows, partitions, tmp_path).items()
    assert [(spec["start"], spec["end"], [r["s"] for r in found]) for spec, _, found in parts] == [
        (None, "b", [None, "a"]),
        ("b", "bb", ["b"]),
        ("bb", "c5", ["c"]),
        ("c5", None, ["d"]),
    ]


@pytest.mark.parametrize(
    ("tuning", "made"),
    [
        ({}, DynamicPartitions()),
        ({"maxRowsPerSegment": 7}, DynamicPartitions(max_rows_per_segment=7)),
        ({"forceGuaranteedRollup": True}, HashedPartitions()),
        ({"numShards": 3, "partitionDimensions": ["a"]}, HashedPartitions(num_shards=3, dimensions=("a",))),
        ({"partitionsSpec": {"type": "hashed", "targetRowsPerSegment": 9}}, HashedPartitions(target_rows=9)),
        (
            {"partitionsSpec": {"type": "single_dim", "partitionDimension": "a", "maxRowsPerSegment": 9}},
            RangePartitions(dimensions=("a",), max_rows=9),
        ),
        (
            {"partitionsSpec": {"type": "range", "partitionDimensions": ["a", "b"], "targetRowsPerSegment": 9}},
            RangePartitions(dimensions=("a", "b"), target_rows=9),
        ),
    ],
)
def test_a_tuningconfig_says_how_rows_are_parted(tuning, made):
    assert partitioning(json.loads(json.dumps(tuning))) == made


def test_a_hashed_segment_is_numbered_as_its_bucket_turned_up(tmp_path):
    rows = [{"__time": T0 + i, "s": s, "total": 1} for i, s in enumerate("hgfedcba" * 3)]
    ((_, parts),) = built(rows, HashedPartitions(num_shards=3, dimensions=("s",)), tmp_path).items()
    seen = list(dict.fromkeys(abs(int(np.fmod(murmur(f'[["{s}"]]'.encode()), 3))) for s in "hgfedcba"))
    assert [spec["bucketId"] for spec, _, _ in parts] == seen
    assert Counter(order for _, order, _ in parts) == Counter(range(len(seen)))
