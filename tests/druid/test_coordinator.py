"""A stock Coordinator finds our Overlord by a node in ZooKeeper, and sends it what it has an Overlord do."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from .asking import HERE, call, ingest, spec, until
from .conftest import BASE

pytestmark = pytest.mark.druid

COORDINATOR = f"http://127.0.0.1:{BASE + 1}/druid/coordinator/v1"
JARS = Path(os.environ.get("DRUID_PEER_CACHE", Path.home() / ".cache" / "druid-peer-33.0.0")) / "lib"


def zookeeper(*words):
    program = HERE / "peer" / "ZkNode.java"
    command = ["java", "-cp", f"{JARS}/*", str(program), f"127.0.0.1:{BASE}", *words]
    subprocess.run(command, check=True, timeout=120)


@pytest.fixture
def announced(overlord, broker):
    """As docs/coordinator.md says."""
    where = urlsplit(overlord["url"])
    node = {"service": "druid/overlord", "host": where.hostname, "plaintextPort": where.port}
    told = {"druidNode": {**node, "enablePlaintextPort": True}, "nodeType": "overlord", "services": {}}
    path = f"/druid/internal-discovery/OVERLORD/{where.netloc}"
    zookeeper(path, json.dumps(told, separators=(",", ":")))
    yield
    zookeeper(path)


def test_segments_are_marked_through_a_stock_coordinator(overlord, announced):
    rows = [{"t": f"2024-03-0{day}T00:00:00Z", "a": day} for day in (1, 2, 3)]
    schema = {
        "timestampSpec": {"column": "t", "format": "iso"},
        "dimensionsSpec": {"dimensions": [{"type": "long", "name": "a"}]},
        "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": False},
    }
    source = {"type": "inline", "data": "\n".join(map(json.dumps, rows))}
    ingest(overlord, spec("marked", source, schema, {"type": "json"}))

    def mark():
        try:
            return call(f"{COORDINATOR}/datasources/marked/markUnused", {"interval": "2024-03-01/2024-03-03"})
        except HTTPError as error:
            assert error.code >= 500  # it has not seen the node yet
            return None

    assert until(mark, 120, "an Overlord for the Coordinator") == {"numChangedSegments": 2, "segmentStateChanged": True}
