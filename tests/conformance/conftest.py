"""One server for all scenarios of a session (of a worker of xdist: each has its own)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # conform and conform_ext import each other by name


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """A broker for the scenarios that need one, unless CONFORM_KAFKA names it."""
    import conform_ext

    from tests.kafka.broker import Broker, can_run

    if conform_ext.GIVEN.get("kafka"):
        yield
        return
    if not can_run():
        pytest.skip("needs a JDK and Maven")
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    conform_ext.GIVEN["kafka"] = broker.address
    yield
    del conform_ext.GIVEN["kafka"]
    broker.stop()


@pytest.fixture(scope="session")
def base_url(tmp_path_factory):
    from overlord.service import OverlordServer
    from overlord.settings import Settings

    folder = tmp_path_factory.mktemp("conformance")
    flags = {"ovl.data.dir": str(folder), "druid.plaintextPort": 0, "druid.worker.capacity": 6}
    server = OverlordServer(Settings.load(env={}, flags=flags))
    try:
        server.start()
        deadline = time.monotonic() + 60
        while not server.leader.is_leader() and time.monotonic() < deadline:
            time.sleep(0.05)
        import conform_ext

        conform_ext.GIVEN["pg"] = server.dsn()
        yield server.url
    finally:
        server.stop(grace_s=0)
