"""parquet, through polars: whole columns, some ten thousand rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.formats.base import input_formats
from workers.ingest.formats.table import TableFormat, damaged
from workers.ingest.sources import InputObject

CELL_BYTES = 16
"""What a value takes in memory, about."""
FEWEST_ROWS = 1


@input_formats.add("parquet")
class ParquetFormat(TableFormat):
    """`{"type": "parquet", "flattenSpec", "binaryAsString"}`."""

    def tables(
        self, path: Path, item: InputObject, chunk_bytes: int, needed: Collection[str] | None
    ) -> Iterator[pl.DataFrame]:
        done = 0
        try:
            with path.open("rb") as file:
                if file.read(4) not in (b"PAR1", b"PARE"):
                    raise TaskFailed(f"Cannot read {item.name}: it is no Parquet file")
            frame = pl.scan_parquet(path, glob=False, hive_partitioning=False, low_memory=True)
            names = frame.collect_schema().names()
            if needed is not None:
                # A file without any of the fields still has its rows.
                names = [name for name in names if name in needed] or names[:1]
            rows = max(FEWEST_ROWS, chunk_bytes // (CELL_BYTES * max(1, len(names))))
            for piece in frame.select(names).collect_batches(chunk_size=rows, maintain_order=True):
                for part in piece.iter_slices(rows):
                    yield part
                    done += part.height
        except pl.exceptions.PolarsError as error:
            raise damaged(item, "Parquet", done, error) from error
