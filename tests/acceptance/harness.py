"""`overlord serve` from outside: started, asked over HTTP, killed, started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import requests

API = "/druid/indexer/v1"

template: Path | None = None
"""A folder of the embedded Postgres that a server starts from in place of making its own."""


class Server:
    """One `overlord serve`.

    Parameters
    ----------
    data_dir : Path
    env : dict
        More of the environment, such as OVL_FAULT.
    arguments : str
        More arguments.
    """

    def __init__(self, data_dir: Path, env: dict[str, str] | None = None, *arguments: str) -> None:
        self.data_dir = data_dir
        self.env = env or {}
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.dsn = ""

    def start(self, *, leads: bool = True) -> None:
        """Start it; returns when it leads, or, if `leads` is False, when it answers."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if template is not None and not (self.data_dir / "postgres").exists():
            shutil.copytree(template, self.data_dir / "postgres")
            access = self.data_dir / "postgres" / "access.json"
            known = json.loads(access.read_text())  # another one may be started from the copy at the same time
            access.write_text(json.dumps({**known, "port": random.randrange(12_000, 30_000)}))
        command = [sys.executable, "-m", "overlord", "serve", "--port", "0", "--data-dir", str(self.data_dir)]
        with (self.data_dir / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, "ovl_stop_grace": "PT0S", **self.env},
                start_new_session=True,
            )
        self.until(self._known, 90)
        if leads:
            self.until(lambda: self.get("/isLeader").status_code == 200, 90)

    def _known(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log()
        known = json.loads((self.data_dir / "server.json").read_text())
        self.url, self.dsn = known["url"], known["dsn"]
        return known["pid"] == self.process.pid

    def log(self) -> str:
        """What it has logged."""
        return (self.data_dir / "server.log").read_text()

    def kill(self) -> None:
        """SIGKILL, to the server alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(90)

    def clean_up(self) -> None:
        """End whatever of it still runs."""
        if self.process is None:
            return
        if self.process.poll() is not None:
            self.env = {name: value for name, value in self.env.items() if name != "OVL_FAULT"}
            self.start(leads=False)
        with contextlib.suppress(requests.RequestException, psycopg.Error):
            self.until(lambda: self.get("/isLeader").status_code == 200, 15)
            for task in self.get("/tasks?state=running").json():
                self.post(f"/task/{task['id']}/shutdown")
        self.stop()

    # ---- HTTP ----

    def get(self, path: str) -> requests.Response:
        """GET below the API."""
        return requests.get(self.url + API + path, timeout=90, allow_redirects=False)

    def post(self, path: str, body: object = None) -> requests.Response:
        """POST below the API."""
        return requests.post(self.url + API + path, json=body, timeout=90, allow_redirects=False)

    def submit(self, task: dict) -> str:
        """Submit a task; gives its id."""
        answer = self.post("/task", task)
        assert answer.status_code == 200, answer.text
        return answer.json()["task"]

    def noop(self, task_id: str, ms: int, **more: object) -> str:
        """Submit a noop."""
        return self.submit({"type": "noop", "id": task_id, "runTime": ms, **more})

    def status(self, task_id: str) -> dict:
        """The status."""
        return self.get(f"/task/{task_id}/status").json()["status"]

    def until_state(self, task_id: str, *states: str, timeout_s: float = 90) -> dict:
        """Wait until the task is in one of these; gives its status."""

        def look() -> dict | None:
            status = self.status(task_id)
            state = status["statusCode"] if status["statusCode"] != "RUNNING" else status["runnerStatusCode"]
            return status if state in states else None

        return self.until(look, timeout_s)

    def until(self, ask, timeout_s: float):
        """Ask until the answer is true; failures of the connection count as no answer."""
        deadline = time.monotonic() + timeout_s
        last: object = None
        while time.monotonic() < deadline:
            try:
                last = ask()
            except (requests.RequestException, OSError, ValueError, KeyError) as error:
                last = error
            else:
                if last:
                    return last
            time.sleep(0.05)
        raise AssertionError(f"not within {timeout_s} s, last {last}\n{self.log()[-3000:]}")

    # ---- inside ----

    def sql(self, query: str, *values: object) -> list[tuple]:
        """Rows of the metadata store."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            return conn.execute(query, values).fetchall()

    def pid_of(self, task_id: str) -> int:
        """Process of a running task."""

        def look() -> int | None:
            ((identity,),) = self.sql("SELECT identity FROM ovl_tasks WHERE id = %s", task_id)
            return identity and identity["pid"]

        return self.until(look, 90)

    def postgres_pid(self) -> int:
        """Process of the embedded Postgres."""
        (found,) = (self.data_dir / "postgres").glob("*/postmaster.pid")  # the other folders may go while we look
        return int(found.read_text().split()[0])


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def index_task(task_id: str, datasource: str, *, append: bool = False) -> dict:
    """Three rows on two days."""
    rows = [{"t": f"2024-01-0{day}T0{hour}:00:00Z", "page": "a"} for day, hour in ((1, 1), (1, 2), (2, 1))]
    return {
        "type": "index",
        "id": task_id,
        "spec": {
            "dataSchema": {
                "dataSource": datasource,
                "timestampSpec": {"column": "t", "format": "iso"},
                "dimensionsSpec": {"dimensions": ["page"]},
                "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": False},
            },
            "ioConfig": {
                "type": "index",
                "inputSource": {"type": "inline", "data": "\n".join(map(json.dumps, rows))},
                "inputFormat": {"type": "json"},
                "appendToExisting": append,
            },
        },
    }


def kill(pid: int) -> None:
    """SIGKILL a process."""
    os.kill(pid, signal.SIGKILL)
