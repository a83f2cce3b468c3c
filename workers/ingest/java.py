"""Values as Java reads and prints them: the exact rules, one value at a time.

The vectorised versions in `workers.ingest.transform` fall back to these, and the tests compare them with these.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1

_LONG = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,10})?")
_DOUBLE = re.compile(r"[-+]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fFdD]?)")
_HEX_DOUBLE = re.compile(r"[-+]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][-+]?[0-9]+[fFdD]?")
_JAVA_BLANKS = "".join(map(chr, range(0x21)))


def parse_long(text: str) -> int | None:
    """Guava's `Longs.tryParse`: ASCII digits, perhaps a minus."""
    if len(text) > 400 or _LONG.fullmatch(text) is None:
        return None
    value = int(text)
    return value if LONG_MIN <= value <= LONG_MAX else None


def parse_exact_long(text: str) -> int | None:
    """A long **dimension**: any decimal that is a whole number within 64 bits ("1e3", "5.", "+5")."""
    if (value := parse_long(text)) is not None:
        return value
    if _DECIMAL.fullmatch(text) is None:
        return None
    _, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    number = "".join(map(str, digits))
    stripped = number.rstrip("0")
    exponent += len(number) - len(stripped)
    if not stripped:
        return 0
    if exponent < 0 or len(stripped.lstrip("0")) + exponent > 19:
        return None
    value = int(stripped) * 10**exponent
    value = -value if text.startswith("-") else value
    return value if LONG_MIN <= value <= LONG_MAX else None


def parse_double(text: str) -> float | None:
    """A double **dimension**: Guava's `Doubles.tryParse`."""
    if _DOUBLE.fullmatch(text):
        return float(text.rstrip("fFdD") if text[-1] in "fFdD" else text)
    if _HEX_DOUBLE.fullmatch(text):
        try:
            return float.fromhex(text.rstrip("fFdD") if text[-1] in "fFdD" else text)
        except OverflowError:
            return float("-inf") if text.startswith("-") else float("inf")
    return None


def parse_metric(text: str) -> int | float | None:
    """A **metric** input: blanks and commas dropped, a leading plus too; a long if it can be, else a double."""
    bare = text.strip(_JAVA_BLANKS).replace(",", "").removeprefix("+")
    if (value := parse_long(bare)) is not None:
        return value
    return parse_double(bare.strip(_JAVA_BLANKS))


def tsv_number(text: str) -> str | int | float:
    """A cell under `tryParseNumbers`; names of infinity and NaN and hexadecimals stay texts."""
    if (whole := parse_long(text)) is not None:
        return whole
    number = parse_double(text)
    return text if number is None or text[-1] in "Ny" or "x" in text.lower() else number


def double_to_long(value: float) -> int:
    """Java's `(long) value`: towards zero, clamped, NaN is 0."""
    if value != value:
        return 0
    if value >= 2.0**63:
        return LONG_MAX
    return LONG_MIN if value <= -(2.0**63) else int(value)


def double_text(value: float) -> str:
    """`Double.toString`: plain digits for 1e-3 <= |x| < 1e7, else one digit before the point and an exponent.

    The digits are the shortest that read back as `value`. Java before 19 sometimes prints one more.
    """
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = repr(value)
        if "e" not in text:
            return text
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    number = "".join(map(str, digits))
    power = exponent + len(number) - 1
    number = number.rstrip("0") or "0"
    return f"{'-' if sign else ''}{number[0]}.{number[1:] or '0'}E{power}"


def text_of(value: Any) -> str:
    """`String.valueOf` of an input value: lists as `[a, b]`, maps as `{a=1}`."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if LONG_MIN <= value <= LONG_MAX else double_text(float(value))
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={text_of(item)}" for key, item in value.items()) + "}"
    return str(value)


def class_of(value: Any) -> str:
    """The Java class a message names."""
    names = {bool: "Boolean", str: "String", int: "Long", float: "Double"}
    if type(value) in names:
        return f"class java.lang.{names[type(value)]}"
    return "class java.util.ArrayList" if isinstance(value, list) else "class java.util.LinkedHashMap"
