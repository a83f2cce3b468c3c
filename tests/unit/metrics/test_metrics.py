"""Numbers and their page."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from overlord.app import create_app
from overlord.errors import Unavailable
from overlord.metrics import METRICS, Meters
from overlord.metrics import tasks as of_tasks

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def client():
    """The application over a store with one unfinished task; `client.away = True` takes the store away."""

    @contextmanager
    def transaction():
        if client.away:
            raise Unavailable("away")
        yield SimpleNamespace(all=lambda name: [{"state": "WAITING", "datasource": "ds", "size": 3}])

    runner = SimpleNamespace(capacity=lambda: 4, used=lambda: 1)
    leader = SimpleNamespace(is_leader=lambda: False, url=lambda: None)
    parts = SimpleNamespace(db=SimpleNamespace(transaction=transaction), runner=runner, leader=leader)
    client = create_app(parts).test_client()
    client.away = False
    return client


def page(client):
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.content_type.startswith("text/plain; version=")
    return samples(answer.text)


def test_the_page_tells_what_is_so_now_on_a_server_that_does_not_lead_too(client):
    told = page(client)
    assert told["druid_task_waiting_count", ("dataSource", "ds")] == 3
    assert (told[("druid_taskSlot_used_count",)], told[("druid_taskSlot_idle_count",)]) == (1, 3)
    assert (told[("ovl_leader",)], told[("ovl_database_up",)]) == (0, 1)


def test_the_page_answers_without_the_database(client):
    client.away = True
    assert page(client)[("ovl_database_up",)] == 0


def test_requests_are_counted_by_route_not_by_path(client):
    def seen():
        told = page(client)
        labels = ("method", "GET"), ("route", "/druid/indexer/v1/task/{task_id}/status"), ("status", "503")
        unknown = ("method", "other"), ("route", "unknown"), ("status", "405")
        return [told.get(("ovl_http_request_time_seconds_count", *each), 0) for each in (labels, unknown)]

    before = seen()
    for number in range(3):
        client.get(f"/druid/indexer/v1/task/t{number}/status")
        client.open(f"/nope/{number}", method=f"M{number}")
    assert seen() == [count + 3 for count in before]


def test_a_label_keeps_so_many_values_and_adds_up_the_rest():
    meters = Meters(most_values=2)
    for name in "abcda":
        meters.count("segment/added/count", 2, dataSource=name)
    told = samples(meters.page([("task/running/count", {"dataSource": name}, 1) for name in "acd"]).decode())
    added = {key[1][1]: value for key, value in told.items() if key[0] == "druid_segment_added_count_total"}
    assert added == {"a": 4, "b": 2, "other": 4}
    assert told["druid_task_running_count", ("dataSource", "other")] == 2


def test_moves_of_a_task_are_times_and_counts(client):
    row = {"datasource": "moved", "type": "noop", "created_date": "2024-01-01T00:00:00.000Z"}
    row |= {"queue_insertion_time": "2024-01-01", "started_date": "2024-01-01", "from_state": "RUNNING"}
    of_tasks.moved("locked", {**row, "state": "PENDING"})
    of_tasks.moved("started", {**row, "state": "RUNNING"})
    of_tasks.moved("succeeded", {**row, "state": "SUCCESS"})
    of_tasks.moved("shutdown", {**row, "state": "FAILED", "from_state": "WAITING"})
    of_tasks.published("moved", [5, 6])
    told = page(client)
    who = ("dataSource", "moved"), ("taskType", "noop")
    for name in ("waiting", "pending"):
        assert told[f"druid_task_{name}_time_seconds_count", *who] == 1
    assert told["druid_task_run_time_seconds_count", who[0], ("taskStatus", "SUCCESS"), who[1]] == 1
    assert ("druid_task_run_time_seconds_count", who[0], ("taskStatus", "FAILED"), who[1]) not in told
    assert told["druid_task_failed_count_total", *who] == told["druid_task_success_count_total", *who] == 1
    assert told["druid_segment_added_bytes_total", who[0]] == 11


def test_an_action_that_fails_is_counted_and_timed(client):
    for error in (None, KeyError("x")):
        try:
            with of_tasks.acting("someAction"):
                if error:
                    raise error
        except KeyError:
            pass
    told = page(client)
    assert told["druid_task_action_run_time_seconds_count", ("taskActionType", "someAction")] == 2
    assert told["druid_task_action_failed_count_total", ("taskActionType", "someAction")] == 1


def test_every_metric_is_documented():
    told = PAGE.read_text()
    assert [metric.exposed for metric in METRICS.values() if f"`{metric.exposed}`" not in told] == []
