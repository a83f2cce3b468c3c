"""Servers in processes of their own, to be killed."""

from __future__ import annotations

import pytest

from .harness import Server


@pytest.fixture
def server(tmp_path):
    """A running server on a folder of its own, with its embedded Postgres."""
    server = Server(tmp_path / "data")
    server.start()
    yield server
    server.clean_up()
