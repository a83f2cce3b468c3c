"""regex: lines that a pattern takes apart."""

from __future__ import annotations

import io

import pytest

from overlord.errors import TaskFailed
from workers.ingest.formats import input_formats
from workers.ingest.sources import InputObject


def read(text, chunk_bytes=1 << 20, **spec):
    form = input_formats["regex"].from_json({"type": "regex", **spec})
    item = InputObject(name="log", size=None, open=lambda: io.BytesIO(text.encode()))
    rows, bad = [], []
    for chunk in form.read([item], chunk_bytes=chunk_bytes):
        columns = {name: column.to_list() for name, column in chunk.batch.columns.items()}
        rows += [
            (int(line), {name: values[i] for name, values in columns.items()})
            for i, line in enumerate(chunk.batch.line)
        ]
        bad += [(row.line, row.input) for row in chunk.bad]
    return rows, bad


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_a_line_must_match_as_a_whole(chunk_bytes):
    rows, bad = read(
        "a=1,x|y\r\nno\na=2,\na=3,z more\n",
        chunk_bytes,
        pattern=r"(?<key>\w)=(\d+),(\S*)",
        columns=["k", "n", "tags"],
        listDelimiter="|",
    )
    assert rows == [(1, {"k": "a", "n": "1", "tags": ["x", "y"]}), (3, {"k": "a", "n": "2", "tags": ""})]
    assert bad == [(2, "no"), (4, "a=3,z more")]


def test_columns_without_names_are_numbered():
    assert read("ab", pattern="(a)(b)(c)?")[0] == [(1, {"column_1": "a", "column_2": "b", "column_3": None})]


def test_a_pattern_that_cannot_be_read_is_named():
    with pytest.raises(TaskFailed, match="pattern cannot be read"):
        read("", pattern="(")
