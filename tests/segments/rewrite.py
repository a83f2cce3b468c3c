"""What a reader gives, as columns for the writer: how a golden segment is written again."""

from __future__ import annotations

import numpy as np
import polars as pl

from workers.segment.writer import (
    ComplexColumn,
    IndexSpec,
    MultiStringColumn,
    NullColumn,
    NumericColumn,
    SegmentSpec,
    StringColumn,
)

STEP = 1000  # so that chunks never fit blocks


def _steps(reader):
    return [(start, min(start + STEP, reader.num_rows)) for start in range(0, reader.num_rows, STEP)]


def numeric_column(reader, name, kind):
    def chunks():
        for start, stop in _steps(reader):
            values = reader.read(name, start, stop)
            yield values.fill_null(0).to_numpy(), values.is_null().to_numpy() if values.null_count() else None

    return NumericColumn(name, kind, chunks)


def string_column(reader, name, *, as_series):
    column = reader.column(name)
    values = column.dictionary.take(np.arange(len(column.dictionary)))
    dictionary = pl.Series(values, dtype=pl.Binary).cast(pl.String) if as_series else values

    def ids():
        return (column.read_ids(start, stop)[1] for start, stop in _steps(reader))

    def counts():
        return (column.read_ids(start, stop)[0] for start, stop in _steps(reader))

    if column.has_multiple_values:
        return MultiStringColumn(name, dictionary, counts, ids)
    return StringColumn(name, dictionary, ids)


def column_for_writer(reader, name, kind, *, as_series=True):
    if kind in ("LONG", "DOUBLE", "FLOAT"):
        return numeric_column(reader, name, kind)
    if kind == "STRING":
        return NullColumn(name) if reader.is_null(name) else string_column(reader, name, as_series=as_series)
    cells = reader.read(name).to_list()
    return ComplexColumn(name, kind.removeprefix("COMPLEX<").removesuffix(">"), lambda: iter(cells))


def spec_for_writer(reader, metrics, index_spec):
    return SegmentSpec(
        interval_start_ms=reader.interval.start,
        interval_end_ms=reader.interval.end,
        dimensions=reader.dimensions,
        metrics=metrics,
        metadata=reader.metadata,
        index_spec=index_spec,
    )


DRUIDS_BYTES = IndexSpec(lz4_level=9)
