"""Where partitions are read on: at the end of the group before, at what is stored, or at an end of the topic."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from overlord.supervisors.kafka.broker import Broker, StreamFault
from overlord.supervisors.kafka.groups import Offsets
from overlord.supervisors.kafka.records import Records

_log = logging.getLogger(__name__)


class Starts:
    """Start offsets of one supervisor's groups.

    Parameters
    ----------
    io, tuning : mapping
        Of the supervisor.

    Attributes
    ----------
    later : set of str
        Partitions that were not there at first: they are read from their beginning.
    """

    def __init__(
        self, supervisor_id: Any, io: Mapping[str, Any], tuning: Mapping[str, Any], broker: Broker, records: Records
    ) -> None:
        self._id = supervisor_id
        self._io = io
        self._tuning = tuning
        self._broker = broker
        self._records = records
        self._ends: Offsets = {}
        self.later: set[str] = set()

    def follow(self, ends: Mapping[str, int]) -> None:
        """A group ends there, so the next one begins there."""
        for name, offset in ends.items():
            self._ends[name] = max(offset, self._ends.get(name, 0))

    def forget(self, names: Iterable[str] | None = None) -> None:
        """Begin at what is stored again; for all partitions, or for some."""
        for name in list(self._ends if names is None else names):
            self._ends.pop(name, None)

    def of(self, names: list[str]) -> Offsets:
        """Where partitions are to be read on.

        A start that only this moment knows, the topic's end, is written down before anything is read from there: a
        task that dies before it has published must not lose what came meanwhile.

        Raises
        ------
        StreamFault
            A stored offset is not in the topic any more.
        """
        if not names:
            return {}
        stored = self._records.stored()
        known = {name: max(found) for name in names if (found := self._known(name, stored))}
        earliest = self._broker.earliest(names)
        if not self._tuning["skipSequenceNumberAvailabilityCheck"]:
            known = self._available(known, earliest)
        fresh = [name for name in names if name not in known]
        early = [name for name in fresh if self._io["useEarliestOffset"] or name in self.later]
        late = self._broker.latest([name for name in fresh if name not in early])
        if late:
            self._records.begin(late)
        return {**known, **{name: earliest[name] for name in early}, **late}

    def _known(self, name: str, stored: Offsets) -> list[int]:
        return [offsets[name] for offsets in (stored, self._ends) if name in offsets]

    def _available(self, known: Offsets, earliest: Offsets) -> Offsets:
        """Those that the topic still has; others are reset, where the spec allows it."""
        lost = {name: offset for name, offset in known.items() if offset < earliest.get(name, 0)}
        if not lost:
            return known
        if not self._tuning["resetOffsetAutomatically"]:
            name, offset = next(iter(lost.items()))
            raise StreamFault(
                f"Previous sequenceNumber [{offset}] is no longer available for partition [{name}]. You can clear the "
                "previous sequenceNumber and start reading from a valid message by using the supervisor's reset API.",
                "org.apache.druid.indexing.seekablestream.common.StreamException",
            )
        _log.warning("supervisor[%s] resets %s: the topic begins at %s", self._id, lost, earliest)
        self._records.change(dict.fromkeys(lost))
        self.forget(lost)
        return {name: offset for name, offset in known.items() if name not in lost}
