"""The column of a segment that holds objects, or lists of objects or lists: JSON, with a column for each path.

A path leads to scalars and to arrays of scalars; their types follow from the values there, as with whole columns.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ingest import structured
from workers.ingest.building.autos import BITS, Dictionary, type_of, typed
from workers.segment import smile, utf16
from workers.segment.write_nested import Field, JsonColumn

Ints = npt.NDArray[Any]

_ROOT = "$"
_NONE = structured.values_of([])


def is_nested(value: Any) -> bool:
    """Whether only JSON can hold it."""
    if isinstance(value, list):
        return any(isinstance(item, list | dict) for item in value)
    return isinstance(value, dict)


def json_column(
    name: str, found: structured.Values, codes: Callable[[], Iterator[Ints]], *, has_nulls: bool
) -> JsonColumn:
    """The column of some rows; see `autos.auto_column`."""
    found_at: dict[str, _Path] = {}
    raws = [b""] * has_nulls
    for code, value in enumerate(found, int(has_nulls)):
        raws.append(smile.encode(value))
        for path, leaf in _leaves(value, _ROOT):
            if path not in found_at:
                found_at[path] = _Path()
            found_at[path].add(code, leaf)
    names = sorted(found_at, key=lambda path: utf16.sort_key(path.encode()))
    paths = [found_at[name] for name in names]
    dictionary = Dictionary(_NONE, [leaf for path in paths for leaf in path.leaves], zero=None)
    ids = np.split(dictionary.ids, np.cumsum([len(path.leaves) for path in paths])[:-1])
    return JsonColumn(
        name=name,
        has_nulls=has_nulls,
        strings=dictionary.strings,
        longs=dictionary.longs,
        doubles=dictionary.doubles,
        arrays=dictionary.arrays,
        raws=raws,
        fields=[path.field(name, own) for name, path, own in zip(names, paths, ids, strict=False)],
        codes=codes,
    )


class _Path:
    """What some values of a column have at one path; each leaf is kept once."""

    def __init__(self) -> None:
        self.leaves: list[Any] = []
        self._known: dict[Any, int] = {}
        self._codes = array("q")
        self._which = array("q")

    def add(self, code: int, leaf: Any) -> None:
        """The value of this code has that leaf."""
        key = _key(leaf)
        which = self._known.get(key)
        if which is None:
            which = self._known[key] = len(self.leaves)
            self.leaves.append(leaf)
        self._codes.append(code)
        self._which.append(which)

    def field(self, path: str, ids: Ints) -> Field:
        """The column of this path, whose leaves have these global ids."""
        logical, types = type_of(_NONE, self.leaves)
        if types is not None and logical.startswith("ARRAY") and types < BITS["ARRAY<STRING>"]:
            types += BITS[logical]  # arrays without an item, beside scalars of several types; whole columns lack it
        return Field(
            path=path,
            types=BITS[logical] if types is None else types,
            single=logical if types is None else None,
            codes=np.array(self._codes, np.int64),
            ids=ids[np.array(self._which, np.int64)],
        )


def _key(leaf: Any) -> Any:
    """What tells leaves apart: 1 is not 1.0, nor is -0.0 the same as 0.0."""
    if isinstance(leaf, float):
        return struct.pack("<d", leaf)
    return (list, repr(leaf)) if isinstance(leaf, list) else leaf


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Scalars, and lists of such, with their paths."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, path + _step(name))
    elif is_nested(value):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]")
    elif value is not None:
        yield path, typed(value)


def _step(name: str) -> str:
    """A field's part of a path, as Druid writes it."""
    if any(sign in name for sign in ".'\"[]"):
        return f"['{name}']"
    return f".{name}"
