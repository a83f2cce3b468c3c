"""`POST task?dryRun=true` over a real database and a real nursery."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from overlord import schemas
from overlord.dryrun import dry_run
from overlord.locks import try_acquire
from overlord.model.instant import now_ms
from overlord.model.interval import Interval
from overlord.model.lock import LockRequest, LockType
from overlord.model.task import Location
from overlord.runners.local import LocalRunner
from overlord.settings import Settings
from overlord.store import tasks as store
from tests.store.acting import submit


@pytest.fixture
def parts(tmp_path, db):
    settings = Settings.load(env={}, flags={"ovl.data.dir": str(tmp_path)})
    runner = LocalRunner(settings, lambda: Location(host="localhost", port=1), lambda: "http://localhost:1")
    runner.open()
    yield SimpleNamespace(settings=settings, db=db, runner=runner)
    runner.close()


def body(rows, **tuning):
    return {
        "type": "index",
        "spec": {
            "dataSchema": {
                "dataSource": "d",
                "timestampSpec": {"column": "ts"},
                "dimensionsSpec": {},
                "granularitySpec": {"segmentGranularity": "DAY", "rollup": True},
            },
            "ioConfig": {
                "type": "index",
                "inputSource": {"type": "inline", "data": "\n".join(json.dumps(row) for row in rows)},
                "inputFormat": {"type": "json"},
            },
            "tuningConfig": {"type": "index", **tuning},
        },
    }


def test_the_input_is_sampled_and_nothing_is_stored(parts):
    rows = [{"ts": "2024-01-01", "a": 1}, {"ts": "2024-01-01", "a": 1}, {"ts": "2024-01-03", "a": 2}, {"ts": "no"}]
    told = dry_run(parts, body(rows))
    assert told["valid"] and told["faults"] == []
    assert told["sample"]["complete"] and told["sample"]["badShare"] == 0.25
    assert told["sample"]["badRows"][0]["input"] == {"ts": "no"}
    assert [each["rows"] for each in told["intervals"]] == [2, 1]
    assert told["segments"] == {"exact": True, "timeChunks": 2, "bytes": 99, "rows": 2, "segments": 2}
    assert [each["outcome"] for each in told["locks"]] == ["free", "free"]
    with parts.db.transaction() as tx:
        assert not store.task_exists(tx, told["task"]["id"])


def test_who_holds_a_lock_that_is_needed_is_named(parts):
    holder = submit(parts.db, "holder", datasource="d", priority=100)
    interval = Interval.parse("2024-01-01/2024-01-02")
    with parts.db.transaction() as tx:
        request = LockRequest(interval=interval, type=LockType.EXCLUSIVE)
        assert try_acquire(tx, holder, request, now_ms=now_ms()).lock
    told = dry_run(parts, body([{"ts": "2024-01-01", "a": 1}]))
    (lock,) = told["locks"]
    assert (lock["outcome"], lock["blockers"][0]["task_id"]) == ("waits", "holder")
    assert "holder" in told["warnings"][0]["message"]


def test_every_fault_is_told_at_once_with_its_path_and_what_was_meant(parts):
    wrong = body([{"ts": "2024-01-01"}], maxRowsInMemory="many")
    wrong["spec"]["ioConfig"]["inputFormat"]["type"] = "jsn"
    wrong["spec"]["ioConfig"]["maxRowsPerSegment"] = 5
    wrong["spec"]["dataSchema"]["dataSource"] = "a/b"
    wrong["contxt"] = {}
    told = dry_run(parts, wrong)
    assert not told["valid"]
    assert {each["path"]: each["hint"] for each in told["faults"]} == {
        "spec.dataSchema.dataSource": None,
        "spec.ioConfig.inputFormat.type": "did you mean 'json'?",
        "spec.tuningConfig.maxRowsInMemory": None,
    }
    assert {each["path"]: each["hint"] for each in told["warnings"]} == {
        "contxt": "did you mean context?",
        "spec.ioConfig.maxRowsPerSegment": "did you mean spec.tuningConfig.maxRowsPerSegment?",
    }


def test_input_that_cannot_be_read_is_a_fault(parts, tmp_path):
    wrong = body([{}])
    wrong["spec"]["ioConfig"]["inputSource"] = {"type": "local", "files": [str(tmp_path / "nowhere.json")]}
    told = dry_run(parts, wrong)
    assert not told["valid"] and "nowhere.json" in told["faults"][0]["message"]


def test_more_bad_rows_than_are_allowed_are_warned_of(parts):
    told = dry_run(parts, body([{"ts": "no"}, {"ts": "2024-01-01"}], maxParseExceptions=0))
    assert told["valid"] and "would fail" in told["warnings"][0]["message"]


def test_a_large_input_is_judged_by_its_first_rows(parts, tmp_path):
    line = json.dumps({"ts": "2024-01-01", "a": "x" * 50, "n": "%06d"}) + "\n"
    (tmp_path / "large.json").write_text("".join(line % number for number in range(20_000)))
    large = body([{}], maxRowsPerSegment=5_000)
    large["spec"]["ioConfig"]["inputSource"] = {"type": "local", "files": [str(tmp_path / "large.json")]}
    told = dry_run(parts, large)
    assert not told["sample"]["complete"] and told["sample"]["rowsRead"] == 2000
    assert told["segments"]["segments"] == 4
    assert abs(told["segments"]["rows"] - 20_000) < 1000


def test_known_properties_are_not_warned_of(parts):
    task = {"type": "noop", "runTime": 1, "context": {"anything": 1}}
    assert dry_run(parts, task)["warnings"] == []
    assert schemas.load_task(task, now_ms=0, default_context={}, settings=parts.settings)
