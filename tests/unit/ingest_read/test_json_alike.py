"""Lines read at once give what they give one by one, or are left alone."""

from __future__ import annotations

import json
import random
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ingest.formats.json import JsonFormat, JsonReader
from workers.ingest.formats.json_alike import read_alike

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=20)
INTEGERS = st.integers() | st.integers(-9, 99)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
KINDS = [PLAIN, PLAIN, INTEGERS, FLOATS, INTEGERS | FLOATS, st.booleans(), TEXTS, PLAIN | INTEGERS, st.lists(PLAIN)]


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    keys = draw(st.lists(PLAIN, min_size=1, max_size=4, unique=True))
    kinds = [draw(st.sampled_from(KINDS)) for _ in keys]
    kinds = [st.none() | kind if draw(st.booleans()) else kind for kind in kinds]
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (",", " : ")]))
    rows = [dict(zip(keys, map(draw, kinds), strict=True)) for _ in range(draw(st.integers(1, 6)))]
    text = "".join(json.dumps(row, separators=separators, ensure_ascii=False) + "\n" for row in rows).encode()
    if draw(st.integers(0, 3)) == 0:  # a fault somewhere
        at = draw(st.integers(0, len(text) - 2))
        text = text[:at] + draw(st.binary(max_size=2)) + text[at + draw(st.integers(0, 2)) :]
        text = text.rstrip(b"\r\n") + b"\n"
    return text


def one_by_one(data: bytes, wanted: list[str] | None) -> tuple[dict[str, pl.Series], list[Any]]:
    reader = JsonReader(JsonFormat.from_json({"type": "json"}), wanted)
    parsed = reader._one_by_one(data)
    return dict(parsed.columns), parsed.bad


def same(ours: pl.Series, plain: pl.Series) -> bool:
    return ours.dtype == plain.dtype and list(map(repr, ours.to_list())) == list(map(repr, plain.to_list()))


@given(lines(), st.booleans())
def test_alike_lines_have_the_columns_they_have_one_by_one(data: bytes, every: bool) -> None:
    wanted = None if every else ["a", "b", *list(one_by_one(data, None)[0])[:2]]
    found = read_alike(data, wanted)
    if found is None:
        return
    columns, bad = one_by_one(data, wanted)
    assert not bad
    assert list(found) == list(columns)
    for name, values in found.items():
        assert values.name == name
        assert same(values, columns[name]), (name, values, columns[name])


NAMES = ["ts", "page", "käse", "n", "x", "mixed", "ok", "none"]
VALUES: list[list[Any]] = [
    ["2024-01-01T00:00:00Z", "a, b", "𝄞", 1, 1.5, 1, True, None],
    ["2024-01-01T00:00:01Z", "", None, -3, -0.0, 2.5, False, None],
    ["2024-01-01T00:00:02Z", "{c}", "null", None, 1e300, 10**20, True, None],
]
ROWS = [dict(zip(NAMES, values, strict=True)) for values in VALUES]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_lines_of_one_program_are_read_at_once(separators: tuple[str, str]) -> None:
    data = "".join(json.dumps(r, ensure_ascii=False, separators=separators) + "\n" for r in ROWS).encode()
    found = read_alike(data, None)
    assert found is not None
    columns, _ = one_by_one(data, None)
    assert list(found) == list(ROWS[0])
    assert all(same(values, columns[name]) for name, values in found.items())


@pytest.mark.parametrize(
    "odd",
    [
        b'{"a":1,"b":"x","c":2}',
        b'{"b":"x","a":1}',
        b'{"a":1}',
        b'{"a":1,"b":"x" }',
        b'{"a":01,"b":"x"}',
        b'{"a":1e999,"b":"x"}',
        b'{"a":1,"b":"x"y"}',
        b'{"a":1,"b":"}',
        b'{"a":1,"b":"\\u0041"}',
        b'{"a":1,"b":"\x01"}',
        b'{"a":1,"b":"\xff"}',
        b'{"a":1,"b":["x"]}',
        b'{"a":1,"b":"x"}{"a":1,"b":"x"}',
        b"",
        b"null",
    ],
)
def test_a_line_unlike_the_first_leaves_all_to_the_exact_reader(odd: bytes) -> None:
    plain = b'{"a":1,"b":"x"}\n'
    assert read_alike(plain * 3, None) is not None
    for data in (plain + odd + b"\n" + plain, odd + b"\n" + plain, plain + plain + odd + b"\n"):
        assert read_alike(data, None) is None


def test_decimals_are_read_to_the_last_bit() -> None:
    chance = random.Random(3)
    values = [chance.random() * 10.0 ** chance.randrange(-320, 300) for _ in range(3000)]
    data = "".join(f'{{"x":{value!r}}}\n' for value in values if "." in repr(value) or "e" in repr(value)).encode()
    found = read_alike(data, ["x"])
    assert found is not None
    assert found["x"].to_list() == values
