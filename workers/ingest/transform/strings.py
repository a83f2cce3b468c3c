"""Raw columns as string dimensions, of one value a row or of several."""

from __future__ import annotations

from typing import Any

import polars as pl

from workers.ingest.java import double_text, text_of

SORTED_ARRAY, SORTED_SET, ARRAY = "SORTED_ARRAY", "SORTED_SET", "ARRAY"
HANDLINGS = (SORTED_ARRAY, SORTED_SET, ARRAY)

_MULTI = pl.List(pl.String)


def string_column(name: str, raw: pl.Series | None, rows: int, handling: str, *, discovered: bool = False) -> pl.Series:
    """A String column, or List(String) if some row has a list.

    Parameters
    ----------
    raw : Series or None
        The raw column; None if no row has the field.
    handling : str
        What becomes of several values: SORTED_ARRAY, SORTED_SET or ARRAY.
    discovered : bool
        Whether the dimension was found rather than listed: then objects and nested lists are null.
    """
    if raw is None or raw.dtype == pl.Null:
        return pl.Series(name, [None], dtype=pl.String).new_from_index(0, rows)
    if raw.dtype == pl.String:
        return raw.alias(name)
    if raw.dtype in (pl.Int64, pl.Boolean):
        return raw.cast(pl.String).alias(name)
    if raw.dtype == pl.Float64:
        return java_doubles(raw).alias(name)
    if raw.dtype == _MULTI:
        return _handled(raw, handling).alias(name)
    return _mixed(name, raw.to_list(), handling, discovered)


def java_doubles(raw: pl.Series) -> pl.Series:
    """As Java prints them; equal ones are printed once (by their bits, for -0.0 is not 0.0)."""
    known: dict[str, str] = {}
    texts: list[str | None] = []
    for value in raw.to_list():
        if value is None:
            texts.append(None)
            continue
        key = repr(value)
        if key not in known:
            known[key] = double_text(value)
        texts.append(known[key])
    return pl.Series(texts, dtype=pl.String)


def _mixed(name: str, values: list[Any], handling: str, discovered: bool) -> pl.Series:
    if discovered:
        values = [None if _nested(value) else value for value in values]
    if not any(type(value) is list for value in values):
        return pl.Series(name, [None if value is None else text_of(value) for value in values], dtype=pl.String)
    lists = [
        None
        if value is None
        else [None if item is None else text_of(item) for item in value]
        if type(value) is list
        else [text_of(value)]
        for value in values
    ]
    return _handled(pl.Series(name, lists, dtype=_MULTI), handling)


def _nested(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, list | dict) for item in value)
    return isinstance(value, dict)


def _handled(lists: pl.Series, handling: str) -> pl.Series:
    """Values of each row sorted, nulls first, in UTF-16 order; for SORTED_SET each once."""
    if handling == ARRAY:
        return lists
    if _utf8_sorts_alike(lists):
        done = lists.list.sort(nulls_last=False)
        return done.list.unique(maintain_order=True) if handling == SORTED_SET else done
    rows = [
        None if row is None else sorted(set(row) if handling == SORTED_SET else row, key=_utf16)
        for row in lists.to_list()
    ]
    return pl.Series(lists.name, rows, dtype=_MULTI)


def _utf8_sorts_alike(lists: pl.Series) -> bool:
    """Whether no character is beyond U+FFFF: only with those does UTF-16 order differ from that of UTF-8."""
    flat = lists.explode()
    return not flat.str.contains("[\U00010000-\U0010ffff]").any()


def _utf16(value: str | None) -> tuple[bool, bytes]:
    return value is not None, b"" if value is None else value.encode("utf-16-be")
