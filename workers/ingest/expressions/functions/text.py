"""Functions of text. Lengths and places are counted in UTF-16 code units, as Java counts."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from overlord.model.java_pattern import java_pattern as read_java_pattern
from workers.ingest.expressions.functions.base import function
from workers.ingest.expressions.values import LONG_MAX, LONG_MIN, ExpressionError, long, piece, text, units

_MOST_CHARACTERS = 1 << 24


@function("concat", 0, None)
def _concat(*values: Any) -> str | None:
    parts = [text(value) for value in values]
    return None if not parts or None in parts else "".join(part for part in parts if part is not None)


@function("strlen")
def _strlen(value: Any) -> int | None:
    found = text(value)
    return None if found is None else units(found)


@function("lower")
def _lower(value: Any) -> str | None:
    found = text(value)
    return None if found is None else found.lower()


@function("upper")
def _upper(value: Any) -> str | None:
    found = text(value)
    return None if found is None else found.upper()


@function("reverse")
def _reverse(value: Any) -> str | None:
    if value is not None and not isinstance(value, str | list):
        raise ExpressionError("Function[reverse] needs a STRING argument")
    found = text(value)
    return None if found is None else found[::-1]


@function("repeat", 2)
def _repeat(value: Any, times: Any) -> str | None:
    found, count = text(value), long(times)
    if found is None or count is None or count < 1:
        return None
    if len(found) * count > _MOST_CHARACTERS:
        raise ExpressionError("The produced string is too large.")
    return found * count


@function("substring", 3)
def _substring(value: Any, index: Any, length: Any) -> str | None:
    found, start, count = text(value), long(index), long(length)
    if found is None:
        return None
    start, count = start or 0, count or 0
    if start >= units(found):
        return None
    if start < 0:
        raise ExpressionError(f"String index out of range: {start}")
    return piece(found, start, start + count) if count >= 0 else piece(found, start)


@function("left", 2)
def _left(value: Any, length: Any) -> str | None:
    found, count = text(value), long(length)
    if found is None or count is None:
        return None
    if count < 0:
        raise ExpressionError("Function[left] needs a postive integer as second argument")
    return piece(found, 0, count)


@function("right", 2)
def _right(value: Any, length: Any) -> str | None:
    found, count = text(value), long(length)
    if found is None or count is None:
        return None
    if count < 0:
        raise ExpressionError("Function[right] needs a postive integer as second argument")
    return piece(found, max(0, units(found) - count))


@function("strpos", 2, 3)
def _strpos(haystack: Any, needle: Any, start: Any = 0) -> int | None:
    found, wanted = text(haystack), text(needle)
    if found is None or wanted is None:
        return None
    at = max(0, long(start) or 0)
    place = piece(found, at).find(wanted)
    return -1 if place < 0 else at + units(piece(found, at)[:place])


@function("replace", 3)
def _replace(value: Any, pattern: Any, replacement: Any) -> str | None:
    found, old, new = text(value), text(pattern), text(replacement)
    return None if found is None else found.replace(old or "", new or "")


def _trimmed(value: Any, characters: Any, left: bool, right: bool) -> Any:
    """The text without those characters at its ends; a value without any stays what it is."""
    found, wanted = text(value), text(characters)
    if found is None or wanted is None:
        return None
    bare = found.lstrip(wanted) if left and wanted else found
    bare = bare.rstrip(wanted) if right and wanted else bare
    return value if bare == found else bare


@function("trim", 1, 2)
def _trim(value: Any, characters: Any = " ") -> Any:
    return _trimmed(value, characters, True, True)


@function("ltrim", 1, 2)
def _ltrim(value: Any, characters: Any = " ") -> Any:
    return _trimmed(value, characters, True, False)


@function("rtrim", 1, 2)
def _rtrim(value: Any, characters: Any = " ") -> Any:
    return _trimmed(value, characters, False, True)


def _padding(value: Any, length: Any, characters: Any) -> tuple[str, str] | None:
    """The text, cut to the length, and what it lacks."""
    found, count, pad = text(value), long(length), text(characters)
    if found is None or count is None or pad is None:
        return None
    if count <= 0:
        return None
    if count > _MOST_CHARACTERS:
        raise ExpressionError("The produced string is too large.")
    lacks = count - units(found)
    if lacks <= 0 or not pad:
        return piece(found, 0, count), ""
    return found, piece(pad * (lacks // units(pad) + 1), 0, lacks)


@function("lpad", 3)
def _lpad(value: Any, length: Any, characters: Any) -> str | None:
    parts = _padding(value, length, characters)
    return None if parts is None else parts[1] + parts[0]


@function("rpad", 3)
def _rpad(value: Any, length: Any, characters: Any) -> str | None:
    parts = _padding(value, length, characters)
    return None if parts is None else parts[0] + parts[1]


@function("contains_string", 2)
def _contains(value: Any, wanted: Any) -> int | None:
    found = text(value)
    return None if found is None else int((text(wanted) or "") in found)


@function("icontains_string", 2)
def _icontains(value: Any, wanted: Any) -> int | None:
    found = text(value)
    return None if found is None else int((text(wanted) or "").lower() in found.lower())


@function("parse_long", 1, 2)
def _parse_long(value: Any, radix: Any = 10) -> int | None:
    found, base = text(value), long(radix) or 10
    if found is None:
        return None
    if base == 16 and found[:2].lower() == "0x":
        found = found[2:]
    digits = found[1:] if found[:1] in ("+", "-") else found
    if not digits.isascii() or not digits.isalnum():
        return None
    try:
        parsed = int(found, base)
    except ValueError:
        return None
    return parsed if LONG_MIN <= parsed <= LONG_MAX else None


@function("decode_base64_utf8", 1)
def _decode(value: Any) -> str | None:
    found = text(value)
    if found is None:
        return None
    try:
        return base64.b64decode(found + "=" * (-len(found) % 4), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise ExpressionError(f"[{found}] is not base64") from None


# ---------------------------------------------------------------- regular expressions

_REFERENCE = re.compile(r"\\(.)|\$(\d)|\$\{(\w+)\}", re.DOTALL)


def java_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression as Java writes it.

    Raises
    ------
    ExpressionError
        It is none, or has what only Java knows.
    """
    try:
        return read_java_pattern(pattern)
    except ValueError as error:
        raise ExpressionError(f"The regular expression [{pattern}] cannot be read: {error}") from None


