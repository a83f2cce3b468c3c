"""Regular expressions as Java writes them, for Python's engine."""

from __future__ import annotations

import functools
import re

_NAMED_GROUP = re.compile(r"\(\?<(?![=!])")
_POSIX = {
    "Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9", "Upper": "A-Z", "Lower": "a-z", "Space": r"\s",
    "Punct": re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), "XDigit": "0-9a-fA-F",
}  # fmt: skip
_CLASS = re.compile(r"\\p\{(\w+)\}")


@functools.lru_cache(512)
def java_pattern(pattern: str, flags: int = re.ASCII) -> re.Pattern[str]:
    """The same expression for Python; `\\d`, `\\w` and `\\s` mean ASCII, as in Java.

    Raises
    ------
    ValueError
        It is none, or has what only Java knows.
    """
    adapted = _NAMED_GROUP.sub("(?P<", pattern)
    adapted = _CLASS.sub(lambda match: f"[{_POSIX[match[1]]}]" if match[1] in _POSIX else match[0], adapted)
    try:
        return re.compile(adapted.replace(r"\z", r"\Z"), flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
