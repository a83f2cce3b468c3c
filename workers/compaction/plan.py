"""A compaction as one or several ingestions over a `druid` source, each of which publishes for itself.

With a segmentGranularity there is one, over all the time that is compacted. Without one there is one for each interval
that segments have, or for several that overlap, whose length then is the granularity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from overlord.errors import TaskFailed
from overlord.model import java_hash
from overlord.model.compaction_input import input_interval
from overlord.model.granularity import ALL, STANDARD, Granularity
from overlord.model.interval import ETERNITY, Interval
from overlord.model.period import Period
from overlord.model.segment import DataSegment
from overlord.model.timeline import lookup
from workers.compaction.existing import Existing

Spec = dict[str, Any]
Look = Callable[[Iterable[DataSegment]], Existing]

_JAVA = "org.apache.druid.java.util.common."
INDEX_SPEC = {
    "bitmap": {"type": "roaring"},
    "dimensionCompression": "lz4",
    "stringDictionaryEncoding": {"type": "utf8"},
    "metricCompression": "lz4",
    "longEncoding": "longs",
}
NO_LIMIT = 2**63 - 1


def plan(task: Mapping[str, Any], used: Sequence[DataSegment], look: Look) -> list[Spec]:
    """The specs of a compact task's ingestions, in the order in which Druid runs them.

    Parameters
    ----------
    task : mapping
        The compact task.
    used : sequence of DataSegment
        The visible segments of its time.
    look : callable
        Reads what segments know; asked only for what the task does not say.
    """
    within = input_interval(task["ioConfig"]["inputSpec"])
    seen = {segment.id: segment for _, segments in lookup(used, within) for segment in segments}
    granularity_spec = task.get("granularitySpec") or {}
    if granularity_spec.get("segmentGranularity") is not None:
        groups = [(within, _umbrella(seen.values()), list(seen.values()))] if seen else []
        granularity = Granularity.parse(granularity_spec["segmentGranularity"])
        return [_spec(task, span, total, granularity, look(segments)) for span, total, segments in groups]
    united = _united(seen.values())
    return [_spec(task, span, span, granularity_of(span), look(united[span])) for span in java_order(list(united))]


def _umbrella(segments: Iterable[DataSegment]) -> Interval:
    intervals = [segment.interval for segment in segments]
    return Interval(min(i.start for i in intervals), max(i.end for i in intervals))


def _united(segments: Iterable[DataSegment]) -> dict[Interval, list[DataSegment]]:
    """Segments by interval; those of intervals that overlap are together."""
    groups: list[tuple[Interval, list[DataSegment]]] = []
    for segment in sorted(segments, key=lambda s: (s.interval, s.id)):
        if groups and (groups[-1][0] == segment.interval or groups[-1][0].overlaps(segment.interval)):
            span, members = groups[-1]
            groups[-1] = Interval(span.start, max(span.end, segment.interval.end)), [*members, segment]
        else:
            groups.append((segment.interval, [segment]))
    return dict(groups)


def _spec(task: Mapping[str, Any], span: Interval, total: Interval, granularity: Granularity, known: Existing) -> Spec:
    io_config = task["ioConfig"]
    if not io_config.get("allowNonAlignedInterval"):
        _check_aligned(span, granularity)
    told = task.get("granularitySpec") or {}
    query = told.get("queryGranularity")
    if query is None:
        query = "NONE" if known.query_granularity is None else known.query_granularity
    rollup = told.get("rollup")
    dimensions, metrics = task.get("dimensionsSpec"), task.get("metricsSpec")
    dimensions = known.dimensions_spec() if dimensions is None else dimensions
    metrics = known.metrics_spec() if metrics is None else metrics
    _check_distinct(dimensions, metrics)
    condition = (task.get("transformSpec") or {}).get("filter")
    return {
        "dataSchema": {
            "dataSource": task["dataSource"],
            "timestampSpec": {"column": "__time", "format": "millis", "missingValue": None},
            "dimensionsSpec": dimensions,
            "metricsSpec": metrics,
            "granularitySpec": {
                "type": "uniform",
                "segmentGranularity": granularity.to_json(),
                "queryGranularity": Granularity.parse(query).to_json(),
                "rollup": known.rollup if rollup is None else rollup,
                "intervals": [str(total)],
            },
            "transformSpec": {"filter": condition, "transforms": []},
            "projections": task.get("projections"),
        },
        "ioConfig": {
            "type": "index_parallel",
            "inputSource": {"type": "druid", "dataSource": task["dataSource"], "interval": str(span)},
            "inputFormat": None,
            "appendToExisting": False,
            "dropExisting": bool(io_config.get("dropExisting")),
        },
        "tuningConfig": tuning_config(task.get("tuningConfig")),
    }


def tuning_config(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The tuningConfig of the ingestions: dynamic partitions have no maxTotalRows unless they are told one."""
    tuning = dict(given or {})
    spec = dict(tuning.get("partitionsSpec") or {})
    if not spec:
        spec = {"type": "hashed" if tuning.get("forceGuaranteedRollup") else "dynamic"}
    if spec["type"] == "dynamic":
        most = spec.get("maxTotalRows")
        spec = {
            "type": "dynamic",
            "maxRowsPerSegment": spec.get("maxRowsPerSegment") or 5_000_000,
            "maxTotalRows": NO_LIMIT if most is None else most,
        }
    elif spec["type"] == "hashed" and len(spec) == 1:
        spec |= {
            "numShards": None,
            "partitionDimensions": [],
            "partitionFunction": "murmur3_32_abs",
            "maxRowsPerSegment": 5_000_000,
        }
    tuning.setdefault("indexSpec", INDEX_SPEC)
    return tuning | {"type": "index_parallel", "partitionsSpec": spec}  # the type that sub-tasks know


