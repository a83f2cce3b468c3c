"""What is not built is refused when it is posted, in tasks and supervisors alike; what is stored is read."""

import orjson
import pytest

from overlord.model import metric_types
from overlord.model.index_spec import unwritten
from overlord.schemas import load_supervisor, load_task, stored_supervisor
from overlord.schemas.base import load as load_shape
from overlord.schemas.dimensions import DimensionsSpec
from overlord.schemas.faults import SpecRefused
from overlord.settings import Settings
from workers.ingest.rollup import aggregators
from workers.segment.errors import SegmentError
from workers.segment.writer import IndexSpec

SETTINGS = Settings.load(env={})
INDEX_SPECS = [
    ({"bitmap": {"type": "concise"}}, "bitmap.type", "concise", "roaring"),
    ({"dimensionCompression": "LZF"}, "dimensionCompression", "lzf", "lz4"),
    ({"dimensionCompression": "none"}, "dimensionCompression", "none", "lz4"),
    ({"metricCompression": "lzf"}, "metricCompression", "lzf", "lz4"),
    ({"longEncoding": "auto"}, "longEncoding", "auto", "longs"),
    ({"complexMetricCompression": "lz4"}, "complexMetricCompression", "lz4", "leave it out"),
    ({"jsonCompression": "lzf"}, "jsonCompression", "lzf", "lz4"),
]
FILTERED = {"type": "filtered", "filter": {"type": "true"}}
PARTS = [
    ({"dimensionsSpec": {"dimensions": ["a", {"type": "spatial", "name": "s"}]}}, "dimensionsSpec.dimensions[1].type"),
    (
        {"dimensionsSpec": {"dimensions": ["a"], "spatialDimensions": [{"dimName": "s", "dims": ["x", "y"]}]}},
        "dimensionsSpec.dimensions[1].type",
    ),
    ({"projections": [{"name": "p", "type": "aggregate"}]}, "projections"),
    ({"metricsSpec": [{"type": "count", "name": "c"}, {"type": "variance", "name": "v"}]}, "metricsSpec[1].type"),
    (
        {
            "metricsSpec": [
                {"type": "filtered", "aggregator": {"type": "bloom", "name": "b"}, "filter": {"type": "true"}}
            ]
        },
        "metricsSpec[0].aggregator.type",
    ),
]


def schema(**parts):
    return {"dataSource": "ds", "timestampSpec": {"column": "ts"}, "dimensionsSpec": {"dimensions": ["a"]}} | parts


def batch(kind, parts, index_spec):
    io = {"type": kind, "inputSource": {"type": "inline", "data": "{}"}, "inputFormat": {"type": "json"}}
    tuning = {"type": kind, "indexSpec": index_spec}
    return {"type": kind, "spec": {"dataSchema": schema(**parts), "ioConfig": io, "tuningConfig": tuning}}


def compact(parts, index_spec):
    given = {"type": "interval", "interval": "2024-01-01/P1M"}
    io = {"ioConfig": {"type": "compact", "inputSpec": given}}
    return (
        {"type": "compact", "dataSource": "ds"}
        | io
        | parts
        | {"tuningConfig": {"type": "compaction", "indexSpec": index_spec}}
    )


def kafka(parts, index_spec):
    io = {"topic": "t", "consumerProperties": {"bootstrap.servers": "b:1"}, "inputFormat": {"type": "json"}}
    tuning = {"type": "kafka", "indexSpec": index_spec}
    return {"type": "kafka", "spec": {"dataSchema": schema(**parts), "ioConfig": io, "tuningConfig": tuning}}


def autocompact(parts, index_spec):
    tuning = {"tuningConfig": {"indexSpec": index_spec}}
    return {"type": "autocompact", "spec": {"dataSource": "ds"} | parts | tuning}


BODIES = [
    (lambda *a: batch("index", *a), "spec.dataSchema.", "spec.tuningConfig.indexSpec."),
    (lambda *a: batch("index_parallel", *a), "spec.dataSchema.", "spec.tuningConfig.indexSpec."),
    (compact, "", "tuningConfig.indexSpec."),
    (kafka, "spec.dataSchema.", "spec.tuningConfig.indexSpec."),
    (autocompact, "spec.", "spec.tuningConfig.indexSpec."),
]


def load(body):
    if body["type"] in ("kafka", "autocompact"):
        return load_supervisor(body)
    return load_task(body, now_ms=0, default_context={}, settings=SETTINGS)


def refusal(body):
    with pytest.raises(SpecRefused) as refused:
        load(body)
    return refused.value


@pytest.mark.parametrize(("make", "_schema", "path"), BODIES)
@pytest.mark.parametrize(("index_spec", "key", "asked", "instead"), INDEX_SPECS)
def test_an_encoding_that_is_not_written_is_refused_by_name(make, _schema, path, index_spec, key, asked, instead):
    error = refusal(make({}, index_spec))
    assert (error.status, error.where) == (400, path + key)
    assert path + key in error.message and f"[{asked}]" in error.message and instead in error.message
    assert instead in error.hint


