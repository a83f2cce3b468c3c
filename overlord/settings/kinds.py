"""The kinds a setting's value can have: how each is read from text or TOML, and how it is written back.

Inside the program periods are int milliseconds and sizes int bytes; on paper they keep Druid's notation: PT5M, 1GiB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import isodate

from overlord.registry import Registry

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_SIZE = re.compile(r"(\d+)\s*([kmgtp]?)(ib?|b)?", re.IGNORECASE)


@dataclass(frozen=True)
class Kind:
    """How values of one kind are read and written.

    Attributes
    ----------
    name : str
        As the documentation shows it.
    read : callable
        From a str (properties, environment, flag) or a TOML value to the typed value; ValueError says what is wrong.
    write : callable
        From the typed value to Druid's notation.
    """

    name: str
    read: Callable[[Any], Any]
    write: Callable[[Any], str]


kinds: Registry[Kind] = Registry("kind of setting")


def _kind(name: str, write: Callable[[Any], str] = str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def file(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
        kinds.add(name)(Kind(name, read, write))
        return read

    return file


@_kind("int")
def read_int(value: Any) -> int:
    """A whole number; underscores between digits are allowed as in TOML."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d[\d_]*", value.strip()):
        return int(value)
    raise ValueError(f"expected a whole number, not {value!r}")


@_kind("float")
def read_float(value: Any) -> float:
    """A number."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, not {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected a number, not {value!r}") from None


@_kind("bool", lambda value: "true" if value else "false")
def read_bool(value: Any) -> bool:
    """`true` or `false`, in any case."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError(f"expected true or false, not {value!r}")


@_kind("str")
def read_str(value: Any) -> str:
    """Text as it stands."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"expected a text, not {value!r}")


@_kind("path")
def read_path(value: Any) -> Path:
    """A path; a relative one counts from where the server was started, as Druid has it."""
    text = read_str(value).strip()
    if not text:
        raise ValueError("expected a path, not an empty text")
    return Path(text).expanduser().absolute()


def write_period(millis: int) -> str:
    """ISO period of a number of milliseconds."""
    if millis % 1000:
        return f"PT{millis / 1000:.3f}S"
    return str(isodate.duration_isoformat(timedelta(milliseconds=millis)))


@_kind("period", write_period)
def read_period(value: Any) -> int:
    """An ISO period, in milliseconds. Months and years have no fixed length and are refused, as in Druid."""
    try:
        span = isodate.parse_duration(value.strip() if isinstance(value, str) else value)
    except (isodate.ISO8601Error, TypeError, ValueError):
        raise ValueError(f"expected an ISO 8601 period such as PT5M, not {value!r}") from None
    if not isinstance(span, timedelta):
        raise ValueError(f"{value!r} has years or months, which have no fixed length; say it in days")
    return round(span / timedelta(milliseconds=1))


def write_bytes(size: int) -> str:
    """The largest binary unit that leaves no rest."""
    for unit in ("p", "t", "g", "m", "k"):
        if size and size % _BINARY[unit] == 0:
            return f"{size // _BINARY[unit]}{unit.upper()}iB"
    return str(size)


@_kind("bytes", write_bytes)
def read_bytes(value: Any) -> int:
    """A size: 1024, "500m" (500,000,000), "1GiB" or "1Gi" (2**30). -1 stands for no limit where a setting allows it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if text == "-1":
        return -1
    match = _SIZE.fullmatch(text.replace("_", ""))
    if not match:
        raise ValueError(f"expected a size such as 1048576, 500m or 1GiB, not {value!r}")
    number, unit, tail = int(match[1]), match[2].lower(), (match[3] or "").lower()
    if tail.startswith("i"):
        if not unit:
            raise ValueError(f"expected a size such as 1048576, 500m or 1GiB, not {value!r}")
        return number * _BINARY[unit]
    return number * _DECIMAL[unit]


@_kind("list", lambda value: json.dumps(list(value)))
def read_list(value: Any) -> tuple[str, ...]:
    """A JSON or TOML array of texts, or texts between commas."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text)
            except json.JSONDecodeError as error:
                raise ValueError(f"expected a JSON array, but {error}") from None
        else:
            value = [part.strip() for part in text.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f'expected an array of texts such as ["a", "b"], not {value!r}')
    return tuple(value)


@_kind("map", json.dumps)
def read_map(value: Any) -> dict[str, Any]:
    """A JSON object or a TOML table."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except json.JSONDecodeError as error:
            raise ValueError(f"expected a JSON object, but {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, not {value!r}")
    return value
