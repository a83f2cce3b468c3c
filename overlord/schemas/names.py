"""What Druid takes as the name of a task or a datasource."""

from __future__ import annotations

import re

_WHITE = re.compile(r"[^\S ]")
MOST = 255
"""Characters that the columns of the metadata tables hold."""


def problem_of(field: str, value: str | None) -> str | None:
    """Druid's text for a name that it refuses; None for a good one."""
    text = _problem(value)
    return None if text is None else f"Invalid value for field [{field}]: {text}"


def _problem(value: str | None) -> str | None:
    if not value:
        return "must not be null"
    if value.startswith("."):
        return f"Value [{value}] cannot start with '.'."
    if "/" in value:
        return f"Value [{value}] cannot contain '/'."
    if _WHITE.search(value):
        return f"Value [{value}] contains illegal whitespace characters.  Only space is allowed."
    for position, character in enumerate(value):
        if ord(character) < 32 or 127 <= ord(character) < 160:
            return f"Value [{value}] contains illegal UTF8 character [#{ord(character)}] at position [{position}]"
    return None
