"""schemathesis finds no failure in a running server, by what the server says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import Server

ROOT = Path(__file__).parents[2]  # of schemathesis.toml


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.stop()


def find_failures(server, folder, *arguments):
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "run", f"{server.url}/openapi.json", "--checks", "all", "--no-color", "--continue-on-failure"]
    told = subprocess.run(
        [*command, "--report-dir", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)},
    )
    assert told.returncode == 0, told.stdout[-20_000:] + told.stderr[-2000:]


def test_no_check_of_schemathesis_fails(server, tmp_path):
    find_failures(server, tmp_path, "--max-examples", "2", "--seed", "7")


@pytest.mark.long
def test_no_check_of_schemathesis_fails_in_many_examples(server, tmp_path):
    find_failures(server, tmp_path, "--max-examples", "60")
