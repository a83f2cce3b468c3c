"""One Overlord of ours, and one stock Druid 33.0.0 over its Postgres and deep storage, for all tests of a session.

`peer/druid.py` brings up Coordinator, Historical and Broker on loopback; its jars come by Maven, once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from .asking import HERE, call, until

BASE = 28080


@pytest.fixture(scope="session")
def overlord(tmp_path_factory):
    """Our server in a process of its own: its URL, its DSN and its folder."""
    folder = tmp_path_factory.mktemp("overlord")
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "overlord", "serve", "--port", "0", "--data-dir", str(folder / "data")]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    known = folder / "data" / "server.json"
    try:
        until(known.exists, 60, "server.json")
        server = json.loads(known.read_text())
        until(lambda: call(server["url"] + "/druid/indexer/v1/isLeader"), 60, "isLeader")
        yield {**server, "data": folder / "data"}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="session")
def broker(overlord, tmp_path_factory):
    """Druid SQL of a stock Broker."""
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.fail("java and mvn are needed; `make test` leaves these tests out")
    root = tmp_path_factory.mktemp("druid")
    peer = [sys.executable, str(HERE / "peer" / "druid.py")]
    where = ["--root", str(root)]
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    storage = ["--storage", str(overlord["data"] / "segments"), "--port-base", str(BASE)]
    subprocess.run([*peer, "fetch"], check=True, env=env)
    try:
        subprocess.run([*peer, "up", *where, "--dsn", overlord["dsn"], *storage], check=True, env=env)

        def ask(query):
            return call(f"http://127.0.0.1:{BASE + 5}/druid/v2/sql", {"query": query, "resultFormat": "array"})

        yield ask
    finally:
        subprocess.run([*peer, "down", *where], env=env)


@pytest.fixture(scope="session")
def loaded(overlord, broker):
    """Wait until the Historical serves every segment that is used and not overshadowed of a datasource."""

    def wait(datasource):
        action = {"type": "segmentListUsed", "dataSource": datasource, "intervals": [ALWAYS]}
        asker = {"type": "noop", "id": "asker", "dataSource": datasource}
        used = call(overlord["url"] + "/druid/indexer/v1/action", {"task": asker, "action": action})["result"]
        names = {segment["identifier"] for segment in used}
        assert names, f"nothing was published to {datasource}"
        query = f"SELECT segment_id FROM sys.segments WHERE datasource = '{datasource}' AND is_available = 1"
        until(lambda: names <= {row[0] for row in broker(query)}, 150, f"segments of {datasource} on the Historical")
        # the Broker learns of a new table a little later; until then it answers 400
        until(lambda: broker(f'SELECT COUNT(*) FROM "{datasource}"'), 60, f"table {datasource} on the Broker")
        return broker

    return wait


ALWAYS = "-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"
