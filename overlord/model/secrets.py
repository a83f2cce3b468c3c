"""Passwords in a task's payload: what Druid's table may not hold, and who may read a task may not see.

Druid leaves the password out where it stores a task: `{"type": "default", "password": "x"}` becomes
`{"type": "default"}`. Here they are kept apart, by their place in the payload, and put back for the worker alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PASSWORD = "password"
_NAMES = frozenset({_PASSWORD, "httpAuthenticationPassword", "accessKeyId", "secretAccessKey", "sessionToken"}) | {
    "sharedAccessStorageToken",
    "appRegistrationClientSecret",
}
"""Fields that are a provider of a password, or the password itself."""

Secret = tuple[list[str | int], str]
"""Path of a field, and its text."""


def redact(payload: dict[str, Any]) -> tuple[dict[str, Any], list[Secret]]:
    """Take the passwords out.

    Returns
    -------
    dict
        The payload as it may be stored and shown; the same object when there is nothing to hide.
    list of Secret
        What was taken out.
    """
    found = list(_find(payload, []))
    if not found:
        return payload, []
    for path, _ in found:
        payload = _with(payload, path, None)
    return payload, found


def restore(payload: dict[str, Any], secrets: list[Secret]) -> dict[str, Any]:
    """The payload with its passwords, as it was given."""
    for path, text in secrets:
        payload = _with(payload, path, text)
    return payload


def _find(value: Any, path: list[str | int]) -> Iterator[Secret]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            if _is_secret(name, path) and isinstance(each, str):
                yield [*path, name], each
            elif isinstance(each, Mapping | list):
                yield from _find(each, [*path, name])
    elif isinstance(value, list):
        for number, each in enumerate(value):
            if isinstance(each, Mapping | list):
                yield from _find(each, [*path, number])


def _with(value: Any, path: list[str | int], text: str | None) -> Any:
    """A copy of `value` in which the field at `path` is `text`, or hidden."""
    step, rest = path[0], path[1:]
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    if rest:
        copy[step] = _with(copy[step], rest, text)
    elif text is not None:
        copy[step] = text
    elif step == _PASSWORD and isinstance(copy, dict) and "type" in copy:
        del copy[step]
    else:
        copy[step] = {"type": "default"}
    return copy


def _is_secret(name: str, path: list[str | int]) -> bool:
    """Whether a field is a secret by its name; `key` is one in the properties of a source, where Azure has it."""
    return name in _NAMES or (name == "key" and path[-1:] == ["properties"])
