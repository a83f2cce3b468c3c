"""parquet, orc and avro give the rows that went in, whatever the size of the pieces they are read in."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pyorc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlord.errors import TaskFailed
from workers.ingest.formats import input_formats
from workers.ingest.sources import InputObject

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6) | st.sampled_from(["", "𝄞", "a,b", "1"])
LONGS = st.integers(-(2**63), 2**63 - 1)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "s": st.none() | TEXTS,
            "n": st.none() | LONGS,
            "d": st.none() | st.floats(allow_nan=False),
            "b": st.none() | st.booleans(),
            "l": st.none() | st.lists(TEXTS, max_size=3),
        }
    ),
    max_size=30,
)
SCHEMA = {"s": pl.String, "n": pl.Int64, "d": pl.Float64, "b": pl.Boolean, "l": pl.List(pl.String)}
AVRO = {
    "type": "record",
    "name": "row",
    "fields": [
        {"name": "s", "type": ["null", "string"]},
        {"name": "n", "type": ["null", "long"]},
        {"name": "d", "type": ["null", "double"]},
        {"name": "b", "type": ["null", "boolean"]},
        {"name": "l", "type": ["null", {"type": "array", "items": "string"}]},
    ],
}


ORC = "struct<s:string,n:bigint,d:double,b:boolean,l:array<string>>"


def parquet(rows: list[dict[str, Any]], schema: Any = None) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(rows, schema=schema or SCHEMA).write_parquet(out, row_group_size=7)
    return out.getvalue()


def orc(rows: list[dict[str, Any]], schema: str = ORC) -> bytes:
    out = io.BytesIO()
    with pyorc.Writer(out, schema, struct_repr=pyorc.StructRepr.DICT) as writer:
        writer.writerows(rows)
    return out.getvalue()


def avro(rows: list[dict[str, Any]], schema: Any = AVRO) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, schema, rows, sync_interval=100)
    return out.getvalue()


WRITERS = {"parquet": parquet, "orc": orc, "avro_ocf": avro}


def chunks(kind: str, data: bytes | Path, chunk_bytes: int = 1 << 20, wanted: Any = None, **spec: Any) -> Iterator[Any]:
    path = data if isinstance(data, Path) else None
    item = InputObject(
        name="here",
        size=None,
        open=lambda: path.open("rb") if path else io.BytesIO(data),  # type: ignore[arg-type]
        path=path,
    )
    return input_formats[kind].from_json({"type": kind, **spec}).read([item], chunk_bytes=chunk_bytes, wanted=wanted)


def read(kind: str, data: bytes | Path, chunk_bytes: int = 1 << 20, **more: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for chunk in chunks(kind, data, chunk_bytes, **more):
        lists = {name: column.to_list() for name, column in chunk.batch.columns.items()}
        assert chunk.batch.line.tolist() == list(range(len(rows) + 1, len(rows) + 1 + len(chunk.batch)))
        rows += [{name: values[i] for name, values in lists.items()} for i in range(len(chunk.batch))]
    return rows


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_any_table_comes_out_as_it_went_in_through_every_size_of_piece(kind: str, rows: list[dict[str, Any]]) -> None:
    data = WRITERS[kind](rows)
    for chunk_bytes in (1, 7, 1 << 20):
        assert read(kind, data, chunk_bytes) == rows


FLAT = {**AVRO, "fields": AVRO["fields"][:4]}  # type: ignore[index]


@settings(max_examples=25, deadline=None)
@given(rows=ROWS)
def test_avro_is_the_same_through_the_fast_and_the_exact_way(rows: list[dict[str, Any]]) -> None:
    flat = [{name: value for name, value in row.items() if name != "l"} for row in rows]
    data = avro(flat, FLAT)
    fast = input_formats["avro_ocf"].from_json({})
    exact = input_formats["avro_ocf"].from_json({})
    exact.fast = False  # type: ignore[attr-defined]
    item = InputObject(name="x", size=None, open=lambda: io.BytesIO(data))
    for chunk_bytes in (1, 7, 1 << 20):
        found = [
            [
                row
                for c in form.read([item], chunk_bytes=chunk_bytes)
                for row in map(c.batch.rows.raw, range(len(c.batch)))
            ]  # type: ignore[attr-defined]
            for form in (fast, exact)
        ]
        assert found[0] == found[1] == flat


@pytest.mark.parametrize("kind", WRITERS)
def test_only_wanted_columns_are_read_and_a_file_without_them_keeps_its_rows(kind: str) -> None:
    rows = [{"s": "a", "n": 1, "d": 0.5, "b": True, "l": ["x"]}] * 3
    assert read(kind, WRITERS[kind](rows), wanted={"n"}) == [{"n": 1}] * 3
    assert read(kind, WRITERS[kind](rows), wanted={"other"}) == [{}] * 3


@pytest.mark.parametrize("kind", WRITERS)
def test_a_flatten_spec_reaches_inside(kind: str) -> None:
    rows = [
        {"s": "a", "n": 1, "d": 0.5, "b": None, "l": ["x", "y"]},
        {"s": None, "n": 2, "d": 1.5, "b": None, "l": None},
    ]
    spec = {
        "useFieldDiscovery": False,
        "fields": [{"type": "path", "name": "second", "expr": "$.l[1]"}, {"type": "root", "name": "n"}],
    }
    asked = {"second", "n", "s"}  # who knows a field's name finds it, though it is not discovered
    assert read(kind, WRITERS[kind](rows), wanted=asked, flattenSpec=spec) == [
        {"second": "y", "n": 1, "s": "a"},
        {"second": None, "n": 2, "s": None},
    ]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_compressed_file_and_one_on_disk_are_read_too(kind: str, tmp_path: Path) -> None:
    import gzip

    rows = [{"s": "a", "n": 1, "d": 0.5, "b": True, "l": ["x"]}] * 3
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(WRITERS[kind](rows))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read(kind, plain) == read(kind, packed) == rows


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("keep", [0, 3, 0.5, -3])
def test_a_torn_file_names_itself_and_leaves_no_copy(kind: str, keep: float, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = [{"s": f"text{i}" * 5, "n": i, "d": i / 3, "b": True, "l": ["x"]} for i in range(500)]
    data = WRITERS[kind](rows)
    torn = data[: int(len(data) * keep)] if isinstance(keep, float) else data[:keep]
    with pytest.raises(TaskFailed, match="Cannot read here"):
        read(kind, torn)
    assert list(tmp_path.iterdir()) == []


def test_avro_is_read_up_to_its_damaged_block() -> None:
    rows = [{"s": f"text{i}", "n": i, "d": None, "b": None} for i in range(500)]
    data = bytearray(avro(rows, FLAT))
    data[-400:-300] = b"\xff" * 100
    seen = 0
    with pytest.raises(TaskFailed, match=r"damaged Avro data after row \d+"):
        for chunk in chunks("avro_ocf", bytes(data), 7):
            seen += len(chunk.batch)
    assert seen > 400


def test_values_of_parquet_are_those_of_druids_reader() -> None:
    frame = {
        "t": [datetime(2024, 1, 1, 0, 0, 1, 5999, tzinfo=UTC)],
        "day": [date(1969, 12, 31)],
        "dec": [Decimal("12.50")],
        "raw": [b"\xc3\xa9"],
        "deep": [{"a": {"b": [1, 2]}}],
        "f": pl.Series([0.5], dtype=pl.Float32),
        "u": pl.Series([7], dtype=pl.UInt8),
    }
    out = io.BytesIO()
    pl.DataFrame(frame).write_parquet(out)
    (row,) = read("parquet", out.getvalue())
    assert row == {
        "t": 1704067201005,
        "day": -86_400_000,
        "dec": "12.50",
        "raw": base64.b64encode(b"\xc3\xa9").decode(),
        "deep": {"a": {"b": [1, 2]}},
        "f": 0.5,
        "u": 7,
    }
    (row,) = read("parquet", out.getvalue(), binaryAsString=True)
    assert row["raw"] == "é"
    (chunk,) = chunks("parquet", out.getvalue())
    assert chunk.batch.rows.discover({"t"}, [0]) == ["day", "dec", "raw", "f", "u"]


def test_values_of_orc_and_avro_are_those_of_druids_readers() -> None:
    (row,) = read(
        "orc",
        orc(
            [{"d": date(2024, 2, 29), "p": Decimal("1.5"), "m": {"k": 1}}],
            "struct<d:date,p:decimal(10,2),m:map<string,int>>",
        ),
    )
    assert row == {"d": "2024-02-29T00:00:00.000Z", "p": 1.5, "m": {"k": 1}}
    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "us", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
            {"name": "raw", "type": "bytes"},
        ],
    }
    data = avro([{"us": 1_700_000_000_000_001, "e": "B", "raw": b"hi"}], schema)
    assert read("avro_ocf", data) == [{"us": 1_700_000_000_000_001, "e": "B", "raw": "aGk="}]
