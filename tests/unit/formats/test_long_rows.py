"""Rows that are longer than the blocks they are read in are looked at a few times, not once a block."""

from __future__ import annotations

import io

import pytest

from overlord.errors import TaskFailed
from workers.ingest.formats import delimited, input_formats, text
from workers.ingest.formats import json as json_format
from workers.ingest.sources import InputObject

BLOCK = 1 << 10
LINE = b'{"a": "' + b"x" * 300_000 + b'"}\n{"a": "y"}\n'
OBJECT = b'{"a": {\n' + b",\n".join(b'"k%d": 1' % i for i in range(20_000)) + b'}}\n{"a": "y"}\n'
CELL = b'a\n"' + b"x,\n" * 100_000 + b'"\ny\n'


@pytest.mark.parametrize(
    ("kind", "data", "reader"),
    [
        ("json", LINE, json_format.JsonReader),
        ("json", OBJECT, json_format.JsonReader),
        ("csv", CELL, delimited.DelimitedReader),
    ],
    ids=["line", "object over lines", "cell over lines"],
)
def test_bytes_are_looked_at_a_few_times(kind, data, reader, monkeypatch):
    looked_at = 0
    parse = reader.parse

    def counting(self, data, last):
        nonlocal looked_at
        looked_at += len(data)
        return parse(self, data, last)

    monkeypatch.setattr(reader, "parse", counting)
    form = input_formats[kind].from_json({"findColumnsFromHeader": True})
    item = InputObject(name="here", size=None, open=lambda: io.BytesIO(data))
    rows = [row for chunk in form.read([item], chunk_bytes=BLOCK) for row in chunk.batch.columns["a"].to_list()]
    assert len(rows) == 2 and rows[1] == "y"
    assert looked_at < 5 * len(data)


@pytest.mark.parametrize("data", [LINE, LINE.replace(b"\n", b""), OBJECT, CELL])
def test_a_row_over_the_limit_is_named(data, monkeypatch):
    monkeypatch.setattr(text, "MAX_ROW_BYTES", 50_000)
    monkeypatch.setattr(json_format, "MAX_SPANNING_BYTES", 1 << 20)
    form = input_formats["csv" if data is CELL else "json"].from_json({"findColumnsFromHeader": True})
    item = InputObject(name="here", size=None, open=lambda: io.BytesIO(data))
    with pytest.raises(TaskFailed, match=r"Cannot read here: the row at line \d is longer than"):
        list(form.read([item], chunk_bytes=BLOCK))
