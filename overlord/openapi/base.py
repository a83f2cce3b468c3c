"""The words in which routes are described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]

JSON = "application/json"
TEXT = "text/plain"

ANY: Schema = {}
STRING: Schema = {"type": "string"}
WITHOUT_NUL: Schema = {"type": "string", "pattern": "^[^\\x00]*$"}
NULLABLE: Schema = {"type": ["string", "null"]}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}

# Where one part of a request has to fit another, which a schema cannot say, both are described by these.
EXAMPLE = "wikipedia"
SEGMENT = "wikipedia_2024-01-01T00:00:00.000Z_2024-01-02T00:00:00.000Z_2024-01-03T00:00:00.000Z"

INSTANT = (
    r"(19[789]|20[01])[0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"
)
INTERVAL: Schema = {
    "type": "string",
    "pattern": "^" + INSTANT + "/P[1-9]D$",
    "description": "ISO 8601: two instants, or an instant and a period, with a slash between. (Any such text is read; "
    "the pattern is one form of many.)",
    "examples": ["2024-01-01T00:00:00.000Z/P1D"],
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One status of a route.

    Attributes
    ----------
    what : str
    content_type : str or None
        None: no body, or one that is not always there.
    schema : dict or None
        None: not JSON, whatever the content type says.
    headers : dict
        Name and description of headers that may be there.
    """

    what: str
    content_type: str | None = None
    schema: Schema | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As a response object."""
        out: dict[str, Any] = {"description": self.what}
        if self.content_type is not None:
            out["content"] = {self.content_type: {} if self.schema is None else {"schema": self.schema}}
        if self.headers:
            out["headers"] = {name: {"description": text, "schema": STRING} for name, text in self.headers.items()}
        return out


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A query parameter or header."""

    name: str
    what: str
    schema: Schema = field(default_factory=lambda: WITHOUT_NUL)
    place: str = "query"

    def document(self) -> dict[str, Any]:
        """As a parameter object."""
        return {"name": self.name, "in": self.place, "description": self.what, "schema": self.schema}


@dataclass(frozen=True, kw_only=True)
class Body:
    """A request body."""

    schema: Schema
    what: str = ""
    content_type: str = JSON


@dataclass(frozen=True, kw_only=True)
class Route:
    """What a route takes and gives, beyond what all do."""

    answers: dict[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    what: str = ""
    body: Body | None = None
    names: Mapping[str, Schema] = field(default_factory=dict)  # of the path, where not any text will do
    renamed: Mapping[str, str] = field(default_factory=dict)  # names of the path, where they speak of something else
    worker: bool = False  # asks for the token of an attempt


def gives(schema: Schema, what: str = "Done.", **headers: str) -> Answer:
    """JSON."""
    return Answer(what=what, content_type=JSON, schema=schema, headers=headers)


def raw(what: str) -> Answer:
    """A bare text under the name of JSON, which Druid often gives: it does not parse."""
    return Answer(what=f"{what} (Bare text, although it is called JSON; or a JSON error.)", content_type=JSON)


def text(what: str) -> Answer:
    """Plain text."""
    return Answer(what=what, content_type=TEXT, schema=STRING)


def nothing(what: str = "Done; no body.") -> Answer:
    """No body, or one that is not always there."""
    return Answer(what=what)


def ref(name: str) -> Schema:
    """A shape of `shapes`."""
    return {"$ref": f"#/components/schemas/{name}"}


def some(schema: Schema, *, at_least: int = 0) -> Schema:
    """An array."""
    return {"type": "array", "items": schema, **({"minItems": at_least} if at_least else {})}


def by_name(schema: Schema) -> Schema:
    """An object with values of one shape."""
    return {"type": "object", "additionalProperties": schema}


def shape(**fields: Schema) -> Schema:
    """An object that has all these fields, and maybe more."""
    return {"type": "object", "properties": fields, "required": list(fields)}


FAULT = gives({"anyOf": [ref("Error"), ref("DruidException")]}, "The request is at fault; the text says where.")
UNKNOWN_TASK = text("There is no such task.")
CREATED = gives(ref("Changed"), "How many segments were changed.")
