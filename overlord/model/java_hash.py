"""Hash codes of Java and the order of its hash tables, which shows wherever Druid writes one down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = 0xFFFF_FFFF


def of_text(text: str | None) -> int:
    """`String.hashCode`; 0 for null."""
    code = 0
    for unit in memoryview((text or "").encode("utf-16-le", "surrogatepass")).cast("H"):
        code = (31 * code + unit) & _MASK
    return code


def of_all(codes: Iterable[int], start: int = 1) -> int:
    """`List.hashCode` and `Objects.hash` of things with such codes."""
    for code in codes:
        start = (31 * start + code) & _MASK
    return start


def of_long(value: int) -> int:
    """`Long.hashCode`."""
    bits = value & 0xFFFF_FFFF_FFFF_FFFF
    return (bits ^ bits >> 32) & _MASK


def order(items: Sequence[T], code: Callable[[T], int]) -> list[T]:
    """Distinct items in the order in which a HashSet (or the keys of a HashMap) they were put into gives them."""
    size = 16
    while 4 * len(items) > 3 * size:
        size *= 2

    def slot(item: T) -> int:
        number = code(item)
        return (number ^ number >> 16) & (size - 1)

    return sorted(items, key=slot)


def hash_order(names: Iterable[str]) -> list[str]:
    """The same for names, of which some may be there twice."""
    return order(list(dict.fromkeys(names)), of_text)
