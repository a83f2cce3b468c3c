"""index, and index_parallel where it works in its own slot: rows in, segments out, in one process.

Without given intervals Druid reads its input twice: for the intervals, which it then locks, and to build. Here one
reading does both, since nothing that is built depends on the lock but the version, which is put in at the push. Only
when appending do chunks depend on what the Overlord allocates under the lock: then the input is read twice as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from overlord import faults
from overlord.errors import OverlordError, TaskFailed
from overlord.model.granularity import Granularity
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.model.subtasks import is_parent
from workers.context import TaskContext
from workers.ingest import Input, chunk_bytes_for
from workers.ingest.account import Ledger, Tolerance
from workers.ingest.bad_rows import KeptBadRows
from workers.ingest.batch import Chunk
from workers.ingest.building import AllocatedBuckets, Buckets, BuildSchema, FixedBuckets, Limits, SegmentBuilder
from workers.ingest.pace import Pace
from workers.ingest.partition import HashedPartitions, Partitions, partitioning, partitionings
from workers.ingest.sources import Access
from workers.publish import open_pusher
from workers.publish.availability import wait_until_served
from workers.publish.claims import LOCK_TIMEOUT_MS, Actions, Appending, Claims, Locks, Replacing, lock_type, tombstones
from workers.publish.compaction_state import compaction_state, remember
from workers.publish.transaction import Transaction
from workers.tasks import jobs

REPORT = "ingestionStatsAndErrors"


@jobs.add("index", "index_parallel")
def run(ctx: TaskContext) -> None:
    """Ingest what the task's spec names, and report how it went."""
    from workers.parallel import parent  # which knows this module

    if parent.is_wanted(ctx):
        parent.run(ctx)
    else:
        run_alone(ctx)


def run_alone(ctx: TaskContext) -> None:
    """The whole work in this process."""
    spec = ctx.payload["spec"]
    intervals = (spec["dataSchema"].get("granularitySpec") or {}).get("intervals")
    tuning = spec.get("tuningConfig") or {}
    ledger = Ledger(
        Tolerance.from_json(tuning),
        determining=not intervals or _counts_first(tuning),
        bad_rows=kept_rows(ctx),
        as_parent=_shared_by_sub_tasks(ctx),
    )
    ctx.report.set(REPORT, ledger.report())  # the first of the two, as Druid has them
    ctx.report.set("taskContext", ctx.context)
    with failing_into(ctx, ledger.report):
        published = Ingestion(ctx, ledger).run()
    ctx.report.set(REPORT, ledger.report(published=published))
    ctx.log.info("Published [%d] segments of dataSource[%s]", published, spec["dataSchema"]["dataSource"])


def _shared_by_sub_tasks(ctx: TaskContext) -> bool:
    """Whether Druid would have sub-tasks do this: a compaction has none here, nor has a server with one slot."""
    if not is_parent(ctx.payload):
        return False
    access = Access(actions=ctx.actions, scratch=ctx.dir)
    return Input(ctx.payload["spec"], ctx.settings, access=access).source.splittable


def kept_rows(ctx: TaskContext) -> KeptBadRows | None:
    """Where the task's rejected rows go, if it is asked to keep them."""
    return KeptBadRows.of(ctx.context, ctx.dir.parent)


def _counts_first(tuning: Mapping[str, Any]) -> bool:
    spec = tuning.get("partitionsSpec") or {"type": "hashed" if tuning.get("forceGuaranteedRollup") else "dynamic"}
    return str(spec.get("type")) in partitionings and partitioning(tuning).needs_counting


@contextmanager
def failing_into(ctx: TaskContext, report: Callable[..., dict[str, Any]]) -> Iterator[None]:
    """Put a failure into the task's report as well."""
    try:
        yield
    except OverlordError as failure:
        ctx.report.set(REPORT, report(error=failure.message))
        raise
    except OSError as failure:
        message = f"{failure.strerror or failure}: {failure.filename or ctx.dir}"
        ctx.report.set(REPORT, report(error=message))
        raise TaskFailed(message) from failure


