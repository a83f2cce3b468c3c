"""Which part may know which, as docs/architecture.md says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = {"model", "registry", "errors", "faults"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            for name in node.names:
                yield f"{node.module}.{name.name}"
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield name.name


def test_workers_know_little_of_the_server():
    for path in (ROOT / "workers").rglob("*.py"):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "overlord" and len(parts) > 1:
                assert parts[1] in SHARED, f"{path.relative_to(ROOT)} imports {name}"


def test_arrows_point_one_way():
    above = ("overlord.api.", "overlord.cli.", "overlord.service.", "overlord.app.")
    for folder in ("store", "locks", "actions", "model", "schemas", "tasks", "supervisors", "notify"):
        for path in (ROOT / "overlord" / folder).rglob("*.py"):
            for name in imports(path):
                assert not f"{name}.".startswith(above), f"{path.relative_to(ROOT)} imports {name}"


def test_the_server_does_not_load_polars():
    code = "import sys, overlord.service; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
