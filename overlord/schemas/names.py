"""What Druid takes as the name of a task or a datasource."""

from __future__ import annotations

import re

_WHITE = re.compile(r"[\t\n\x0b\f\r]")
_BAD = ((0, 31), (127, 159), (0xD800, 0xF8FF), (0xFFF0, 0xFFFF))
"""UTF-16 code units that Druid refuses: those between these, the ends themselves being good."""
_PLAIN = re.compile(r"[ -\x7e]*")
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
    if _PLAIN.fullmatch(value):
        return None
    units = memoryview(value.encode("utf-16-le", "surrogatepass")).cast("H")
    for position, unit in enumerate(units):
        if any(low < unit < high for low, high in _BAD):
            return f"Value [{value}] contains illegal UTF8 character [#{unit}] at position [{position}]"
    return None
