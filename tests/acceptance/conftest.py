"""Servers in processes of their own, to be killed."""

from __future__ import annotations

import fcntl
import shutil

import pytest

from . import harness
from .harness import Server


@pytest.fixture(scope="session", autouse=True)
def metadata_template(tmp_path_factory, worker_id):
    """A new database folder to copy from, one for all xdist workers: half of a server's first start is `initdb`."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    made = shared / "metadata-template"
    with (shared / "metadata-template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            server = Server(shared / "metadata-first")
            server.start()
            server.stop()
            shutil.move(server.data_dir / "postgres", made)
    harness.template = made
    yield
    harness.template = None


@pytest.fixture
def server(tmp_path):
    """A running server on a folder of its own, with its embedded Postgres."""
    server = Server(tmp_path / "data")
    server.start()
    yield server
    server.clean_up()
