"""Properties of a spec that nobody knows."""

from __future__ import annotations

import pytest

from overlord.schemas.unknown import unknown_properties


def spec(**more):
    return {
        "type": "index_parallel",
        "spec": {
            "dataSchema": {
                "dataSource": "d",
                "dimensionsSpec": {"dimensions": ["a", {"type": "long", "name": "b"}, {"type": "string", "nam": "c"}]},
                "metricsSpec": [{"type": "count", "name": "n"}, {"type": "bloom", "anything": 1}],
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "inline", "data": "x"},
                "inputFormat": {"type": "json", "flattenSpec": {"fields": ["plain", {"type": "root", "nme": "x"}]}},
            },
            **more,
        },
        "context": {"whatever": {"is": "here"}},
    }


def test_they_are_found_at_any_depth_with_the_nearest_right_name():
    assert [str(each) for each in unknown_properties(spec(tuningConfg={}))] == [
        "spec.tuningConfg (did you mean tuningConfig?)",
        "spec.dataSchema.dimensionsSpec.dimensions[2].nam (did you mean name?)",
        "spec.ioConfig.inputFormat.flattenSpec.fields[1].nme (did you mean name?)",
    ]


def test_one_that_belongs_elsewhere_is_told_where():
    found = unknown_properties(spec(appendToExisting=True))[0]
    assert found.nearest == "spec.ioConfig.appendToExisting"


@pytest.mark.parametrize(
    "body", [None, [], {"type": None}, {"type": ["x"]}, {"type": "no"}, {"type": "index", "spec": 5}]
)
def test_what_is_no_spec_has_none(body):
    assert unknown_properties(body) == []