def _check_aligned(span: Interval, granularity: Granularity) -> None:
    first, last = granularity.bucket(span.start), granularity.bucket(span.end - 1)
    if span != Interval(first.start, last.end):
        raise TaskFailed(
            f"{_JAVA}IAE: Interval[{span}] to compact is not aligned with segmentGranularity[{granularity}]"
        )


def _check_distinct(dimensions: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> None:
    names = {each if isinstance(each, str) else each["name"] for each in dimensions.get("dimensions") or ()}
    twice = [each["name"] for each in metrics if each["name"] in names]
    if twice:
        seen = "; ".join(f"[{name}] seen in dimensions list, metricsSpec list" for name in twice)
        raise TaskFailed(
            f"org.apache.druid.error.DruidException: Cannot specify a column more than once: {seen}",
            hint="Give the task a dimensionsSpec or a metricsSpec",
        )


# ---------------------------------------------------------------- Druid's ways


def granularity_of(interval: Interval) -> Granularity:
    """The named granularity that is as long as an interval.

    Raises
    ------
    TaskFailed
        There is none.
    """
    if interval == ETERNITY:
        return ALL
    period = period_of(interval)
    names = [name for name in vars(period) if getattr(period, name)]
    lengths = {Period.parse(text): name for name, text in STANDARD.items()}
    if len(names) == 1:
        # any number of years, weeks and days counts as one
        if names[0] in ("years", "weeks", "days"):
            return Granularity.parse({"years": "YEAR", "weeks": "WEEK", "days": "DAY"}[names[0]])
        if names == ["millis"]:
            seconds, millis = divmod(period.millis, 1000)
            if seconds and not millis:
                return Granularity.parse("SECOND")
        elif period in lengths:
            return Granularity.parse(lengths[period])
    raise TaskFailed(f"{_JAVA}IAE: Granularity is not supported. [{period}]")


def period_of(interval: Interval) -> Period:
    """The interval's length in calendar units, the greatest first, as Joda counts it in UTC."""
    years = _whole(interval, lambda n: Period(years=n))
    months = _whole(interval, lambda n: Period(months=n))
    left = interval.end - Period(months=months).add_to(interval.start)
    weeks, left = divmod(left, 7 * 86_400_000)
    days, left = divmod(left, 86_400_000)
    hours, left = divmod(left, 3_600_000)
    minutes, left = divmod(left, 60_000)
    return Period(
        years=years, months=months - 12 * years, weeks=weeks, days=days, hours=hours, minutes=minutes, millis=left
    )


def _whole(interval: Interval, period: Callable[[int], Period]) -> int:
    """How many of a unit fit into an interval."""
    unit = period(1).add_to(0)
    n = max(0, (interval.end - interval.start) // unit - 1)
    while period(n + 1).add_to(interval.start) <= interval.end:
        n += 1
    while n and period(n).add_to(interval.start) > interval.end:
        n -= 1
    return n


def java_order(intervals: Sequence[Interval]) -> list[Interval]:
    """The order in which a Java HashMap with these keys, put in order, gives them: reports are numbered by it."""
    return java_hash.order(intervals, _hash)


def _hash(interval: Interval) -> int:
    utc_chronology = 885_211
    return java_hash.of_all([java_hash.of_long(interval.start), java_hash.of_long(interval.end), utc_chronology], 97)
