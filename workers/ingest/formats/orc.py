"""orc, through pyorc: rows of a stripe, some thousand at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from overlord.errors import TaskFailed
from workers.ingest.formats.base import input_formats
from workers.ingest.formats.table import TableFormat, Values, damaged
from workers.ingest.sources import InputObject

CELL_BYTES = 64


class OrcValues(Values):
    """Dates are texts, decimals doubles: so Druid's reader has it."""

    def plain(self, value: Any) -> Any:
        if isinstance(value, Decimal):
            return float(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=UTC).strftime("%Y-%m-%dT00:00:00.000Z")
        return super().plain(value)


@input_formats.add("orc")
class OrcFormat(TableFormat):
    """`{"type": "orc", "flattenSpec", "binaryAsString"}`."""

    def __init__(self, flatten: Any, values: Values) -> None:
        super().__init__(flatten, OrcValues(binary_as_string=values.binary_as_string))

    def tables(
        self, path: Path, item: InputObject, chunk_bytes: int, needed: Collection[str] | None
    ) -> Iterator[list[dict[str, Any]]]:
        try:
            import pyorc
        except ImportError:
            raise TaskFailed("ORC cannot be read here", hint="pip install 'overlord[orc]'") from None
        done = 0
        with path.open("rb") as file:
            try:
                schema: Any = pyorc.Reader(file).schema
                names = list(schema.fields)
                if needed is not None:
                    names = [name for name in names if name in needed] or names[:1]
                reader = pyorc.Reader(file, struct_repr=pyorc.StructRepr.DICT, column_names=names)
                most = max(1, chunk_bytes // (CELL_BYTES * max(1, len(names))))
                while rows := reader.read(most):
                    yield rows
                    done += len(rows)
            except (pyorc.ParseError, pyorc.ORCError, ValueError, RuntimeError) as error:
                raise damaged(item, "ORC", done, error) from error
