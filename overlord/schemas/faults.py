"""From marshmallow's tree of faults to one error: what Druid would say first, and all the others beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from overlord.errors import BadRequest
from overlord.schemas.base import Fault

Path = tuple[str | int, ...]

_LAST = 1 << 30


class SpecRefused(BadRequest):
    """A spec that Druid would not take.

    Attributes
    ----------
    message : str
        What Druid says, up to its first line feed.
    where : str
        Path of the first fault.
    faults : list of (str, Fault)
        Every fault: path, and Druid's text for it with a hint.
    """

    def __init__(self, faults: list[tuple[str, Fault]]) -> None:
        where, first = faults[0]
        super().__init__(str(first).partition("\n")[0], where=where or None, hint=first.hint)
        self.faults = faults


def refused(messages: Any, body: Any) -> SpecRefused:
    """The error for the faults of `body`, in the order in which Druid meets them."""
    found = list(_flat(messages, ()))
    found.sort(key=lambda item: _place(item[0], item[1], body))
    return SpecRefused([(dotted(path), text) for path, text in found])


def dotted(path: Path) -> str:
    """`spec.dataSchema.metricsSpec[0].name`."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def _flat(messages: Any, path: Path) -> Iterator[tuple[Path, Fault]]:
    if isinstance(messages, Mapping):
        for step, inner in messages.items():
            yield from _flat(inner, path if step == "_schema" else (*path, step))
    elif isinstance(messages, list):
        for inner in messages:
            yield from _flat(inner, path)
    else:
        yield path, messages if isinstance(messages, Fault) else Fault(str(messages))


def _place(path: Path, text: Fault, body: Any) -> tuple[int, ...]:
    """Position of a fault in the text, so that those inside an object come before the object's own."""
    place: list[int] = []
    own = path[:-1] if text.of_field else path
    for step in own:
        if isinstance(body, list) and isinstance(step, int) and step < len(body):
            place.append(step)
            body = body[step]
        elif isinstance(body, Mapping) and step in body:
            place.append(list(body).index(step))
            body = body[step]
        else:
            return (*place, _LAST)
    return (*place, _LAST) if text.late else tuple(place)