@pytest.mark.parametrize(("make", "path", "_tuning"), BODIES)
@pytest.mark.parametrize(("parts", "key"), PARTS)
def test_dimensions_metrics_and_projections_that_are_not_built_are_refused_by_name(make, path, _tuning, parts, key):
    if make is autocompact and "spatialDimensions" in parts.get("dimensionsSpec", {}):
        pytest.skip("a compaction config has none")
    error = refusal(make(parts, {}))
    assert (error.status, error.where) == (400, path + key)
    assert error.hint


@pytest.mark.parametrize(("make", "_schema", "_tuning"), BODIES)
def test_all_that_is_refused_is_told(make, _schema, _tuning):
    error = refusal(make({"projections": [{}]}, {"longEncoding": "auto", "bitmap": {"type": "concise"}}))
    assert [where.rpartition(".")[2] for where, _ in error.faults] == ["projections", "type", "longEncoding"]


@pytest.mark.parametrize(("index_spec", "key", "asked", "instead"), INDEX_SPECS)
def test_the_writer_refuses_what_the_specs_do(index_spec, key, asked, instead):
    plain = {name: value.lower() if isinstance(value, str) else value for name, value in index_spec.items()}
    with pytest.raises(SegmentError, match=f"{key}.*{asked}"):
        IndexSpec.from_json(plain)


def test_what_is_written_is_taken():
    taken = {"bitmap": {"type": "roaring"}, "dimensionCompression": "uncompressed", "metricCompression": "none"}
    for make, _, _ in BODIES:
        load(make({}, taken))
    assert not list(unwritten(taken)) and not list(unwritten(None))


def test_a_stored_supervisor_is_read_though_it_could_not_be_posted():
    spec = autocompact({}, {"longEncoding": "auto"})
    stored = stored_supervisor(orjson.dumps(spec))
    assert stored.payload["spec"]["tuningConfig"]["indexSpec"]["longEncoding"] == "auto"


def test_spatial_dimensions_of_old_are_read_as_druid_writes_them():
    shown = load_shape(
        DimensionsSpec, {"dimensions": ["a"], "spatialDimensions": [{"dimName": "s", "dims": ["x", "y"]}]}
    )
    assert shown["dimensions"][1] == {
        "type": "spatial",
        "name": "s",
        "dims": ["x", "y"],
        "multiValueHandling": "SORTED_ARRAY",
        "createBitmapIndex": True,
    }
    assert "spatialDimensions" not in shown


@pytest.mark.parametrize(
    ("coding", "problem"),
    [
        ({"bucketSize": 3}, "bucketSize must be a power of two but was[3]"),
        ({"bucketSize": 256}, "bucketSize must be a power of two (from 1 up to 128) but was[256]"),
        ({"formatVersion": 2}, "Unknown format version for FrontCodedIndexed [2], must be [0] or [1]"),
    ],
)
def test_front_coding_that_druid_cannot_do_is_refused_in_its_words(coding, problem):
    error = refusal(batch("index", {}, {"stringDictionaryEncoding": {"type": "frontCoded", **coding}}))
    assert problem in error.message
    assert error.where.endswith(f"stringDictionaryEncoding.{next(iter(coding))}")


def test_zstd_without_its_package_is_refused_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr("overlord.model.index_spec.find_spec", lambda _: None)
    error = refusal(batch("index", {}, {"metricCompression": "zstd"}))
    assert (error.status, error.where) == (400, "spec.tuningConfig.indexSpec.metricCompression")
    assert "overlord[zstd]" in error.hint


def test_a_metric_that_is_not_built_is_refused_with_those_that_are():
    error = refusal(batch("index", {"metricsSpec": [{"type": "momentSketch", "name": "m"}]}, {}))
    assert "Metric [m] has type [momentSketch]" in error.message
    assert all(kind in error.message for kind in metric_types.BUILT)


def test_what_is_said_to_be_built_is_what_workers_build():
    assert set(metric_types.BUILT) == {*aggregators.names(), "filtered"}


def test_sketches_without_their_package_are_refused_with_the_way_to_get_it(monkeypatch):
    sketch = {"type": "thetaSketch", "name": "t", "fieldName": "x"}
    load(batch("index", {"metricsSpec": [sketch]}, {}))
    monkeypatch.setattr("overlord.model.metric_types.find_spec", lambda _: None)
    error = refusal(batch("index", {"metricsSpec": [sketch]}, {}))
    assert (error.status, error.where) == (400, "spec.dataSchema.metricsSpec[0].type")
    assert "overlord[sketches]" in error.hint and "datasketches" in error.message


@pytest.mark.parametrize("kind", metric_types.TAKEN)
def test_metrics_that_stock_takes_though_no_task_can_build_them_are_taken(kind):
    fields = {"fields": ["x"]} if kind == "cardinality" else {"fieldName": "x"}
    load(batch("index", {"metricsSpec": [{"type": kind, "name": "m", **fields}]}, {}))
