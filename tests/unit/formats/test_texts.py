"""csv, tsv, regex and json: any table comes out as it went in, and any text is read alike by the fast and the exact
way, whatever the size of the pieces.
"""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.ingest.formats import delimited, input_formats
from workers.ingest.formats import json as json_format
from workers.ingest.sources import InputObject

SIZES = (1, 7, 1 << 20)
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\x01"), max_size=6)
CELLS = TEXTS | st.sampled_from(["", "𝄞", 'a"b', "a,b", "a\nb", "1", "-7", "1.5", '"', '""', "\t", "{}"])
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12)
ODD = st.text(st.sampled_from('aé𝄞,"\n\t|1.- {}[]:\r'), max_size=60)


def read(kind, text, chunk_bytes, **spec):
    """Rows with their lines, rows as events, and bad rows."""
    data = text.encode()
    form = input_formats[kind].from_json({"type": kind, **spec})
    item = InputObject(name="here", size=None, open=lambda: io.BytesIO(data))
    rows, events, bad = [], [], []
    for chunk in form.read([item], chunk_bytes=chunk_bytes):
        lists = {name: column.to_list() for name, column in chunk.batch.columns.items()}
        for at, line in enumerate(chunk.batch.line.tolist()):
            values = {name: values[at] for name, values in lists.items()}
            rows.append((line, {name: values[name] for name in sorted(values) if values[name] is not None}))
            events.append({name: v for name, v in chunk.batch.rows.event(at).items() if v is not None})
        bad += [(row.line, row.input, row.details) for row in chunk.bad]
    return rows, events, bad


def exactly(kind, text, chunk_bytes, **spec):
    """The same by the exact way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited.DelimitedReader, "_by_polars", lambda *_: None)
        careful = lambda self, data: self._careful(data.split(b"\n")[:-1])  # noqa: E731
        patch.setattr(json_format.JsonReader, "_lines", careful)
        return read(kind, text, chunk_bytes, **spec)


def the_same(kind, text, **spec):
    """What all ways and sizes agree on."""
    found = [way(kind, text, size, **spec) for way in (read, exactly) for size in SIZES]
    for other in found[1:]:
        assert repr(other) == repr(found[0])
    rows, events, bad = found[0]
    return [row for _, row in rows], events, bad


def present(*cells):
    return {name: cell for name, cell in zip("abc", cells, strict=True) if cell}


@settings(QUICK, max_examples=40)
@given(rows=TABLES, quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_gives_the_table_that_went_in(rows, quoting):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=quoting).writerows([("a", "b", "c"), *rows])
    found, events, bad = the_same("csv", out.getvalue(), findColumnsFromHeader=True)
    assert [{n: v for n, v in row.items() if v} for row in found] == [present(*row) for row in rows]
    assert [{n: v for n, v in row.items() if v} for row in events] == [present(*row) for row in rows]
    assert bad == []


@settings(QUICK, max_examples=30)
@given(rows=st.lists(st.tuples(*[CELLS.map(lambda cell: cell.replace("\n", "").replace("\t", ""))] * 3), max_size=12))
@pytest.mark.parametrize("delimiter", ["\t", "|", "||"])
def test_tsv_gives_the_table_that_went_in(delimiter, rows):
    rows = [tuple(cell.replace("|", "") for cell in row) for row in rows]
    text = "".join(delimiter.join(row) + "\n" for row in [("a", "b", "c"), *rows])
    found, _, bad = the_same("tsv", text, findColumnsFromHeader=True, delimiter=delimiter)
    assert found == [present(*row) for row in rows]
    assert bad == []


@settings(QUICK, max_examples=50)
@given(text=ODD)
@pytest.mark.parametrize("kind", ["csv", "tsv"])
@pytest.mark.parametrize(
    "spec",
    [
        {"columns": ["a", "b", "c"]},
        {"columns": ["a", "b"], "listDelimiter": "|", "tryParseNumbers": True},
        {"columns": ["a", "b"], "skipHeaderRows": 2},
    ],
    ids=["plain", "lists and numbers", "skipping"],
)
def test_any_text_is_read_alike_as_cells(kind, spec, text):
    rows, events, bad = the_same(kind, text, **spec)
    assert len(rows) == len(events) and bad == []


@settings(QUICK, max_examples=40)
@given(text=ODD)
def test_any_text_is_read_alike_by_a_pattern(text):
    found, events, bad = the_same("regex", text, pattern=r"([^,]*),(.*)", columns=["a", "b"], listDelimiter="|")
    assert found == events
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    assert [line for _, line, _ in bad] == [line for line in lines if "," not in line]
    assert len(found) == sum("," in line for line in lines)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | CELLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "d e", "é"]), VALUES, max_size=4), max_size=10)


@settings(QUICK, max_examples=40)
@given(rows=OBJECTS, ascii=st.booleans(), spaces=st.booleans())
def test_json_gives_the_objects_that_went_in(rows, ascii, spaces):
    separators = (", ", ": ") if spaces else (",", ":")
    text = "".join(json.dumps(row, ensure_ascii=ascii, separators=separators) + "\n" for row in rows)
    found, _, bad = the_same("json", text)
    assert found == [{name: value for name, value in row.items() if value is not None} for row in rows]
    assert bad == []


@settings(QUICK, max_examples=40)
@given(rows=st.lists(st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2).map(json.dumps) | ODD, max_size=8))
def test_lines_that_are_no_json_are_told_alike(rows):
    the_same(
        "json", "".join(row.replace("\n", " ").replace("\r", " ") + "\n" for row in rows), assumeNewlineDelimited=True
    )
