"""Values of any type as text, for columns whose type follows from their values.

Text of this form flows through building like any string column: texts are equal where values are, and sort as Druid
sorts such values: strings, then numbers by value, then booleans, arrays and objects by a hash of their SMILE.

==========  ==========================================================================
string      `s` and itself
double      `t`, 16 hex digits of the same order, `d`
long        `t`, 16 hex digits of it as a double, `l`; beyond 2^53 `m` and 16 of its own
others      `u`, 16 hex digits of the hash, its JSON
==========  ==========================================================================
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.segment import smile
from workers.segment.xxh64 import xxh64

Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]

_SCALARS = ("STRING", "LONG", "DOUBLE")
JSON_TYPE = "COMPLEX<json>"
CASTS = frozenset(_SCALARS) | {f"ARRAY<{name}>" for name in _SCALARS}
_SIGN = 1 << 63
_EXACT = 2**53
_NUMBER = ord("t")
_HEAD = 17  # before what tells the number's type


def cast_of(asked: Any) -> str | None:
    """The type that a castToType makes of values: there are no floats, and Druid passes over what it does not know."""
    kind = str(asked or "").upper().replace("FLOAT", "DOUBLE")
    return kind if kind in CASTS else None


def text(value: Any) -> str:
    """The text of a value that is not null."""
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, int) and not isinstance(value, bool):
        return longs(np.array([value], np.int64))[0]
    if isinstance(value, float):
        return doubles(np.array([value], np.float64))[0]
    value = _within_long(value)
    shown = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"u{xxh64(smile.encode(value)) ^ _SIGN:016x}{shown}"


def _within_long(value: Any) -> Any:
    """Whole numbers beyond 64 bits are doubles."""
    if isinstance(value, list):
        return [_within_long(item) for item in value]
    if isinstance(value, dict):
        return {name: _within_long(item) for name, item in value.items()}
    return float(value) if type(value) is int and not -_SIGN <= value < _SIGN else value


def doubles(values: Doubles) -> list[str]:
    """Texts of doubles."""
    return [f"t{digits}d" for digits in _digits(values)]


def longs(values: Longs) -> list[str]:
    """Texts of longs."""
    heads = _digits(values.astype(np.float64))
    if not len(values) or (int(values.max()) <= _EXACT and int(values.min()) >= -_EXACT):
        return [f"t{digits}l" for digits in heads]
    return [
        f"t{digits}l" if -_EXACT <= value <= _EXACT else f"t{digits}m{value + _SIGN:016x}"
        for digits, value in zip(heads, values.tolist(), strict=True)
    ]


def _digits(values: Doubles) -> list[str]:
    values = np.where(np.isnan(values), np.nan, values)  # one NaN, the greatest of all
    bits = np.ascontiguousarray(values).view(np.uint64)
    keys = np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(_SIGN))
    digits = keys.astype(">u8").tobytes().hex()
    return [digits[at : at + 16] for at in range(0, len(digits), 16)]


class Others:
    """See `Values`."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self._texts = texts

    def __iter__(self) -> Iterator[Any]:
        return (json.loads(text[_HEAD:]) for text in self._texts)


@dataclass(frozen=True, kw_only=True)
class Values:
    """Values again, in the order of their texts.

    Attributes
    ----------
    strings : list of bytes
    doubles : ndarray
        All numbers, longs too.
    is_long : ndarray of bool
    longs : ndarray
        The longs among them, 0 for doubles.
    others : iterable
        Booleans, lists and objects, made each time they are gone through: together they may take much memory.
    """

    strings: list[bytes]
    doubles: Doubles
    is_long: npt.NDArray[np.bool_]
    longs: Longs
    others: Others

    def to_list(self) -> list[Any]:
        """All of them as Python values."""
        numbers = [
            int(whole) if is_long else value
            for value, is_long, whole in zip(
                self.doubles.tolist(), self.is_long.tolist(), self.longs.tolist(), strict=True
            )
        ]
        return [*(value.decode() for value in self.strings), *numbers, *self.others]

    def __iter__(self) -> Iterator[Any]:
        plain = replace(self, others=Others([]))
        yield from plain.to_list()
        yield from self.others


def values_of(texts: Sequence[bytes]) -> Values:
    """What distinct texts in order stand for."""
    kinds = [value[0] for value in texts]
    first_number = kinds.index(_NUMBER) if _NUMBER in kinds else sum(kind < _NUMBER for kind in kinds)
    first_other = first_number + kinds.count(_NUMBER)
    numbers = texts[first_number:first_other]
    digits = b"".join(value[1:_HEAD] for value in numbers)
    keys = np.frombuffer(bytes.fromhex(digits.decode()), ">u8").astype(np.uint64)
    bits = np.where(keys >> np.uint64(63), keys & np.uint64(_SIGN - 1), ~keys)
    found = bits.view(np.float64)
    is_long = np.array([value[_HEAD] != ord("d") for value in numbers], np.bool_)
    whole = np.zeros(len(found), np.int64)
    with np.errstate(invalid="ignore"):
        whole[is_long] = found[is_long].astype(np.int64)
    for place, value in enumerate(numbers):
        if value[_HEAD] == ord("m"):
            (key,) = struct.unpack(">Q", bytes.fromhex(value[_HEAD + 1 :].decode()))
            whole[place] = key - _SIGN
    return Values(
        strings=[value[1:] for value in texts[:first_number]],
        doubles=found,
        is_long=is_long,
        longs=whole,
        others=Others(texts[first_other:]),
    )
