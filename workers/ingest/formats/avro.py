"""avro_ocf: small flat files through polars at once, all others through fastavro block by block.

Druid's reader knows no logical types: an instant is the number that is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.formats.base import input_formats
from workers.ingest.formats.table import TableFormat, damaged
from workers.ingest.sources import InputObject

CELL_BYTES = 64
FAST_BYTES = 16 << 20
"""Files up to this size are read at once."""
_FLAT = frozenset({"null", "boolean", "int", "long", "float", "double", "string"})


@input_formats.add("avro_ocf")
class AvroFormat(TableFormat):
    """`{"type": "avro_ocf", "flattenSpec", "schema", "binaryAsString"}`."""

    fast = True
    schema: Any = None

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> AvroFormat:
        made = super().from_json(json)
        assert isinstance(made, AvroFormat)
        if json.get("extractUnionsByType"):
            raise TaskFailed(
                "extractUnionsByType is not known here: unions are read as their values",
                where="spec.ioConfig.inputFormat.extractUnionsByType",
            )
        made.schema = json.get("schema")
        return made

    def tables(self, path: Path, item: InputObject, chunk_bytes: int, needed: Collection[str] | None) -> Iterator[Any]:
        rows = self._rows(path, item, chunk_bytes)
        written = next(rows)
        if self.fast and self.schema is None and path.stat().st_size <= FAST_BYTES and _is_flat(written):
            try:
                frame = pl.read_avro(path)
            except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException):
                pass  # the exact way knows up to where the file is good
            else:
                names = [n for n in frame.columns if needed is None or n in needed] or frame.columns[:1]
                yield from frame.select(names).iter_slices(max(1, chunk_bytes // (CELL_BYTES * max(1, len(names)))))
                return
        yield from rows

    def _rows(self, path: Path, item: InputObject, chunk_bytes: int) -> Iterator[Any]:
        """The writer's schema, then lists of rows."""
        try:
            import fastavro
            import fastavro.read
        except ImportError:
            raise TaskFailed("Avro cannot be read here", hint="pip install 'overlord[avro]'") from None
        for name in list(fastavro.read.LOGICAL_READERS):
            fastavro.read.LOGICAL_READERS[name] = _as_stored
        done = 0
        rows: list[Any] = []
        with path.open("rb") as file:
            try:
                reader = fastavro.reader(file, reader_schema=self.schema)
                yield reader.writer_schema
                most = max(1, chunk_bytes // (CELL_BYTES * max(1, len(_fields(reader.writer_schema)))))
                for row in reader:
                    rows.append(row)
                    if len(rows) >= most:
                        yield rows
                        done, rows = done + len(rows), []
                if rows:
                    yield rows
            except (GeneratorExit, OSError, MemoryError):
                raise
            except Exception as error:  # fastavro lets through whatever a damaged file leads to
                raise damaged(item, "Avro", done + len(rows), error) from error


def _as_stored(data: Any, *_: Any) -> Any:
    return data


def _fields(schema: Any) -> list[Mapping[str, Any]]:
    return list(schema.get("fields") or []) if isinstance(schema, Mapping) else []


def _is_flat(schema: Any) -> bool:
    """Whether all fields are of plain types, perhaps null, without logical types."""
    for field in _fields(schema):
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        plain = [kind.get("type") if isinstance(kind, dict) and "logicalType" not in kind else kind for kind in kinds]
        if not all(isinstance(kind, str) and kind in _FLAT for kind in plain):
            return False
        if len(plain) > 2 or (len(plain) == 2 and "null" not in plain):
            return False
    return bool(_fields(schema))
