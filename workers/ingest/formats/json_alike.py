"""Lines of JSON that one program wrote: the same keys in the same order, each value plain. Read as delimited text.

The first line gives the text in front of each value. polars cuts the lines at the commas, and a line is right if each
of its cells begins with its text and goes on with one value: then, and as there are no more quotes than these account
for, no escapes and no control characters, JSON sees the same fields in it. If that does not hold for every line, the
answer is None, and the lines are decoded one by one.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from workers.ingest.formats.base import column

_HEAD = re.compile(r'[ \t]*\{[ \t]*"([^"\\]+)"[ \t]*:[ \t]*')
_NEXT = re.compile(r'[ \t]*"([^"\\]+)"[ \t]*:[ \t]*')
_VALUE = re.compile(r'"[^"\\]*"|[-0-9][^,}" \t]*|true|false|null')
_WHOLE = r"^(?:0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_FRACTION = r"[.eE]"
_FRACTIONAL = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)$"
_COMMA, _UNIT = b",", b"\x1f"


@dataclass(frozen=True)
class Template:
    """The text in front of each value of a line, by key."""

    prefixes: dict[str, str]

    @classmethod
    def of(cls, line: str) -> Template | None:
        """That of a line; None if it is not plain enough."""
        prefixes: dict[str, str] = {}
        match = _HEAD.match(line)
        while match is not None:
            value = _VALUE.match(line, match.end())
            if value is None or match[1] in prefixes:
                return None
            prefixes[match[1]] = match[0]
            at = value.end()
            if line[at:] == "}":
                return cls(prefixes)
            if line[at : at + 1] != ",":
                return None
            match = _NEXT.match(line, at + 1)
        return None


def read_alike(data: bytes, wanted: Collection[str] | None) -> dict[str, pl.Series] | None:
    """Columns as `JsonReader` gives them, or None if the lines are not all alike.

    Parameters
    ----------
    data : bytes
        Whole lines.
    wanted : collection of str or None
        The only fields that columns are needed for. All are looked at.
    """
    try:
        template = Template.of(data[: data.index(b"\n")].decode())
    except UnicodeDecodeError:
        return None
    lines = _count(data, b"\n")
    if template is None or not _plain_bytes(data, lines):
        return None
    frame = _cells(data, template, lines)
    if frame is None or frame.height != lines:
        return None
    return _columns(frame, template, _count(data, b'"'), wanted)


def _plain_bytes(data: bytes, lines: int) -> bool:
    return b"\\" not in data and int(np.count_nonzero(np.frombuffer(data, np.uint8) < 0x20)) == lines


def _count(data: bytes, character: bytes) -> int:
    """As `bytes.count`, which is slow where there are many."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord(character)))


def _cells(data: bytes, template: Template, lines: int) -> pl.DataFrame | None:
    """The text between commas; where commas stand in values too, those between values are marked first."""
    names = [str(number) for number in range(len(template.prefixes))]
    separator = _COMMA
    if _count(data, _COMMA) != lines * (len(names) - 1):
        data, separator = _marked(data, template), _UNIT
    try:
        return pl.read_csv(
            io.BytesIO(separator.join(map(str.encode, names)) + b"\n" + data),
            schema=dict.fromkeys(names, pl.String),
            separator=separator.decode(),
            quote_char=None,
        )
    except pl.exceptions.PolarsError:
        return None


def _marked(data: bytes, template: Template) -> bytes:
    """The same with a control character for each comma in front of a key. No value holds such text: it has quotes."""
    for prefix in list(template.prefixes.values())[1:]:
        data = data.replace(_COMMA + prefix.encode(), _UNIT + prefix.encode())
    return data


def _columns(
    frame: pl.DataFrame, template: Template, quotes: int, wanted: Collection[str] | None
) -> dict[str, pl.Series] | None:
    last = frame.columns[-1]
    closed = frame[last].str.strip_suffix("}")
    if not _shorter(frame[last], closed, 1).all():
        return None
    frame = frame.with_columns(closed)
    found = _at_once(frame, template)
    expected = 2 * len(template.prefixes) * frame.height
    for (name, prefix), cells in zip(template.prefixes.items(), frame.get_columns(), strict=True):
        made = found.get(name) or _column(name, prefix, cells)
        if made is None:
            return None
        found[name] = made
        expected += 2 * made[1]
    if expected != quotes:
        return None
    if wanted is None:
        return {name: found[name][0] for name in template.prefixes}
    nothing = pl.Series([None], dtype=pl.Null).new_from_index(0, frame.height)
    return {name: found[name][0] if name in found else nothing.alias(name) for name in wanted}


