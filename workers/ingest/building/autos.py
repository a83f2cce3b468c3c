"""The column of a segment whose type follows from the values there, by Druid's rules.

Values of one type make a column of it. Of several types they make a variant, which keeps each value as it is and is
called by the least type that can hold them all. Arrays among scalars make arrays of it. Nulls alone make a string.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.ingest import structured
from workers.ingest.building.columns import from_keys, to_keys
from workers.ingest.java import double_text
from workers.segment import utf16
from workers.segment.write_nested import AutoColumn

Ints = npt.NDArray[Any]

_MOST = 2**63 - 1
BITS = {"STRING": 1, "LONG": 4, "DOUBLE": 8, "ARRAY<STRING>": 16, "ARRAY<LONG>": 32, "ARRAY<DOUBLE>": 64}


def auto_column(
    name: str, found: structured.Values, codes: Callable[[], Iterator[Ints]], *, has_nulls: bool, kind: str | None
) -> AutoColumn:
    """The column of some rows.

    Parameters
    ----------
    name : str
    found : Values
        The distinct values, none of them nested.
    codes : callable
        Gives the rows' places among them, of which the first is null if there are nulls.
    kind : str or None
        The type that the spec gives the column.
    """
    others = [typed(value) for value in found.others]
    logical, types = (kind, None) if kind is not None else type_of(found, others)
    dictionary = Dictionary(found, others, zero=kind if has_nulls else None)
    ids = np.concatenate([np.zeros(int(has_nulls), np.int64), dictionary.ids])
    return AutoColumn(
        name=name,
        logical=logical,
        types=types,
        enforced=kind is not None,
        has_nulls=has_nulls,
        strings=dictionary.strings,
        longs=dictionary.longs,
        doubles=dictionary.doubles,
        arrays=dictionary.arrays,
        ids=lambda: (ids[piece] for piece in codes()),
    )


def typed(value: Any) -> Any:
    """A boolean is a long; the items of a list are of one type, the least that holds them all."""
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, list):
        return value
    kinds = {_kind(item) for item in value if item is not None}
    if "STRING" in kinds:
        return [None if item is None else _text(item) for item in value]
    if "DOUBLE" in kinds:
        return [None if item is None else float(item) for item in value]
    return [None if item is None else int(item) for item in value]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return double_text(value) if isinstance(value, float) else str(value)


def _kind(value: Any) -> str:
    if isinstance(value, list):
        inner = {_kind(item) for item in value if item is not None}
        return f"ARRAY<{inner.pop()}>" if inner else "ARRAY"
    return "STRING" if isinstance(value, str) else "DOUBLE" if isinstance(value, float) else "LONG"


def type_of(found: structured.Values, others: Sequence[Any]) -> tuple[str, int | None]:
    """The logical type, and Druid's bits of the types there where they are several."""
    kinds = {_kind(value) for value in others}
    if found.strings:
        kinds.add("STRING")
    if found.is_long.any():
        kinds.add("LONG")
    if not found.is_long.all():
        kinds.add("DOUBLE")
    has_arrays = any(kind.startswith("ARRAY") for kind in kinds)
    kinds.discard("ARRAY")  # without an item it has no type of its own
    if not kinds:
        return ("ARRAY<LONG>" if has_arrays else "STRING"), None
    scalars = {kind.removeprefix("ARRAY<").removesuffix(">") for kind in kinds}
    least = "STRING" if "STRING" in scalars else "DOUBLE" if "DOUBLE" in scalars else "LONG"
    if has_arrays and kinds == {least}:
        kinds.add(f"ARRAY<{least}>")
    logical = f"ARRAY<{least}>" if has_arrays else least
    return logical, None if len(kinds) == 1 else sum(BITS[kind] for kind in kinds)


@dataclass(frozen=True)
class _Places:
    """Where a value stands among all dictionaries."""

    strings: Mapping[bytes, int]
    longs: Mapping[int, int]
    doubles: Mapping[int, int]  # by key, for -0.0 is not 0.0

    def of(self, item: Any) -> int:
        if item is None:
            return 0
        if isinstance(item, str):
            return self.strings[item.encode()]
        return self.doubles[_double_key(item)] if isinstance(item, float) else self.longs[item]


class Dictionary:
    """All values apart, and the global id of each: 0 is null, then come strings, longs, doubles and arrays.

    Parameters
    ----------
    found, others
        The values.
    zero : str or None
        "LONG" or "DOUBLE" adds a 0 that no row has, as Druid does where a null was made to be a number.
    """

    def __init__(self, found: structured.Values, others: Sequence[Any], *, zero: str | None) -> None:
        lists = [value for value in others if isinstance(value, list)]
        items = [item for value in others for item in (value if isinstance(value, list) else [value])]
        items = [item for item in items if item is not None]
        texts = {item.encode() for item in items if isinstance(item, str)}
        whole = [item for item in items if type(item) is int]
        double_keys = to_keys(found.doubles[~found.is_long], "DOUBLE")
        more_keys = [_double_key(item) for item in items if isinstance(item, float)]
        whole += [0] * (zero == "LONG")
        zeros = [0] * (zero == "DOUBLE")

        self.strings = sorted({*found.strings, *texts}, key=utf16.sort_key) if texts else found.strings
        self.longs = np.unique(np.concatenate([found.longs[found.is_long], np.array(whole, np.int64)]))
        keys = np.unique(np.concatenate([double_keys, np.array(more_keys + zeros, np.int64)]))
        self.doubles = from_keys(keys, "DOUBLE")
        first_long = 1 + len(self.strings)
        first_double = first_long + len(self.longs)
        first_array = first_double + len(self.doubles)

        numbers = np.empty(len(found.doubles), np.int64)
        numbers[found.is_long] = first_long + np.searchsorted(self.longs, found.longs[found.is_long])
        numbers[~found.is_long] = first_double + np.searchsorted(keys, double_keys)
        places = _Places(
            strings=_numbered(self.strings, 1) if texts else {},
            longs=_numbered(self.longs.tolist(), first_long) if others else {},
            doubles=_numbered(keys.tolist(), first_double) if more_keys else {},
        )
        strings = [places.strings[text] for text in found.strings] if texts else range(1, first_long)
        arrays = [tuple(map(places.of, value)) for value in lists]
        self.arrays = sorted(set(arrays))
        at = _numbered(self.arrays, first_array)
        made = iter(arrays)
        rest = [at[next(made)] if isinstance(value, list) else places.of(value) for value in others]
        self.ids: Ints = np.concatenate([np.array(strings, np.int64), numbers, np.array(rest, np.int64)])


def _numbered(values: Iterable[Any], first: int) -> dict[Any, int]:
    return {value: number for number, value in enumerate(values, first)}


def _double_key(value: float) -> int:
    """What `to_keys` makes of it; that is slow for one."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else bits ^ _MOST
