"""Which segments a reader sees: of each moment, the highest version that is complete.

Segments of one interval and version form a set. A set is complete when all its core partitions are there (those of
`partitions` 0 at once). At each moment the complete set of the highest version (compared as text) wins; an older one
stays visible where no newer one lies over it. Within a set, a full group of `numbered_overwrite` partitions replaces
the root partitions it stands for.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from overlord.model.interval import Interval
from overlord.model.segment import DataSegment, SegmentId


@dataclass(frozen=True, slots=True)
class _Set:
    """All segments of one interval and version: those that would be seen, and those replaced within it."""

    interval: Interval
    version: str
    current: tuple[DataSegment, ...]
    replaced: tuple[DataSegment, ...]
    complete: bool


def visible(segments: Iterable[DataSegment], within: Interval | None = None) -> list[DataSegment]:
    """The segments that are seen at some moment (of `within`) at least, ordered by interval, version and partition."""
    sets = _sets(segments)
    winners = {winner for moment, winner in _slices(sets) if within is None or moment.overlaps(within)}
    seen = [segment for index in winners for segment in sets[index].current]
    return sorted(seen, key=lambda s: s.id)


def lookup(segments: Iterable[DataSegment], within: Interval | None = None) -> list[tuple[Interval, list[DataSegment]]]:
    """What is seen when, in order: stretches of time, each with the segments that alone are seen there.

    Parameters
    ----------
    within : Interval, optional
        Stretches are cut to it.
    """
    sets = _sets(segments)
    joined: list[tuple[Interval, int]] = []
    for moment, winner in _slices(sets):
        if joined and joined[-1][1] == winner and joined[-1][0].end == moment.start:
            joined[-1] = (Interval(joined[-1][0].start, moment.end), winner)
        else:
            joined.append((moment, winner))
    out = []
    for moment, winner in joined:
        seen = moment if within is None else moment.intersect(within)
        if seen is not None:
            out.append((seen, sorted(sets[winner].current, key=lambda s: s.id)))
    return out


def overshadowed(segments: Iterable[DataSegment]) -> set[SegmentId]:
    """Ids of the segments that can never be seen: newer complete sets cover their whole interval.

    A segment of an incomplete set that nothing covers is neither visible nor overshadowed.
    """
    sets = _sets(segments)
    hidden = {segment.id for a_set in sets for segment in a_set.replaced}
    slices = _slices(sets)
    starts = [moment.start for moment, _ in slices]
    for a_set in sets:
        if _covered(a_set, sets, slices, starts):
            hidden.update(segment.id for segment in a_set.current)
    return hidden


def _sets(segments: Iterable[DataSegment]) -> list[_Set]:
    together: dict[tuple[Interval, str], dict[SegmentId, DataSegment]] = defaultdict(dict)
    for segment in segments:
        together[segment.interval, segment.version][segment.id] = segment
    return [_set(interval, version, list(members.values())) for (interval, version), members in together.items()]


def _set(interval: Interval, version: str, members: list[DataSegment]) -> _Set:
    if all(member.shard_spec.type != "numbered_overwrite" for member in members):
        return _Set(interval, version, tuple(members), (), _complete(members))
    groups: dict[tuple[int, int, int], list[DataSegment]] = defaultdict(list)
    for member in members:
        groups[(-member.shard_spec.minor_version, *member.shard_spec.root_range)].append(member)
    current: list[DataSegment] = []
    replaced: list[DataSegment] = []
    covered: set[int] = set()
    for (_, first, end), group in sorted(groups.items(), key=lambda item: item[0]):
        roots = range(first, end)
        if covered.issuperset(roots):
            replaced += group
        elif len(group) >= group[0].shard_spec.atomic_update_group_size:
            current += group
            covered.update(roots)
    return _Set(interval, version, tuple(current), tuple(replaced), _complete(current))


def _complete(members: Sequence[DataSegment]) -> bool:
    core = max((member.shard_spec.core_partitions for member in members), default=0)
    if core == 0:
        return bool(members) and _chain_complete(members)
    present = {root for member in members for root in range(*member.shard_spec.root_range)}
    return present.issuperset(range(core))


def _chain_complete(members: Sequence[DataSegment]) -> bool:
    """Old `single` specs do not tell the size of their core set: there the ranges must join, from null to null."""
    singles = [member.shard_spec.values for member in members if member.shard_spec.type == "single"]
    ranges = {values["start"]: values["end"] for values in singles}
    if not ranges or any(values["numCorePartitions"] >= 0 for values in singles):
        return True
    at, seen = None, 0
    while at in ranges and seen < len(ranges):
        at, seen = ranges[at], seen + 1
        if at is None:
            return True
    return False


def _slices(sets: Sequence[_Set]) -> list[tuple[Interval, int]]:
    """Pieces of time in order, each with the position of the set that wins there; time without one is left out."""
    points = sorted({point for s in sets if s.complete for point in (s.interval.start, s.interval.end)})
    order = sorted((i for i, s in enumerate(sets) if s.complete), key=lambda i: sets[i].interval)
    ranks = {version: rank for rank, version in enumerate(sorted({s.version for s in sets}))}
    heap: list[tuple[int, int]] = []
    out: list[tuple[Interval, int]] = []
    at = 0
    for start, end in pairwise(points):
        while at < len(order) and sets[order[at]].interval.start <= start:
            heapq.heappush(heap, (-ranks[sets[order[at]].version], order[at]))
            at += 1
        while heap and sets[heap[0][1]].interval.end <= start:
            heapq.heappop(heap)
        if heap:
            out.append((Interval(start, end), heap[0][1]))
    return out


def _covered(a_set: _Set, sets: Sequence[_Set], slices: Sequence[tuple[Interval, int]], starts: Sequence[int]) -> bool:
    moment = a_set.interval.start
    at = max(0, bisect_right(starts, moment) - 1)
    while moment < a_set.interval.end:
        if at >= len(slices) or not slices[at][0].contains_instant(moment):
            return False
        if sets[slices[at][1]].version <= a_set.version:
            return False
        moment = slices[at][0].end
        at += 1
    return a_set.interval.start < a_set.interval.end
