"""What the columns of a sample are: dimensions as asked for and as stored, and the types of all columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workers.sampling.index import TIME, Index
from workers.sampling.values import CASTS

AS_IS = ("auto", "json")
"""Kinds of dimensions whose values keep the type they came with."""
_TYPES = {"string": "STRING", "long": "LONG", "double": "DOUBLE", "float": "FLOAT"}


def plain_schema(data_schema: Mapping[str, Any]) -> dict[str, Any]:
    """The dataSchema with every dimension of a plain type: what keeps its type is looked up in the raw rows."""
    spec = dict(data_schema.get("dimensionsSpec") or {})
    listed = [
        {"type": "string", "name": each["name"]} if each["type"] in (*AS_IS, "spatial") else each
        for each in spec.get("dimensions") or ()
    ]
    if spec.pop("useSchemaDiscovery", False):
        spec["includeAllDimensions"] = True
    return {**data_schema, "dimensionsSpec": {**spec, "dimensions": listed}}


class Dimensions:
    """The dimensions of a sample.

    Parameters
    ----------
    spec : mapping
        dimensionsSpec with every default.
    names : sequence of str
        All that are known: those listed, then those found.
    """

    def __init__(self, spec: Mapping[str, Any], names: Sequence[str]) -> None:
        self._listed = {each["name"]: _with_cast(each) for each in spec.get("dimensions") or ()}
        self._discovery = bool(spec.get("useSchemaDiscovery"))
        self.names = [name for name in names if name != TIME]
        self._in_order = list(names) if TIME in names else [TIME, *names]

    @property
    def as_is(self) -> frozenset[str]:
        """Those whose values keep the type they came with."""
        return frozenset(name for name in self.names if self._kind(name) in AS_IS)

    def _kind(self, name: str) -> str:
        if name in self._listed:
            return str(self._listed[name]["type"])
        return "auto" if self._discovery else "string"

    def cast(self, name: str) -> str | None:
        """The type that a dimension's values are made to have."""
        return (self._listed.get(name) or {}).get("castToType")

    @property
    def casts(self) -> dict[str, str]:
        """Those types, by name."""
        return {name: kind for name in self.names if (kind := self.cast(name)) is not None}

    def describe(self, index: Index) -> dict[str, list[dict[str, Any]]]:
        """The three lists of the answer."""
        logical, physical, signature = [], [], []
        for name in self._in_order:
            if name == TIME:
                signature.append({"name": TIME, "type": "LONG"})
                continue
            kind = self._kind(name)
            found = self._type(name, kind, index.values[name])
            logical.append(self._listed.get(name) or dimension(_logical_kind(found), name))
            physical.append(self._physical(name, kind))
            signature.append({"name": name, "type": found})
        signature += [{"name": each.name, "type": each.kind} for each in index.aggregators]
        return {"logicalDimensions": logical, "physicalDimensions": physical, "logicalSegmentSchema": signature}

    def _type(self, name: str, kind: str, values: list[Any]) -> str:
        if kind in AS_IS:
            return self.cast(name) or type_of(values)
        return _TYPES.get(kind, "STRING")

    def _physical(self, name: str, kind: str) -> dict[str, Any]:
        listed = self._listed.get(name) or {}
        if kind not in AS_IS:
            made = dimension(kind, name, indexed=listed.get("createBitmapIndex", True))
            return made | {"dims": [name]} if kind == "spatial" else made
        made = dimension("auto", name)
        return made | {"castToType": self.cast(name)} if self.cast(name) else made


def _with_cast(listed: Mapping[str, Any]) -> dict[str, Any]:
    """A dimension with the type that Druid makes of its castToType: there are no floats, and no unknown ones."""
    found = {name: value for name, value in listed.items() if name != "castToType"}
    kind = str(listed.get("castToType") or "").upper().replace("FLOAT", "DOUBLE")
    return found | {"castToType": kind} if kind in CASTS else found


def _logical_kind(type_name: str) -> str:
    return {"STRING": "string", "LONG": "long", "DOUBLE": "double", "FLOAT": "float"}.get(type_name, "auto")


def dimension(kind: str, name: str, *, indexed: bool = True) -> dict[str, Any]:
    """A dimension as Druid writes it."""
    return {
        "type": kind,
        "name": name,
        "multiValueHandling": "SORTED_ARRAY",
        "createBitmapIndex": indexed and kind not in ("long", "double", "float"),
    }


# ---------------------------------------------------------------- types of values


def type_of(values: Iterable[Any]) -> str:
    """The type of a column that holds all these values, as Druid's auto columns find it."""
    kinds = {_kind_of(value) for value in values if value is not None}
    if not kinds:
        return "STRING"
    if "COMPLEX<json>" in kinds:
        return "COMPLEX<json>"
    best = kinds.pop()
    for other in kinds:
        best = _least(best, other)
    return "ARRAY<LONG>" if best == "ARRAY" else best  # a list without an element


def _kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return "COMPLEX<json>"
    if isinstance(value, list):
        inner = {_kind_of(item) for item in value if item is not None}
        if any(kind.startswith(("ARRAY", "COMPLEX")) for kind in inner):
            return "COMPLEX<json>"
        return f"ARRAY<{_scalar(inner)}>" if inner else "ARRAY"
    if isinstance(value, bool | int):
        return "LONG"
    return "DOUBLE" if isinstance(value, float) else "STRING"


def _scalar(kinds: set[str]) -> str:
    if "STRING" in kinds:
        return "STRING"
    return "DOUBLE" if "DOUBLE" in kinds else "LONG"


def _least(one: str, other: str) -> str:
    """The least type for values of both."""
    least = _scalar({kind.removeprefix("ARRAY<").removesuffix(">") for kind in (one, other)})
    return f"ARRAY<{least}>" if "ARRAY" in one + other else least
