"""Which offsets a task reads, as sequences: each is published by itself, the next begins where one ends."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from overlord.model.kafka import NOT_SET

Offsets = dict[str, int]


@dataclass(kw_only=True)
class Sequence:
    """One of them.

    Attributes
    ----------
    end : dict
        Where it ends; `NOT_SET` while nobody has said so.
    last : bool
        Whether the task is done with it.
    """

    number: int
    start: Offsets
    end: Offsets
    last: bool = True

    @property
    def open(self) -> bool:
        """Whether its end is not known yet."""
        return any(offset == NOT_SET for offset in self.end.values())


@dataclass(kw_only=True)
class Plan:
    """What the reader and the chat share; whoever looks at it or changes it holds `changed`.

    Attributes
    ----------
    sequences : list of Sequence
        Those not published yet; the first is read now.
    current : dict
        The next offset of each partition.
    status : str
        Druid's: NOT_STARTED, STARTING, READING, PAUSED, PUBLISHING.
    """

    sequences: list[Sequence]
    current: Offsets
    status: str = "NOT_STARTED"
    pause: bool = False
    stop: bool = False
    checkpoint_asked: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    @classmethod
    def of(cls, start: Mapping[str, int], end: Mapping[str, int], checkpoints: Mapping[int, Mapping[str, int]]) -> Plan:
        """From a task's ioConfig, and the checkpoints of its group so far (sequence to start offsets)."""
        steps = sorted(checkpoints.items()) or [(0, start)]
        sequences = []
        for place, (number, begins) in enumerate(steps):
            last = place == len(steps) - 1
            ends = end if last else steps[place + 1][1]
            sequences.append(Sequence(number=number, start=dict(begins), end=dict(ends), last=last))
        return cls(sequences=sequences, current=dict(sequences[0].start))

    @property
    def checkpoints(self) -> dict[str, Offsets]:
        """Start of each sequence not published yet."""
        return {str(each.number): each.start for each in self.sequences}

    @property
    def end(self) -> Offsets:
        """Where the last sequence ends."""
        return self.sequences[-1].end if self.sequences else dict(self.current)

    def left(self) -> Offsets:
        """Partitions of the first sequence that are not read to their end, and where they stand."""
        end = self.sequences[0].end
        return {name: offset for name, offset in self.current.items() if offset < end[name]}

    def set_end(self, offsets: Mapping[str, int], *, finish: bool) -> str | None:
        """End the last sequence; without `finish` another one follows.

        Returns
        -------
        str or None
            Why not.
        """
        latest = self.sequences[-1] if self.sequences else None
        if latest is None:
            return "The task has published all it has read"
        unknown = offsets.keys() - latest.start.keys()
        if unknown or not offsets:
            return f"Request contains partitions not being handled by this task, my partitions: {list(latest.start)}"
        if latest.open and self.status != "PAUSED":
            return "Task must be paused before changing the end offsets"
        if not latest.open:
            if finish and latest.last and all(latest.end[name] == offset for name, offset in offsets.items()):
                return None  # said again
            return "WARNING: Sequence has already endOffsets set, cannot set to another value"
        if all(begin == offsets.get(name) for name, begin in latest.start.items()) and not finish:
            return None  # nothing was read in it: as when a checkpoint is told twice
        wrong = [name for name, offset in offsets.items() if offset < self.current[name]]
        if wrong and latest is self.sequences[0]:
            name = wrong[0]
            return f"End sequence must be >= current sequence for partition [{name}] (current: {self.current[name]})"
        latest.end = {name: offsets.get(name, self.current[name]) for name in latest.start}
        latest.last = finish
        if not finish:
            open_end = dict.fromkeys(latest.end, NOT_SET)
            self.sequences.append(Sequence(number=latest.number + 1, start=dict(latest.end), end=open_end))
        self.checkpoint_asked = False
        return None