@function("regexp_extract", 2, 3)
def _regexp_extract(value: Any, pattern: Any, index: Any = 0) -> str | None:
    found = text(value)
    match = java_pattern(str(pattern)).search(found or "")
    if match is None or found is None:
        return None
    group = long(index) or 0
    if group > match.re.groups:
        raise ExpressionError(f"No group {group}")
    return match[group]


@function("regexp_like", 2)
def _regexp_like(value: Any, pattern: Any) -> int | None:
    found = text(value)
    return None if found is None else int(java_pattern(str(pattern)).search(found) is not None)


@function("regexp_replace", 3)
def _regexp_replace(value: Any, pattern: Any, replacement: Any) -> str | None:
    found, wanted, new = text(value), text(pattern), text(replacement)
    if found is None or wanted is None or new is None:
        return None
    return java_pattern(wanted).sub(lambda match: _expanded(new, match), found)


def _expanded(template: str, match: re.Match[str]) -> str:
    def one(reference: re.Match[str]) -> str:
        if reference[1] is not None:
            return reference[1]
        group: int | str = int(reference[2]) if reference[2] else reference[3]
        try:
            return match[group] or ""
        except IndexError:
            raise ExpressionError(f"No group {group}") from None

    return _REFERENCE.sub(one, template)


# ---------------------------------------------------------------- format

_CONVERSION = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


@function("format", 1, None)
def _format(pattern: Any, *args: Any) -> str | None:
    template = text(pattern)
    if template is None:
        return None
    following = iter(args)

    def one(match: re.Match[str]) -> str:
        place, flags, width, precision, conversion = match.groups()
        if conversion == "n":
            return "\n"
        if conversion == "%":
            return _wide("%", flags, width)
        try:
            value = args[int(place) - 1] if place else next(following)
        except (StopIteration, IndexError):
            raise ExpressionError(f"Format specifier '{match[0]}'") from None
        return _wide(_converted(value, flags, precision, conversion, width), flags, width)

    return _CONVERSION.sub(one, template)


def _wide(shown: str, flags: str, width: str | None) -> str:
    return shown.ljust(int(width)) if width and "-" in flags else shown.rjust(int(width or 0))


def _converted(value: Any, flags: str, precision: str | None, conversion: str, width: str | None) -> str:
    kind = conversion.lower()
    if kind == "s" or value is None:
        shown = "null" if value is None else str(text(value))
        shown = shown[: int(precision)] if precision else shown
    elif kind == "b":
        shown = "true"
    elif kind == "d" and isinstance(value, int):
        shown = _signed(value, flags, width, "," if "," in flags else "", "")
    elif kind in ("x", "o") and isinstance(value, int):
        shown = f"{value % 2**64:{'0' + width if '0' in flags and width else ''}{kind}}"
    elif kind in ("f", "e") and isinstance(value, float):
        shown = _signed(value, flags, width, "," if "," in flags else "", f".{precision or 6}{kind}")
    else:
        raise ExpressionError(f"{conversion} != {type(value).__name__}")
    return shown.upper() if conversion.isupper() else shown


def _signed(value: int | float, flags: str, width: str | None, comma: str, rest: str) -> str:
    sign = "+" if "+" in flags else " " if " " in flags else "-"
    return f"{value:{sign}{'0' + width if '0' in flags and width else ''}{comma}{rest}}"
