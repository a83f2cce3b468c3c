"""Many small segments are written by helpers; nobody can tell, whatever becomes of the helpers."""

import os
import signal
import sys
import threading

import numpy as np
import pytest

from workers.ingest.building import spread as spreading
from workers.segment.errors import SegmentError

from .test_builder import DAY, T0, batch, build, schema

DAYS = 40


def input_rows():
    return [
        {"__time": T0 + day * DAY + i, "s": f"v{i % 3}é", "mv": ["a", f"b{day}"] if i % 2 else [], "l": i, "d": i / 3}
        for day in range(DAYS)
        for i in range(5)
    ]


def files_of(segments):
    return [
        (s.interval, s.order, s.rows, s.size, {f.name: f.read_bytes() for f in sorted(s.directory.iterdir())})
        for s in segments
    ]


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """What one process writes."""
    with monkeypatch.context() as patch:
        patch.setattr(spreading, "MOST_HELPERS", 1)
        return files_of(build([batch(input_rows())], tmp_path / "alone", of=schema(rollup=False)))


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def test_helpers_write_the_same_bytes_in_the_same_order(tmp_path, alone, two_cores, monkeypatch):
    started = []
    start = spreading._Helper.__init__
    monkeypatch.setattr(spreading._Helper, "__init__", lambda self, *a: (started.append(1), start(self, *a))[1])
    assert files_of(build([batch(input_rows())], tmp_path / "spread", of=schema(rollup=False))) == alone
    assert len(started) == 2
    assert len(alone) == DAYS


def test_what_a_killed_helper_left_is_written_by_the_parent(tmp_path, alone, two_cores, monkeypatch):
    take = spreading._Helper.next
    taken = []

    def next_after_a_kill(self):
        taken.append(1)
        if len(taken) == 5:
            os.kill(self._process.pid, signal.SIGKILL)
        return take(self)

    monkeypatch.setattr(spreading._Helper, "next", next_after_a_kill)
    assert files_of(build([batch(input_rows())], tmp_path / "spread", of=schema(rollup=False))) == alone


def test_an_error_in_a_helper_is_raised_as_without_helpers(tmp_path, two_cores):
    metrics = [{"type": "count", "name": "a,b"}]
    with pytest.raises(SegmentError, match="its name has a comma"):
        build([batch(input_rows())], tmp_path, of=schema(rollup=False, metrics=metrics))


def test_no_helper_outlives_a_builder_that_is_given_up(tmp_path, two_cores, monkeypatch):
    pids = []
    start = spreading._Helper.__init__

    def noted(self, *arguments):
        start(self, *arguments)
        pids.append(self._process.pid)

    monkeypatch.setattr(spreading._Helper, "__init__", noted)
    monkeypatch.setattr(spreading, "MANY_SEGMENTS", 2)

    def emit(run, n):
        threading.Event().wait(0 if n < 2 else 60)
        return n

    run = _run()
    segments = spreading.spread(run, [1] * DAYS, emit, lambda n: tmp_path / str(n))
    assert next(segments) == 0
    segments.close()
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_helper_calls_nothing_of_polars(tmp_path, two_cores, monkeypatch):
    """Its threads are not there after a fork: a call could wait for ever."""
    seen = []

    def watch(frame, event, argument):
        if event == "call" and "/polars/" in frame.f_code.co_filename:
            seen.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")

    class InThisProcess:
        def __init__(self, run, numbers, emit):
            self.run, self.numbers, self.emit = run, iter(numbers), emit

        def next(self):
            sys.setprofile(watch)
            try:
                return self.emit(self.run, next(self.numbers))
            finally:
                sys.setprofile(None)

        def end(self):
            pass

    monkeypatch.setattr(spreading, "_Helper", InThisProcess)
    assert len(build([batch(input_rows())], tmp_path, of=schema(rollup=False))) == DAYS
    assert seen == []


def _run():
    from workers.ingest.building.run import Run

    times = np.arange(DAYS, dtype=np.int64)
    return Run(chunk=times, time=times, dimensions={})
