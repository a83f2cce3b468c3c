"""Druid's password providers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from overlord.errors import TaskFailed


def password_of(given: Any, where: str) -> str | None:
    """A password: as it is, or from a provider of type `default` or `environment`.

    Raises
    ------
    TaskFailed
        The provider is not known, or its variable is not set where the task runs.
    """
    if given is None or isinstance(given, str):
        return given
    kind = given.get("type", "default") if isinstance(given, Mapping) else type(given).__name__
    if kind == "default":
        return None if given.get("password") is None else str(given["password"])
    if kind == "environment":
        name = str(given.get("variable") or "")
        if name not in os.environ:
            raise TaskFailed(f"The environment variable {name!r}, which holds a password, is not set", where=where)
        return os.environ[name]
    raise TaskFailed(f"Unknown password provider {kind!r} ({where}). Known: default, environment", where=where)
