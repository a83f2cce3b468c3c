"""The order of Java's hash tables, which shows wherever Druid writes one down."""

from __future__ import annotations

from collections.abc import Iterable


def hash_order(names: Iterable[str]) -> list[str]:
    """Names in the order in which a Java HashSet (or the keys of a HashMap) that they were put into gives them."""
    known = list(dict.fromkeys(names))
    size = 16
    while len(known) * 4 > size * 3:
        size *= 2
    return sorted(known, key=lambda name: _spread_hash(name) & (size - 1))


def _spread_hash(text: str) -> int:
    number = 0
    for unit in memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H"):
        number = (31 * number + unit) & 0xFFFFFFFF
    return number ^ number >> 16
