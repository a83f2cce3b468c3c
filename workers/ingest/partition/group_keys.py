"""What Druid hashes of a row, as text: compact JSON in one of two forms.

================================  ===============================================================================
of chosen dimensions              `[["a07"],["x"]]`: each one's values, none for null
of all                            `[1709283600000,{"a":["a07"],"b":["x","y"]}]`: truncated time; dimensions by
                                  name, without those that are null; their distinct values in order
================================  ===============================================================================

A value's text is made once for each distinct value of the rows at hand; rows are put together by polars.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.building.columns import Autos, Dimension, Lists, Numbers, Strings, from_keys
from workers.ingest.building.run import Run
from workers.ingest.building.tables import Table
from workers.ingest.java import double_text, text_of
from workers.ingest.structured import values_of
from workers.segment import utf16

Ints = npt.NDArray[Any]

# What Jackson escapes when it writes UTF-8: also either half of what lies beyond the BMP.
_ESCAPED = re.compile(r'["\\\x00-\x1f\U00010000-\U0010ffff]')
_ESCAPED_POLARS = r'["\\\x00-\x1f\x{10000}-\x{10FFFF}]'
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def of_dimensions(run: Run, names: Sequence[str], start: int, stop: int) -> pl.Series:
    """Keys of the rows `start` to `stop` by the dimensions `names`."""
    columns = [_texts(run.dimensions.get(name), start, stop, distinct=False) for name in names]
    parts: list[Any] = [pl.lit("[")]
    for i, column in enumerate(columns):
        parts += [pl.lit(",[" if i else "["), column.fill_null(""), pl.lit("]")]
    return _joined([*parts, pl.lit("]")], stop - start)


def of_all(run: Run, start: int, stop: int, truncated: Ints) -> pl.Series:
    """Keys of the rows `start` to `stop` by their truncated times and all dimensions."""
    names = sorted(run.dimensions, key=lambda name: utf16.sort_key(name.encode()))
    entries: list[Any] = []
    for name in names:
        values = _texts(run.dimensions[name], start, stop, distinct=True)
        entry = pl.concat_str([pl.lit(f",{quoted(name)}:["), values, pl.lit("]")])
        entries.append(pl.when(values.is_not_null()).then(entry).otherwise(pl.lit("")))
    body = _joined(entries, stop - start).str.strip_prefix(",") if entries else pl.lit("")
    times = pl.Series("time", truncated).cast(pl.String)
    return _joined([pl.lit("["), times, pl.lit(",{"), body, pl.lit("}]")], stop - start)


def _joined(parts: Sequence[Any], rows: int) -> pl.Series:
    series = pl.select(pl.concat_str(parts)).to_series()
    return series if len(series) == rows else series.new_from_index(0, rows)


def quoted(text: str) -> str:
    """A JSON string as Jackson writes it."""

    def escaped(match: re.Match[str]) -> str:
        character = match.group()
        if character in _SHORT:
            return _SHORT[character]
        units = character.encode("utf-16-be")
        return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))

    return f'"{_ESCAPED.sub(escaped, text)}"'


def _quoted_all(values: pl.Series) -> pl.Series:
    plain = pl.select(pl.concat_str([pl.lit('"'), values, pl.lit('"')])).to_series()
    odd = values.str.contains(_ESCAPED_POLARS)
    if not odd.any():
        return plain
    at = odd.arg_true()
    return plain.scatter(at, [quoted(text) for text in values.gather(at).to_list()])


def _texts(column: Dimension | None, start: int, stop: int, *, distinct: bool) -> pl.Series:
    """What stands between the brackets of each row; null where there is no value."""
    if column is None:
        return pl.Series("none", [None], dtype=pl.String).new_from_index(0, stop - start)
    if isinstance(column, Numbers):
        return _of_numbers(column, start, stop)
    if isinstance(column, Autos):
        return _of_autos(column, start, stop, distinct)
    if isinstance(column, Strings):
        codes = column.codes[start:stop]
        used, texts = _table_texts(column.table, codes)
        return texts.gather(np.searchsorted(used, codes))
    return _of_lists(column, start, stop, distinct)


def _table_texts(table: Table, codes: Ints) -> tuple[Ints, pl.Series]:
    """The distinct codes, and the JSON of each; 0 is null."""
    used = np.unique(codes)
    nulls = int(len(used) and used[0] == 0)
    found = list(table.gather(used[nulls:])) if len(used) > nulls else []
    texts = [pl.Series("texts", [None] * nulls, dtype=pl.String)] + [
        _quoted_all(block).alias("texts") for block in found
    ]
    return used, pl.concat(texts)


def _of_autos(column: Autos, start: int, stop: int, distinct: bool) -> pl.Series:
    codes = column.codes[start:stop]
    used = np.unique(codes)
    texts = [
        None if words is None else _list_text(*words, distinct) for words in map(_words, auto_values(column, used))
    ]
    return pl.Series("texts", texts, dtype=pl.String).gather(np.searchsorted(used, codes))


def _words(value: Any) -> tuple[Ints, list[str | None]] | None:
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    words = [None if item is None else quoted(item if isinstance(item, str) else text_of(item)) for item in items]
    return np.arange(len(words)), words


def auto_values(column: Autos, codes: Ints) -> list[Any]:
    """What ascending, distinct codes stand for."""
    nulls = int(len(codes) and codes[0] == 0)
    texts = [text for block in column.table.gather(codes[nulls:]) for text in block.cast(pl.Binary).to_list()]
    return [None] * nulls + values_of(texts).to_list()


def _of_numbers(column: Numbers, start: int, stop: int) -> pl.Series:
    keys, at = np.unique(column.keys[start:stop], return_inverse=True)
    texts = pl.Series("texts", [f'"{text}"' for text in number_texts(from_keys(keys, column.kind), column.kind)])
    valid = pl.Series("valid", column.valid[start:stop] != 0)
    return pl.select(pl.when(valid).then(texts.gather(at))).to_series()


def number_texts(values: Ints, kind: str) -> list[str]:
    """Numbers as Java prints them."""
    if kind == "LONG":
        return list(map(str, values.tolist()))
    return [double_text(float(str(value))) for value in values]


def _of_lists(column: Lists, start: int, stop: int, distinct: bool) -> pl.Series:
    """Each distinct list of the rows once; `[]` and null are no value, a null among others is "null"."""
    begin = int(column.ends[start - 1 : start][0]) if start else 0
    ends = column.ends[start:stop] - begin
    items = column.items[begin : begin + int(ends[-1])] if len(ends) else np.empty(0, np.int32)
    used, texts = _table_texts(column.table, items)
    words = texts.to_list()
    places = np.searchsorted(used, items)
    known: dict[bytes, str | None] = {}
    out = []
    for row in np.split(places, ends[:-1]):
        key = row.tobytes()
        if key not in known:
            known[key] = _list_text(row, words, distinct)
        out.append(known[key])
    return pl.Series("lists", out, dtype=pl.String)


def _list_text(row: Ints, words: Sequence[str | None], distinct: bool) -> str | None:
    if not len(row) or (len(row) == 1 and words[row[0]] is None):
        return None
    texts = ['"null"' if (word := words[i]) is None else word for i in row.tolist()]
    if distinct:
        texts = sorted(set(texts), key=lambda text: utf16.sort_key(json.loads(text).encode()))
    return ",".join(texts)
