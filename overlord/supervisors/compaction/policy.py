"""Which time chunks of a datasource are candidates for compaction, as Druid's newestSegmentFirst finds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from overlord.model.granularity import Granularity
from overlord.model.interval import ETERNITY, Interval
from overlord.model.period import Period
from overlord.model.segment import DataSegment
from overlord.model.timeline import lookup, visible
from overlord.supervisors.compaction.checks import reason_to_compact

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Segments that would be compacted together.

    Attributes
    ----------
    datasource : str
    segments : tuple of DataSegment
    reason : str or None
        Why they need compaction, or are skipped.
    """

    datasource: str
    segments: tuple[DataSegment, ...]
    reason: str | None = None

    @property
    def interval(self) -> Interval:
        """What they span."""
        return umbrella(segment.interval for segment in self.segments)

    @property
    def size_bytes(self) -> int:
        """Bytes of all."""
        return sum(segment.size for segment in self.segments)

    @property
    def intervals(self) -> int:
        """How many different intervals they have."""
        return len({segment.interval for segment in self.segments})


@dataclass(kw_only=True)
class Findings:
    """What a datasource consists of: done, to be done (newest first), and left alone."""

    compacted: list[Candidate] = field(default_factory=list)
    pending: list[Candidate] = field(default_factory=list)
    skipped: list[Candidate] = field(default_factory=list)


def umbrella(intervals: Iterable[Interval]) -> Interval:
    """The interval from the first start to the last end."""
    every = list(intervals)
    return Interval(min(each.start for each in every), max(each.end for each in every))


def find(config: Json, used: Sequence[DataSegment], busy: Iterable[Interval]) -> Findings:
    """Sort the segments of a datasource.

    Parameters
    ----------
    config : mapping
        Of the datasource.
    used : sequence of DataSegment
        All used ones.
    busy : iterable of Interval
        Where other tasks are at work.
    """
    return _Search(config, used, list(busy)).run()


