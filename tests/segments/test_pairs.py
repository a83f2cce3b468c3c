"""Pairs of times and numbers: what is written is read."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.segment.reader import SegmentReader
from workers.segment.write_complex import PAIRS
from workers.segment.writer import PairColumn, write_segment

from .test_writer import spec_of, time_column

NEAR = st.integers(-(2**20), 2**20)
TIMES = st.one_of(st.lists(NEAR, min_size=1, max_size=40), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))


@pytest.mark.parametrize("kind", PAIRS)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=TIMES, data=st.data())
def test_pairs_come_back_as_they_were(kind, times, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("segment")
    rows = len(times)
    values = data.draw(st.lists(st.none() | st.integers(-8, 8), min_size=rows, max_size=rows))
    nulls = np.array([v is None for v in values])
    numbers = np.array([v or 0 for v in values], PAIRS[kind])

    def chunks():
        for start in range(0, rows, 7):
            part = slice(start, start + 7)
            yield np.array(times[part], np.int64), numbers[part], nulls[part] if nulls[part].any() else None

    write_segment(folder / "s", spec_of(metrics=["p"]), [time_column(rows), PairColumn("p", kind, chunks)], rows)
    reader = SegmentReader(folder / "s")
    expected = [{"lhs": t, "rhs": v} for t, v in zip(times, values, strict=True)]
    assert reader.read("p").to_list() == expected
    half = rows // 2
    assert reader.read("p", half).to_list() == expected[half:]
