"""A supervisor's spec as a value, and the words for how one is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson

TOMBSTONE_CLASS = "NoopSupervisorSpec"
NOOP = "noop"


@dataclass(frozen=True, kw_only=True)
class SupervisorSpec:
    """A spec with every default filled in.

    Attributes
    ----------
    id : str or None
        None in a tombstone.
    type : str
        Druid's name for the kind, which finds the class in `supervisor_types`.
    source : str or None
        What it reads: a topic, `noop`, or nothing.
    datasources : tuple of str
    payload : dict
        As Druid writes it, in its order.
    suspended : bool
    """

    id: str | None
    type: str
    source: str | None
    datasources: tuple[str, ...]
    payload: dict[str, Any]
    suspended: bool

    @property
    def is_noop(self) -> bool:
        """Whether nothing runs for it; the tombstone of a terminated supervisor is one."""
        return self.type == NOOP

    @property
    def written(self) -> bytes:
        """JSON text, the same for equal specs."""
        text = orjson.dumps(self.payload)
        if not self.is_noop:
            return text
        # Druid writes `type` twice: first the one it reads again, then that of the supervisor. Parsers keep the last.
        return b'{"type":"%s",' % TOMBSTONE_CLASS.encode() + text[1:]

    def with_suspended(self, suspended: bool) -> SupervisorSpec:
        """The same, suspended or not; a noop never is."""
        if self.is_noop:
            return self
        return replace(self, suspended=suspended, payload=self.payload | {"suspended": suspended})

    def tombstone(self) -> SupervisorSpec:
        """What ends its history."""
        return noop_spec(None, list(self.datasources))


def noop_spec(spec_id: str | None, datasources: list[str]) -> SupervisorSpec:
    """A spec that does nothing."""
    payload = {"id": spec_id, "dataSources": datasources, "suspended": False, "type": NOOP, "source": NOOP}
    return SupervisorSpec(
        id=spec_id, type=NOOP, source=NOOP, datasources=tuple(datasources), payload=payload, suspended=False
    )


@dataclass(frozen=True, kw_only=True)
class SupervisorState:
    """How a supervisor is.

    Attributes
    ----------
    state : str
        Druid's basic state.
    detailed : str
        The exact one.
    healthy : bool
    """

    state: str
    detailed: str
    healthy: bool = True

    @classmethod
    def of(cls, name: str) -> SupervisorState:
        """A state that is its own detail."""
        return cls(state=name, detailed=name)
