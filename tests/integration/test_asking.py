"""Questions put to helper processes, over a real nursery."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from overlord.errors import BadRequest, Unavailable
from overlord.model.task import Location
from overlord.runners.asking import NoAnswer
from overlord.runners.local import LocalRunner
from overlord.sampling import sample
from overlord.schemas.sampler import load_sampler
from overlord.settings import Settings


@pytest.fixture
def make(tmp_path):
    made = []

    def runner(**flags):
        settings = Settings.load(env={}, flags={"ovl.data.dir": str(tmp_path), **flags})
        one = LocalRunner(settings, lambda: Location(host="localhost", port=1), lambda: "http://localhost:1")
        one.open()
        made.append(one)
        return one, settings

    yield runner
    for one in made:
        one.close()


def spec(data="", source=None, **config):
    return load_sampler(
        {
            "type": "index",
            "spec": {
                "type": "index",
                "ioConfig": {
                    "type": "index",
                    "inputSource": source or {"type": "inline", "data": data},
                    "inputFormat": {"type": "json"},
                },
                "dataSchema": {"dataSource": "d", "timestampSpec": {"column": "ts"}, "dimensionsSpec": {}},
            },
            "samplerConfig": config,
        }
    )


@pytest.fixture
def endless(tmp_path):
    """A question that nothing but its time ends: a pipe without a writer cannot be opened."""
    os.mkfifo(tmp_path / "pipe.json")
    return spec(source={"type": "local", "files": [str(tmp_path / "pipe.json")]}, timeoutMs=60_000)


def leftovers(tmp_path):
    return list(tmp_path.rglob(".asks/*-*"))


def pid_of(runner):
    """Process of the one open question."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for question in list(runner._asking._open.values()):
            if question.pid is not None:
                return question.pid
        time.sleep(0.01)
    raise AssertionError("no process in 20 s")


def test_an_answer_comes_and_nothing_is_left_behind(make, tmp_path):
    runner, settings = make()
    answer = orjson.loads(sample(runner, settings, spec('{"ts":"2024-01-01","a":1}')))
    assert answer["numRowsIndexed"] == 1
    assert not leftovers(tmp_path)


def test_reading_ends_in_time_with_what_there_is(make, endless):
    runner, settings = make()
    endless["samplerConfig"]["timeoutMs"] = 200
    assert orjson.loads(sample(runner, settings, endless))["numRowsRead"] == 0


def test_a_process_that_does_not_answer_in_time_is_killed(make, tmp_path, endless, monkeypatch):
    monkeypatch.setattr("overlord.runners.asking._GRACE_S", 0.2)
    runner, _ = make()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(runner.ask, "sample", endless, 3)
        pid = pid_of(runner)
        with pytest.raises(NoAnswer, match="No answer within"):
            asked.result(30)
    assert not leftovers(tmp_path)
    deadline = time.monotonic() + 90
    while Path("/proc", str(pid)).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path("/proc", str(pid)).exists()


def test_the_end_of_a_helper_is_told(make, endless):
    runner, _ = make()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(runner.ask, "sample", endless, 60)
        os.kill(pid_of(runner), signal.SIGKILL)
        with pytest.raises(NoAnswer, match="was ended by SIGKILL"):
            asked.result(30)


def test_input_that_takes_too_much_memory_gives_no_answer_and_harms_nobody(make, tmp_path):
    huge = tmp_path / "huge.json"
    huge.touch()
    os.truncate(huge, 1 << 30)  # one line of nothing
    runner, settings = make(**{"ovl.ask.memoryBytes": 96 << 20, "ovl.ask.timeout": "PT60S"})
    with pytest.raises(BadRequest, match=r"Failed to sample data: .*memory"):
        sample(runner, settings, spec(source={"type": "local", "files": [str(huge)]}, timeoutMs=60_000))
    assert orjson.loads(sample(runner, settings, spec('{"ts":"2024-01-01"}', timeoutMs=60_000)))["numRowsRead"] == 1


def test_more_questions_than_places_are_turned_away(make, endless):
    runner, _ = make(**{"ovl.ask.processes": 1})
    with ThreadPoolExecutor() as pool:
        first = pool.submit(runner.ask, "sample", endless, 60)
        pid = pid_of(runner)
        with pytest.raises(Unavailable) as raised:
            runner.ask("sample", endless, 0.05)
        assert raised.value.headers["Retry-After"]
        os.kill(pid, signal.SIGKILL)
        assert isinstance(first.exception(30), NoAnswer)