def _at_once(frame: pl.DataFrame, template: Template) -> dict[str, tuple[pl.Series, int]]:
    """What `_column` gives, for the columns that are of one kind throughout; by all threads of polars."""
    kinds = {
        key: _kind_of((frame[key][0] or "")[len(prefix) :])
        for key, prefix in zip(frame.columns, template.prefixes.values(), strict=True)
    }
    taken, sound = [], []
    for (key, kind), prefix in zip(kinds.items(), template.prefixes.values(), strict=True):
        opening, closing = (prefix + '"', '"') if kind is None else (prefix, "")
        cut = pl.col(key).str.strip_prefix(opening)
        taken.append((cut.str.strip_suffix(closing) if closing else cut).alias("v" + key))
        sizes = pl.col(key).str.len_bytes() - pl.col("v" + key).str.len_bytes()
        right = (sizes == len((opening + closing).encode())).fill_null(False)
        sound.append(right.all() if kind is None else right.all() & pl.col("v" + key).str.contains(kind).all())
    cells = frame.hstack(frame.select(taken))
    is_sound = cells.select(flag.alias(key) for flag, key in zip(sound, frame.columns, strict=True))
    found = {}
    for name, (key, kind) in zip(template.prefixes, kinds.items(), strict=True):
        if is_sound[key][0]:
            values = cells["v" + key]
            if kind is not None:
                values = values.cast(pl.Int64 if kind == _WHOLE else pl.Float64)
            if kind != _FRACTIONAL or values.is_finite().all():
                found[name] = values.alias(name), frame.height if kind is None else 0
    return found


def _kind_of(value: str) -> str | None:
    """The pattern of a number like `value`, None of a text."""
    return None if value.startswith('"') else _FRACTIONAL if re.search(_FRACTION, value) else _WHOLE


def _column(name: str, prefix: str, cells: pl.Series) -> tuple[pl.Series, int] | None:
    """The values behind `prefix`, and how many of them are text; None if a cell is something else."""
    null = cells == prefix + "null"
    if null.null_count():
        return None
    nulls = bool(null.any())
    present = cells.filter(~null) if nulls else cells
    if not len(present):
        return pl.Series(name, [None] * len(cells), dtype=pl.Null), 0
    made = _texts(prefix + '"', present) if present[0].startswith('"', len(prefix)) else _others(name, prefix, present)
    if made is None:
        return None
    values, texts = made
    if nulls:
        place = np.cumsum(~null.to_numpy()) - 1
        at = pl.Series(place, dtype=pl.Int64).set(null, None)
        if values.dtype == pl.Object:
            whole = values.to_list()
            values = column(name, [None if i is None else whole[i] for i in at.to_list()])
        else:
            values = values.gather(at)
    return values.alias(name), texts


def _texts(opening: str, cells: pl.Series) -> tuple[pl.Series, int] | None:
    opened = cells.str.strip_prefix(opening)
    values = opened.str.strip_suffix('"')
    if not _shorter(cells, values, len(opening.encode()) + 1).all():
        return None
    return values, len(values)


def _others(name: str, prefix: str, cells: pl.Series) -> tuple[pl.Series, int] | None:
    values = cells.str.strip_prefix(prefix)
    if not _shorter(cells, values, len(prefix.encode())).all():
        return None
    if values.str.contains(_WHOLE).all():
        return values.cast(pl.Int64), 0
    if values.is_in(["true", "false"]).all():
        return values == "true", 0
    if not values.str.contains(_NUMBER).all():
        return None
    fractions = values.str.contains(_FRACTION)
    if fractions.all():
        numbers = values.cast(pl.Float64)
        return (numbers, 0) if numbers.is_finite().all() else None
    mixed: list[Any] = [
        float(text) if fraction else int(text)
        for text, fraction in zip(values.to_list(), fractions.to_list(), strict=True)
    ]
    if not all(map(math.isfinite, map(float, mixed))):
        return None
    return column(name, mixed), 0


def _shorter(cells: pl.Series, stripped: pl.Series, by: int) -> pl.Series:
    """Whether all of `by` bytes were taken off; never for a cell that is not there."""
    return (cells.str.len_bytes() - stripped.str.len_bytes() == by).fill_null(False)
