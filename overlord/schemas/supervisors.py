"""The shapes of supervisors' specs."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from marshmallow import ValidationError

from overlord.errors import BadRequest
from overlord.model.supervisor import NOOP, TOMBSTONE_CLASS, SupervisorSpec, noop_spec
from overlord.registry import Registry
from overlord.schemas.base import Flag, Kinds, ListOf, Shape, Text, shape, unknown_type
from overlord.schemas.faults import refused
from overlord.schemas.names import MOST
from overlord.schemas.unbuilt import refuse_unbuilt

supervisor_kinds: Kinds = Registry("supervisor shape")
SUPERVISOR_SPEC = "org.apache.druid.indexing.overlord.supervisor.SupervisorSpec"
_TOKENS = {str: "VALUE_STRING", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", list: "START_ARRAY"}


class SupervisorShape(Shape):
    """What all kinds have."""

    suspended = Flag(False)

    def spec(self, kind: str, data: dict[str, Any]) -> SupervisorSpec:
        """The spec of a loaded object."""
        raise NotImplementedError


@supervisor_kinds.add(TOMBSTONE_CLASS)
class NoopShape(SupervisorShape):
    """Does nothing; without an id it is a tombstone."""

    java = "org.apache.druid.indexing.overlord.supervisor.NoopSupervisorSpec"

    id = Text()
    dataSources = ListOf(Text(), list)

    def spec(self, kind: str, data: dict[str, Any]) -> SupervisorSpec:
        if None in data["dataSources"]:
            raise BadRequest(
                f"Cannot construct instance of `{self.java}`, problem: a null in dataSources", where="dataSources"
            )
        return noop_spec(data["id"], data["dataSources"])


def load_supervisor(body: Any) -> SupervisorSpec:
    """Read a posted spec.

    Parameters
    ----------
    body : JSON value

    Raises
    ------
    BadRequest
        In Druid's words; `where` is the path of the field at fault.
    """
    if isinstance(body, list):
        raise BadRequest(_unexpected(body), where="type")
    if not isinstance(body, Mapping) or "type" not in body:
        raise BadRequest(
            f"Could not resolve subtype of [simple type, class {SUPERVISOR_SPEC}]: missing type id property 'type'",
            where="type",
        )
    spec = _load(body)
    if not spec.id:
        raise BadRequest("The spec has no id", where="id", hint="an id names the supervisor in all other calls")
    if len(spec.id) > MOST or "\0" in spec.id:
        raise BadRequest(f"The id of a supervisor has at most {MOST} characters, and no U+0000", where="id")
    if not spec.datasources:
        raise BadRequest("No dataSources found to perform authorization checks", where="dataSources")
    refuse_unbuilt(spec.payload)
    return spec


def stored_supervisor(payload: bytes) -> SupervisorSpec:
    """Read a stored spec, of ours or of a stock Overlord; a tombstone too."""
    body = orjson.loads(payload)
    if body["type"] == NOOP:  # written twice, and the last one counts
        body["type"] = TOMBSTONE_CLASS
    return _load(body)


def _load(body: Mapping[str, Any]) -> SupervisorSpec:
    kind = body["type"]
    if not isinstance(kind, str) or kind not in supervisor_kinds:
        text = unknown_type(kind, SUPERVISOR_SPEC, supervisor_kinds.names())
        raise BadRequest(text.replace("`: known", "` known"), where="type", hint=text.hint)
    found = shape(supervisor_kinds[kind])
    assert isinstance(found, SupervisorShape)
    try:
        data = found.load({name: value for name, value in body.items() if name != "type"})
    except ValidationError as error:
        raise refused(error.messages, body) from None
    return found.spec(kind, data)


def _unexpected(body: list[Any]) -> str:
    """Druid's text for an array: it would take one that begins with the name of the type."""
    first = body[0] if body else None
    met = "END_ARRAY" if not body else "VALUE_NULL" if first is None else _TOKENS.get(type(first), "START_OBJECT")
    return (
        f"Unexpected token ({met}), expected VALUE_STRING: need JSON String that contains type id "
        f"(for subtype of {SUPERVISOR_SPEC})"
    )
