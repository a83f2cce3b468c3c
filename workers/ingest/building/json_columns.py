"""The column of a segment that holds objects, or lists of objects or lists: JSON, with a column for each path.

A path leads to scalars and to arrays of scalars; their types follow from the values there, as with whole columns.
"""

from __future__ import annotations

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
    values = found.to_list()
    leaves: dict[str, tuple[list[int], list[Any]]] = {}
    for code, value in enumerate(values, int(has_nulls)):
        for path, leaf in _leaves(value, _ROOT):
            at, there = leaves.setdefault(path, ([], []))
            at.append(code)
            there.append(leaf)
    paths = sorted(leaves, key=lambda path: utf16.sort_key(path.encode()))
    dictionary = Dictionary(_NONE, [leaf for path in paths for leaf in leaves[path][1]], zero=None)
    ends = np.cumsum([len(leaves[path][0]) for path in paths])
    fields = [
        _field(path, *leaves[path], dictionary.ids[end - len(leaves[path][0]) : end])
        for path, end in zip(paths, ends.tolist(), strict=True)
    ]
    return JsonColumn(
        name=name,
        has_nulls=has_nulls,
        strings=dictionary.strings,
        longs=dictionary.longs,
        doubles=dictionary.doubles,
        arrays=dictionary.arrays,
        raws=[b""] * has_nulls + [smile.encode(value) for value in values],
        fields=fields,
        codes=codes,
    )


def _field(path: str, codes: list[int], there: list[Any], ids: Ints) -> Field:
    logical, types = type_of(_NONE, there)
    if types is not None and logical.startswith("ARRAY") and types < BITS["ARRAY<STRING>"]:
        types += BITS[logical]  # arrays without an item, beside scalars of several types; whole columns lack it
    return Field(
        path=path,
        types=BITS[logical] if types is None else types,
        single=logical if types is None else None,
        codes=np.array(codes, np.int64),
        ids=ids,
    )


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
