"""The process itself: version, memory, health, settings. Every server answers these, leading or not."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from flask import Blueprint, Response

from overlord.api.wire import answer, nothing, services

bp = Blueprint("status", __name__)


@bp.get("/status")
def status() -> Response:
    """Version, parts and memory, in the shape of a Druid service."""
    return answer({"version": version_of("overlord"), "modules": _modules(), "memory": _memory()})


@bp.get("/status/health")
def health() -> Response:
    """`true` as long as this answers at all."""
    return answer(True)


@bp.get("/status/selfDiscovered/status")
def self_discovered_status() -> Response:
    """Whether others find this server: through the database it serves, always."""
    return answer({"selfDiscovered": True})


@bp.get("/status/selfDiscovered")
def self_discovered() -> Response:
    """The same as a bare status, for load balancers."""
    return nothing()


@bp.get("/status/properties")
def properties() -> Response:
    """All settings as texts; passwords and keys are left out."""
    return answer(services().settings.public_properties())


def version_of(package: str) -> str:
    """Its version, if it is installed."""
    try:
        return version(package)
    except PackageNotFoundError:  # run from a tree that is not installed
        return "unknown"


def _modules() -> list[dict[str, str]]:
    """This package, the Python below it, and every plugin with its package."""
    modules = [
        {"name": "overlord", "artifact": "overlord", "version": version_of("overlord")},
        {"name": f"python.{sys.implementation.name}", "version": platform.python_version()},
    ]
    for group in sorted(name for name in entry_points().groups if name.startswith("overlord.")):
        for point in entry_points(group=group):
            package = point.dist
            modules.append(
                {
                    "name": f"{group}.{point.name}",
                    **({"artifact": package.name, "version": package.version} if package else {}),
                }
            )
    return modules


def _memory() -> dict[str, Any]:
    """Of this process: what it may use (its cgroup's limit, or all RAM), has reserved, and has in use."""
    page = os.sysconf("SC_PAGE_SIZE")
    reserved, resident = (int(field) * page for field in Path("/proc/self/statm").read_text().split()[:2])
    most = os.sysconf("SC_PHYS_PAGES") * page
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        most = min(most, int(text))
    return {
        "maxMemory": most,
        "totalMemory": max(reserved, resident),
        "freeMemory": max(0, most - resident),
        "usedMemory": resident,
        "directMemory": 0,
    }
