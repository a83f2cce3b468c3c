"""Calls to servers, and specs, for the tests beside a stock Druid."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
FLIGHTS = HERE / "data" / "nycflights13.csv.gz"
LONGS = (
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay",
    "flight", "air_time", "distance", "hour", "minute",
)  # fmt: skip
STRINGS = ("carrier", "tailnum", "origin", "dest")
ROWS = 336_776


def call(url, body=None, timeout=60):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.loads(answer.read())


def until(ask, timeout_s, what):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            found = ask()
        except OSError as error:
            found = None
            last = error
        else:
            last = found
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {timeout_s} s, last {last}")


def spec(datasource, source, schema, text):
    return {
        "type": "index_parallel",
        "spec": {
            "dataSchema": {"dataSource": datasource, **schema},
            "ioConfig": {"type": "index_parallel", "inputSource": source, "inputFormat": text},
            "tuningConfig": {"type": "index_parallel"},
        },
    }


def ingest(overlord, task):
    api = overlord["url"] + "/druid/indexer/v1/task"
    task_id = call(api, task)["task"]

    def ended():
        status = call(f"{api}/{task_id}/status")["status"]
        return status if status["statusCode"] != "RUNNING" else None

    status = until(ended, 120, task_id)
    assert status["statusCode"] == "SUCCESS", status
