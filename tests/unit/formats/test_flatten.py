"""flattenSpec: paths and programs give what stock Druid's flattener gave for the same rows."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlord.errors import BadRequest, TaskFailed
from overlord.model.json_path import BadPath, parse_json_path
from tests.unit.test_input_specs import load, refusal
from workers.ingest.formats import input_formats
from workers.ingest.formats.flatten import FlattenSpec
from workers.ingest.sources import InputObject

ANSWERS = [
    json.loads(line)
    for line in gzip.decompress((Path(__file__).parent / "stock_paths.jsonl.gz").read_bytes()).splitlines()
]
ROW = {
    "a": 1,
    "b": {"c": [1, 2, None, 4], "d": {"e": "x"}},
    "l": [{"a": 1, "t": "p"}, {"a": 2}],
    "s": "text",
    "nums": [3, 1, 2.5],
    "e": [],
}


def get(kind, expr, row):
    fields = [{"type": kind, "name": "x", "expr": expr}]
    return FlattenSpec.from_json({"fields": fields}).fields["x"](row)


def as_druid_has_it(value):
    """Whole numbers beyond 64 bits are doubles."""
    if type(value) is int and abs(value) >= 2**63:
        return float(value)
    if isinstance(value, list):
        return [as_druid_has_it(item) for item in value]
    if isinstance(value, dict):
        return {name: as_druid_has_it(item) for name, item in value.items()}
    return value


def test_paths_give_what_stock_druids_library_gave():
    assert len(ANSWERS) > 2500
    for each in ANSWERS:
        if each.get("refused"):
            with pytest.raises(BadPath):
                parse_json_path(each["expr"])
        else:  # where its task fails, we have a null
            found = as_druid_has_it(get("path", each["expr"], each["row"]))
            assert repr(found) == repr(each["value"]), each


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        ("$.nums.index(1)", 1),  # stock's fails
        ("$.nums.last()", 2.5),
        ("$.e.sum()", None),
        ("$.zz.length()", None),
        ("$..*.a", [None, 1, 2]),  # stock's second row would depend on the first
    ],
)
def test_where_stock_druid_fails_there_is_an_answer(expr, value):
    row = {**ROW, "b": {"d": {"e": 1}}} if ".." in expr else ROW
    found = get("path", expr, row)
    assert found == value or (".." in expr and None in found)


@pytest.mark.parametrize(
    ("program", "value"),
    [
        (".a", 1),
        (".zz", None),
        (".a.b", None),  # stock's task fails
        (".b.c[-1]", 4),
        (".b.c[]", 1),
        (".b.c[1:3]", [2, None]),
        ("[.l[].a]", [1, 2]),
        (".l | map(.a) | add", 3),
        (".l[] | select(.a > 1)", {"a": 2}),
        (".l[] | select(.a > 5)", None),
        ('if .a == 1 then "one" else "other" end', "one"),
        ('"\\(.a)-x"', "1-x"),
        (".b | keys", ["c", "d"]),
        ('.b["c"][1]', 2),
        (".a + 1", 2),
        (".a / 2", 0.5),
        ("def f: . + 1; .a | f", 2),
        ("$ENV.HOME", None),
        ("env.HOME", None),
    ],
)
def test_jq_programs_give_their_first_output(program, value):
    assert get("jq", program, ROW) == value


@pytest.mark.parametrize("kind", ["path", "jq", "root", "tree"])
def test_formats_read_through_a_flatten_spec_whatever_the_size_of_a_piece(kind):
    field = {"type": kind, "name": "x", "expr": {"path": "$..a", "jq": "[.l[].a]", "root": "l"}.get(kind)}
    spec = {"fields": [field | ({"nodes": ["b", "d", "e"]} if kind == "tree" else {})]}
    wanted = {"path": [1, 1, 2], "jq": [1, 2], "root": ROW["l"], "tree": "x"}[kind]
    text = (json.dumps(ROW) + "\n").encode() * 3
    for chunk_bytes in (1, 7, 1 << 20):
        form = input_formats["json"].from_json({"flattenSpec": spec})
        item = InputObject(name="here", size=None, open=lambda: io.BytesIO(text))
        chunks = list(form.read([item], chunk_bytes=chunk_bytes))
        assert [value for chunk in chunks for value in chunk.batch.columns["x"].to_list()] == [wanted] * 3
        assert all(chunk.batch.rows.event(at)["x"] == wanted for chunk in chunks for at in range(len(chunk.batch)))


def flattening(*fields, form="json"):
    return {"type": form, "flattenSpec": {"fields": list(fields)}}


@pytest.mark.parametrize("form", ["json", "parquet", "orc", "avro_ocf"])
@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ({"type": "path", "expr": "$."}, "Path must not end with a '.' or '..'"),
        ({"type": "path", "expr": "$.a[?(@.b >)]"}, "Failed to parse filter: @.b >, error on position: 5, char: "),
        ({"type": "path", "expr": "$.a[x]"}, "Could not parse token starting at position 3. Expected ?, ', 0-9, * "),
        ({"type": "path", "expr": "$.a.total()"}, "Function with name: total does not exist. Known: append, avg,"),
        ({"type": "jq", "expr": ".a["}, "syntax error, unexpected end of file"),
        ({"type": "jq", "expr": "total(.a)"}, "total/1 is not defined (jq program 'total(.a)')"),
    ],
)
def test_what_cannot_be_read_is_refused_at_submit_with_its_place(form, field, problem):
    good = {"type": "path", "name": "good", "expr": "$.x"}
    error = refusal({"type": "inline", "data": "x"}, flattening(good, {"name": "bad", **field}, form=form))
    start = "Cannot construct instance of `org.apache.druid.java.util.common.parsers.JSONPathFieldSpec`, problem: "
    assert error.message.startswith(start + problem)
    assert error.where == "spec.ioConfig.inputFormat.flattenSpec.fields[1].expr"


def test_jq_without_its_library_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jq", None)
    spec = flattening({"type": "jq", "name": "x", "expr": ".a | length"})
    with pytest.raises(BadRequest, match=r"pip install 'overlord\[jq\]'"):
        load({"type": "inline", "data": "x"}, spec)
    with pytest.raises(TaskFailed, match=r"pip install 'overlord\[jq\]'"):
        input_formats["json"].from_json(spec)


LETTERS = st.text(st.sampled_from("$@.*[]()?'\",:-0129ab =!<>&|~/\\{}é𝄞"), max_size=25)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=LETTERS | LETTERS.map(lambda text: f"$.a[?({text})]") | LETTERS.map(lambda text: f"$['a']{text}"))
def test_any_text_is_a_path_or_is_refused(text):
    try:
        parse_json_path(text)
    except BadPath:
        return
    get("path", text, ROW)


@pytest.mark.parametrize("text", ["$.a[" + "9" * 5000 + "]", "$.a[?" + "(" * 5000 + "@.a" + ")" * 5000 + "]"])
def test_a_monstrous_path_is_refused(text):
    with pytest.raises(BadPath):
        parse_json_path(text)