class _Search:
    def __init__(self, config: Json, used: Sequence[DataSegment], busy: list[Interval]) -> None:
        self._config = config
        self._used = used
        self._busy = busy
        self._datasource: str = config["dataSource"]
        told = (config.get("granularitySpec") or {}).get("segmentGranularity")
        self._granularity = None if told is None else Granularity.parse(told)
        self._found = Findings()
        self._visible = visible(used)

    def run(self) -> Findings:
        if not self._visible:
            return self._found
        if endless := [each for each in self._visible if _endless(each.interval)]:
            self._skip(endless, "Segments have partial-eternity intervals")
            return self._found
        chunks = self._chunks()
        latest = self._latest(max(end for _, end in chunks))
        searched = self._searched(chunks, latest)
        queued: set[Interval] = set()
        for segments in self._groups(searched):
            self._sort(segments, queued)
        self._found.pending.sort(key=lambda each: (-each.interval.start, -each.interval.end))
        return self._found

    def _chunks(self) -> list[tuple[int, int]]:
        """Start and end of every time chunk, as it is or, with a configured granularity, as it will be."""
        intervals = {segment.interval for segment in self._visible}
        if self._granularity is not None:
            intervals = {chunk for each in intervals for chunk in self._granularity.intervals(each)}
        return sorted((each.start, each.end) for each in intervals)

    def _latest(self, end: int) -> Interval:
        """The newest stretch, which is left alone as data may still come."""
        offset = Period.parse(self._config["skipOffsetFromLatest"])
        start = offset.add_to(end, -1)
        if self._granularity is not None:
            start = self._granularity.bucket_start(start)
        return Interval(min(start, end), end)

    def _searched(self, chunks: list[tuple[int, int]], latest: Interval) -> list[Interval]:
        """The stretches between those that are skipped."""
        begin, end = chunks[0][0], chunks[-1][1]
        for interval in self._joined(latest):
            reason = f"skip offset from latest[{self._config['skipOffsetFromLatest']}]"
            if interval != latest and not interval.overlaps(latest):
                reason = "interval locked by another task"
            self._skip([each for each in self._visible if each.interval.overlaps(interval)], reason)
        out, at = [], begin
        for interval in self._joined(latest):
            if interval.start > at:
                out.append(Interval(at, min(interval.start, end)))
            at = max(at, interval.end)
        if at < end:
            out.append(Interval(at, end))
        return [each for each in out if not each.empty]

    def _joined(self, latest: Interval) -> list[Interval]:
        """Skipped stretches in order; those that meet the latest become one with it."""
        meets = [each for each in self._busy if each.overlaps(latest)]
        others = [each for each in self._busy if not each.overlaps(latest)]
        last = [] if latest.empty and not meets else [umbrella([*meets, latest])]
        return sorted([*others, *last], key=lambda each: (each.start, each.end))

    def _groups(self, searched: list[Interval]) -> list[list[DataSegment]]:
        """Segments that belong together and lie within one searched stretch, the newest first."""
        if self._granularity is None:
            groups = [group for _, group in lookup(self._used)]
        else:
            groups = list(self._by_bucket().values())
        unique = {frozenset(str(each.id) for each in group): group for group in groups}
        inside = [
            group
            for group in unique.values()
            if any(stretch.contains(umbrella(each.interval for each in group)) for stretch in searched)
        ]
        return sorted(inside, key=lambda group: umbrella(each.interval for each in group).start, reverse=True)

    def _by_bucket(self) -> dict[Interval, list[DataSegment]]:
        """With a granularity: all that is visible in the time that the segments of a bucket span."""
        assert self._granularity is not None
        buckets: dict[Interval, list[DataSegment]] = defaultdict(list)
        for segment in self._visible:
            for bucket in self._granularity.intervals(segment.interval):
                buckets[bucket].append(segment)
        return {bucket: self._across(members, buckets) for bucket, members in buckets.items()}

    def _across(self, members: list[DataSegment], buckets: Mapping[Interval, list[DataSegment]]) -> list[DataSegment]:
        """Segments of a bucket, and of those buckets that its segments reach into."""
        assert self._granularity is not None
        span = umbrella(each.interval for each in members)
        every = {each.id: each for bucket in self._granularity.intervals(span) for each in buckets.get(bucket, ())}
        return sorted((each for each in every.values() if each.interval.overlaps(span)), key=lambda each: each.id)

    def _sort(self, segments: list[DataSegment], queued: set[Interval]) -> None:
        if sum(each.size for each in segments) <= 0 or (len(segments) == 1 and segments[0].tombstone):
            return
        candidate = Candidate(datasource=self._datasource, segments=tuple(segments))
        reason = reason_to_compact(self._config, segments)
        limit = self._config["inputSegmentSizeBytes"]
        if reason is None:
            self._found.compacted.append(candidate)
        elif candidate.size_bytes > limit:
            self._skip(
                segments,
                f"'inputSegmentSize' exceeded: Total segment size[{candidate.size_bytes}] is larger than "
                f"allowed inputSegmentSize[{limit}]",
            )
        elif self._granularity is not None and candidate.interval in queued:
            self._skip(segments, "Interval is already queued")
        else:
            queued.add(candidate.interval)
            self._found.pending.append(replace(candidate, reason=reason))

    def _skip(self, segments: Sequence[DataSegment], reason: str) -> None:
        if segments:
            self._found.skipped.append(Candidate(datasource=self._datasource, segments=tuple(segments), reason=reason))


def _endless(interval: Interval) -> bool:
    return interval.start == ETERNITY.start or interval.end == ETERNITY.end


def in_order(found: Iterable[Candidate], priority: str | None) -> list[Candidate]:
    """Candidates of several datasources: those of the priority datasource first, then the newest."""
    return sorted(found, key=lambda each: (each.datasource != priority, -each.interval.start, -each.interval.end))
