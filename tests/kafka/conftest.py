"""One broker for all, and servers to be killed."""

from __future__ import annotations

import pytest

from tests.acceptance.harness import Server

from .broker import Broker, can_run


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/kafka" in str(item.path) and not any(item.iter_markers("unit")):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    if not can_run():
        pytest.skip("needs a JDK and Maven")
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "data", None, "--workers", "4")
    server.start()
    yield server
    server.clean_up()


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A server that nobody kills; each test has a topic of its own."""
    server = Server(tmp_path_factory.mktemp("shared") / "data", None, "--workers", "8")
    server.start()
    yield server
    server.clean_up()