class Ingestion:
    """One batch ingestion, as far as it has come.

    Parameters
    ----------
    ctx : TaskContext
    ledger : Ledger
    actions : Actions, optional
        In whose name it asks for locks and segments; the task's own unless given.
    sequence : str, optional
        Name of its allocations; the task's id unless given.
    """

    def __init__(
        self, ctx: TaskContext, ledger: Ledger, *, actions: Actions | None = None, sequence: str | None = None
    ) -> None:
        self._actions = actions or ctx.actions
        self._sequence = sequence or ctx.task_id
        spec = ctx.payload["spec"]
        data, io, tuning = spec["dataSchema"], spec.get("ioConfig") or {}, spec.get("tuningConfig") or {}
        granularity = data.get("granularitySpec") or {}
        self._ctx = ctx
        self._ledger = ledger
        self._spec = spec
        self._tuning = tuning
        self._datasource: str = data["dataSource"]
        self._append = bool(io.get("appendToExisting"))
        self._drop = bool(io.get("dropExisting"))
        self._fixed = granularity.get("type") == "arbitrary"
        self._granularity = Granularity.parse(granularity.get("segmentGranularity") or "DAY")
        self._given = [Interval.parse(text) for text in granularity.get("intervals") or []]
        self._schema = BuildSchema.from_spec(spec, ctx.context, ctx.settings)
        self._partitions = self._partitioning()
        self._lock_type = lock_type(ctx.context, append=self._append)
        self._locks = Locks(self._actions, self._lock_type)
        self._pace = Pace(None)
        self._reading: Input | None = None
        if data.get("projections"):
            ctx.log.warning("dataSchema.projections are not built; queries give the same rows without them")

    def _partitioning(self) -> Partitions:
        partitions = partitioning(self._tuning)
        if isinstance(partitions, HashedPartitions):
            by_sub_tasks = _shared_by_sub_tasks(self._ctx)
            partitions = replace(
                partitions,
                rollup=self._schema.rollup,
                query_granularity=self._schema.query_granularity,
                by_sub_tasks=by_sub_tasks,
            )
        return partitions

    def run(self) -> int:
        """Read, build, push, publish; gives the number of segments."""
        if self._given:
            self._locks.held()
        claims, buckets = self._places()
        builder = self._builder(buckets)
        chunks = self._read(builder, buckets)
        if not self._append and not self._given and chunks:
            self._lock(chunks)
        return self._publish(builder, claims, buckets)

    def _places(self) -> tuple[Claims, Buckets]:
        """What names segments, and into which chunks rows go."""
        if self._fixed and not self._given:
            raise TaskFailed(
                "A granularitySpec of type arbitrary has no chunks but its intervals, and there are none",
                where="spec.dataSchema.granularitySpec.intervals",
            )
        if self._append:
            if self._fixed:
                raise TaskFailed(
                    "appendToExisting needs time chunks of one granularity: a granularitySpec of type uniform, "
                    "not arbitrary",
                    where="spec.dataSchema.granularitySpec.type",
                )
            if not self._given:
                self._determine()
            claims = self._appending()
            return claims, AllocatedBuckets(self._granularity, self._given, claims.allocate)
        return Replacing(self._datasource, self._locks), self._chunks_of_spec()

    def _chunks_of_spec(self) -> Buckets:
        return FixedBuckets(self._given) if self._fixed else Buckets(self._granularity, self._given)

    def _builder(self, buckets: Buckets) -> SegmentBuilder:
        return SegmentBuilder(
            self._schema,
            buckets,
            self._partitions,
            scratch=self._ctx.dir / "build",
            limits=Limits.of(self._tuning, self._ctx.memory_bytes),
        )

    # ---- reading ----

    def _read(self, builder: SegmentBuilder, buckets: Buckets) -> set[Interval]:
        """Build all rows; gives the chunks they lie in, as far as those are to be locked."""
        starts: set[int] = set()
        determining = self._ledger.state == "DETERMINE_PARTITIONS"
        for chunk in self._chunks(Input(self._spec, self._ctx.settings, access=self._access)):
            times = chunk.batch.columns["__time"].to_numpy()
            keep = buckets.keep(times)
            if determining and not self._fixed:
                starts.update(np.unique(buckets.starts(times)).tolist())
            if self._ledger.add(chunk, keep):
                builder.add(chunk.batch if keep is None else chunk.batch.select(keep))
            self._tell()
        self._ledger.determined()
        return {buckets.interval(start) for start in starts}

    def _determine(self) -> None:
        """A reading for the intervals alone."""
        reading = Input(
            self._spec, self._ctx.settings, phase="determinePartitions", dimensions=False, access=self._access
        )
        buckets = Buckets(self._granularity)
        starts: set[int] = set()
        for chunk in self._chunks(reading):
            self._ledger.add(chunk, None, build=False)
            starts.update(np.unique(buckets.starts(chunk.batch.columns["__time"].to_numpy())).tolist())
            self._tell()
        self._ledger.determined()
        self._lock({buckets.interval(start) for start in starts})

    @property
    def _access(self) -> Access:
        return Access(actions=self._ctx.actions, scratch=self._ctx.dir)

    def _chunks(self, reading: Input) -> Iterator[Chunk]:
        sizes = [item.size for item in reading.source.objects()]
        known = [size for size in sizes if size is not None]
        self._pace = Pace(sum(known) if len(known) == len(sizes) else None)
        self._reading = reading
        reading.transform.keep_raw = self._ledger.bad_rows is not None
        self._ledger.segments_read = reading.segments_read
        self._report()
        for chunk in reading.read(chunk_bytes_for(self._ctx.memory_bytes)):
            if self._ctx.stopping.is_set():
                raise TaskFailed("Stopped while reading")
            yield chunk

    def _tell(self) -> None:
        """What can be seen from outside while it runs."""
        phase = self._ledger.determine if self._ledger.state == "DETERMINE_PARTITIONS" else self._ledger.build
        stats = phase.stats
        rows = stats.processed + stats.processedWithError + stats.thrownAway + stats.unparseable
        self._ctx.progress(
            phase=self._ledger.state,
            rows=rows,
            rejected=stats.unparseable,
            bytes=stats.processedBytes,
            **self._pace.numbers(rows, self._reading.bytes_read if self._reading else 0),
        )
        self._report()

    def _report(self) -> None:
        self._ctx.report.set(REPORT, self._ledger.report())

    # ---- identity ----

    def _lock(self, chunks: set[Interval]) -> None:
        timeout_ms = int(self._ctx.context.get("taskLockTimeout") or LOCK_TIMEOUT_MS)
        self._locks.take(chunks, timeout_ms)
        faults.point("after_lock")

    def _appending(self) -> Appending:
        return Appending(
            self._datasource,
            self._actions,
            sequence=self._sequence,
            lock_type=self._lock_type,
            query_granularity=self._schema.query_granularity,
            segment_granularity=self._granularity,
        )

    # ---- writing ----

    def _publish(self, builder: SegmentBuilder, claims: Claims, buckets: Buckets) -> int:
        with Transaction(open_pusher(self._ctx.settings), self._ctx.actions) as transaction:
            segments = []
            for built in builder.finish():
                if self._ctx.stopping.is_set():
                    raise TaskFailed("Stopped while building segments")
                segments.append(transaction.push(built.directory, claims.claim(built)))
                self._ctx.progress(phase=self._ledger.state, segments=len(segments))
            payloads = self._commit(transaction, segments, claims, buckets)
        self._wait(payloads)
        return len(segments)

    def _commit(
        self, transaction: Transaction, segments: Sequence[DataSegment], claims: Claims, buckets: Buckets
    ) -> list[dict[str, Any]]:
        """Publish what is pushed; gives the payloads."""
        payloads = claims.complete(segments)
        if self._drop and self._given and not self._append:
            filled = [segment.interval for segment in segments]
            payloads += tombstones(self._ctx.actions, self._datasource, buckets, filled, self._locks)
        if self._ctx.context.get("storeCompactionState") in (True, "true"):
            payloads = remember(payloads, compaction_state(self._spec))
        self._ctx.log.info("Pushed [%d] segments, publishing [%d]", len(segments), len(payloads))
        transaction.publish(payloads, self._lock_type)
        return payloads

    def _wait(self, published: list[dict[str, Any]]) -> None:
        """Until the segments are served, as long as the spec allows."""
        timeout_ms = int(self._tuning.get("awaitSegmentAvailabilityTimeoutMillis") or 0)
        if timeout_ms > 0 and published:
            self._ledger.state = "SEGMENT_AVAILABILITY_WAIT"
            self._report()
            url = self._ctx.settings.get("ovl.coordinator.url")
            self._ledger.availability = wait_until_served(published, url, timeout_ms, self._ctx.stopping)
