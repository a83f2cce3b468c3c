"""Raw columns as columns of any type: the text of each value, see `workers.ingest.structured`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import polars as pl

from workers.ingest import structured
from workers.ingest.expressions.values import ExpressionError, bind, cast
from workers.ingest.transform.numbers import Typed

_KINDS: dict[Any, str] = {pl.Int64: "LONG", pl.Float64: "DOUBLE"}


def auto_column(name: str, raw: pl.Series | None, rows: int, kind: str | None) -> Typed:
    """A String column of texts; `kind` is the type that values are made to have, if any."""
    if raw is None or raw.dtype == pl.Null:
        return Typed(values=pl.Series(name, [None], dtype=pl.String).new_from_index(0, rows))
    if kind is not None:
        return _casted(name, raw, kind)
    return Typed(values=_texts(name, raw).alias(name))


def _texts(name: str, raw: pl.Series) -> pl.Series:
    if raw.dtype == pl.String:
        return _strings(raw)
    if raw.dtype == pl.Int64:
        return _numbers(raw, raw.fill_null(0).to_numpy(), structured.longs)
    if raw.dtype == pl.Float64:
        return _numbers(raw, raw.fill_null(0.0).to_numpy(), structured.doubles)
    return _each(_python(raw))


def _strings(raw: pl.Series) -> pl.Series:
    return pl.select(pl.concat_str([pl.lit("s"), raw])).to_series()


def _numbers(raw: pl.Series, values: Any, text: Callable[[Any], list[str]]) -> pl.Series:
    bits, at = np.unique(values.view(np.int64), return_inverse=True)  # by bits: -0.0 is not 0.0
    texts = pl.Series(text(bits.view(values.dtype)), dtype=pl.String).gather(at)
    return texts if not raw.null_count() else pl.select(pl.when(raw.is_not_null()).then(texts)).to_series()


def _python(raw: pl.Series) -> list[Any]:
    """Python values; a list of one text is that text: only a delimited file has such columns."""
    values = raw.to_list()
    if raw.dtype == pl.List(pl.String):
        return [value[0] if value is not None and len(value) == 1 else value for value in values]
    return values


def _each(values: Iterable[Any]) -> pl.Series:
    known: dict[Any, str] = {}
    texts: list[str | None] = []
    for value in values:
        if value is None:
            texts.append(None)
            continue
        key = (type(value), repr(value)) if isinstance(value, float | list | dict) else (type(value), value)
        if key not in known:
            known[key] = structured.text(value)
        texts.append(known[key])
    return pl.Series(texts, dtype=pl.String)


def _casted(name: str, raw: pl.Series, kind: str) -> Typed:
    if raw.dtype == pl.String and kind == "STRING":
        return Typed(values=_strings(raw).alias(name))
    if _KINDS.get(type(raw.dtype)) == kind:
        return Typed(values=_texts(name, raw).alias(name))
    known: dict[Any, str | None] = {}
    texts: list[str | None] = []
    faults = []
    for row, value in enumerate(_python(raw)):
        key = (type(value), repr(value))
        if key not in known:
            known[key] = _cast_text(value, kind)
        found = known[key]
        if found == "":  # no text of a value is empty
            faults.append((row, f"Cannot coerce column [{name}] input to requested type [{kind}]"))
        texts.append(found or None)
    return Typed(values=pl.Series(name, texts, dtype=pl.String), faults=faults)


def _cast_text(value: Any, kind: str) -> str | None:
    """The text of a value made to be of a type; empty if there is no way there."""
    if value is None:
        return None
    if isinstance(value, dict):
        return ""
    try:
        found = cast(bind(value), kind)
    except ExpressionError:
        return ""
    return None if found is None else structured.text(found)
