"""Which property names a Druid 33 knows, so that a stock file gives warnings and a slip of the pen gives an error."""

from __future__ import annotations

import re
from functools import cache

from overlord.settings.sources import config_text


@cache
def _known() -> tuple[frozenset[str], re.Pattern[str]]:
    lines = [line.strip() for line in config_text("druid-keys.txt").splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    exact = frozenset(name for name in names if "*" not in name)
    # `*` is one or more characters: a name may have further dots in it.
    patterns = [re.escape(name).replace(r"\*", ".+") for name in names if "*" in name]
    return exact, re.compile("|".join(patterns) or "(?!)")


def is_druid_key(name: str) -> bool:
    """Whether a Druid 33, one of its extensions or its JVM knows this property."""
    exact, pattern = _known()
    return name in exact or pattern.fullmatch(name) is not None


def druid_names() -> frozenset[str]:
    """The names known exactly, to find the nearest one to a typing error."""
    return _known()[0]
