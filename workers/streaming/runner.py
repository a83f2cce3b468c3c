"""Reads the partitions of an index_kafka task, builds segments, and publishes them with the offsets they end at.

Exactly once rests on the last step alone: segments and offsets are one transaction of the Overlord's, which refuses
offsets that do not begin where the stored ones end. Whatever dies on the way was read in vain and is read again.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from overlord import faults
from overlord.errors import TaskFailed
from overlord.model.granularity import Granularity
from overlord.model.instant import now_ms, parse_instant
from overlord.model.kafka import metadata
from overlord.model.period import Period
from workers.context import TaskContext
from workers.ingest.account import Ledger
from workers.ingest.batch import Chunk
from workers.ingest.building import AllocatedBuckets, BuildSchema, Limits, SegmentBuilder
from workers.ingest.kafka.consumer import Messages, OutOfRange, Stream
from workers.ingest.kafka.records import Records
from workers.ingest.partition.base import Partitions
from workers.ingest.transform import Transform
from workers.publish import open_pusher
from workers.publish.claims import Appending, lock_type
from workers.publish.transaction import Transaction
from workers.streaming.averages import Averages
from workers.streaming.chat import Chat
from workers.streaming.sequences import Plan, Sequence

REPORT = "ingestionStatsAndErrors"
_POLL_S = 0.2
_LOOK_S = 0.25
_FORGOTTEN_S = 20.0
_PLACE = re.compile(r" \(Record: \d+(, Line: \d+)?\)$")


class _Unlimited(Partitions):
    """One segment a chunk and sequence: a full one ends the sequence."""

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> _Unlimited:
        return cls()


class StreamIngestion:
    """One index_kafka task, as far as it has come."""

    def __init__(self, ctx: TaskContext, ledger: Ledger) -> None:
        payload = ctx.payload
        self._ctx = ctx
        self._ledger = ledger
        self._io: dict[str, Any] = payload["ioConfig"]
        self._tuning: dict[str, Any] = payload["tuningConfig"]
        self._datasource: str = payload["dataSchema"]["dataSource"]
        self._base: str = self._io["baseSequenceName"]
        self._stream_name: str = self._io["startSequenceNumbers"]["stream"]
        start = _offsets(self._io["startSequenceNumbers"])
        checkpoints = orjson.loads(ctx.context.get("checkpoints") or b"{}")
        self.plan = Plan.of(
            start, _offsets(self._io["endSequenceNumbers"]), {int(number): each for number, each in checkpoints.items()}
        )
        spec = {"dataSchema": payload["dataSchema"], "tuningConfig": self._tuning}
        self._schema = BuildSchema.from_spec(spec, ctx.context, ctx.settings)
        granularity = payload["dataSchema"].get("granularitySpec") or {}
        self._granularity = Granularity.parse(granularity.get("segmentGranularity") or "DAY")
        self._lock_type = lock_type(ctx.context, append=True)
        self._transform = Transform(payload["dataSchema"])
        self._records = Records(
            self._io.get("inputFormat"), self._transform.inputs, all_fields=self._transform.schema.finds_types
        )
        self._window = _window(self._io)
        self._limits = Limits.of(self._tuning, ctx.memory_bytes)
        self._per_segment = self._tuning.get("maxRowsPerSegment") or 5_000_000
        self._in_all = self._tuning.get("maxTotalRows") or 20_000_000
        self._handoff_ms = _period_ms(self._tuning.get("intermediateHandoffPeriod"))
        self._averages = Averages()
        self._assigned: set[str] = set()
        self._told_at = float("-inf")
        self._published = 0
        self._chat = Chat(
            ctx,
            self.plan,
            {
                "rowStats": self._row_stats,
                "unparseableEvents": lambda: self._ledger.build.events,
                "liveReports": lambda: {REPORT: {"taskId": ctx.task_id, "payload": self.report(), "type": REPORT}},
            },
        )

    # ---- the life of the task ----

    def run(self) -> int:
        """Read until told to end; gives the number of segments published."""
        ahead = max(4 << 20, self._ctx.memory_bytes // 8)
        stream = Stream(self._io, buffer_bytes=ahead, whole=self._records.whole)
        try:
            self._chat.open()
            self._set_status("STARTING")
            while self.plan.sequences and not self.plan.stop:
                self._read_sequence(stream)
        finally:
            self._chat.close()
            stream.close()
        return self._published

    def _read_sequence(self, stream: Stream) -> None:
        """Read the first sequence to its end, and publish it."""
        sequence = self.plan.sequences[0]
        work = _Work(self, sequence)
        self._assigned = set()
        if self.plan.left():
            self._set_status("READING")
        while self._may_go_on(stream):
            for chunk in self._next(stream):
                work.add(chunk)
            self._check_full(work)
            self._tell(stream.trouble.last)
        if self.plan.stop:
            self._ctx.log.info("The task was asked to stop before completing")
            work.discard()
            return
        self._set_status("PUBLISHING")
        with_segments = work.publish()
        faults.point("after_stream_publish")
        self._published += with_segments
        with self.plan.changed:
            self.plan.sequences.pop(0)
            self.plan.changed.notify_all()
        self._tell(now=True)

    def _may_go_on(self, stream: Stream) -> bool:
        """Whether there is more to read in this sequence; waits while the task is paused."""
        plan = self.plan
        paused_at = time.monotonic()
        while True:
            with plan.changed:
                if self._ctx.stopping.is_set():
                    raise TaskFailed("Stopped while reading")
                if plan.stop:
                    return False
                left = plan.left()
                if not left:
                    return False
                if not plan.pause:
                    if plan.status != "READING":
                        plan.status = "READING"
                        plan.changed.notify_all()
                    break
                if plan.status != "PAUSED":
                    plan.status = "PAUSED"
                    plan.changed.notify_all()
                plan.changed.wait(_LOOK_S)
                asked = plan.checkpoint_asked
                if time.monotonic() - paused_at < _FORGOTTEN_S:
                    continue
                paused_at = time.monotonic()
                if not asked:  # whoever paused us is gone
                    self._ctx.log.warning("Paused for %d s without a word; reading goes on", _FORGOTTEN_S)
                    plan.pause = False
                    continue
            self._ask_for_checkpoint(plan.sequences[0])
        if left.keys() != self._assigned:
            self._assigned = set(left)
            stream.assign(left)
        return True

    def _set_status(self, status: str) -> None:
        with self.plan.changed:
            self.plan.status = status
            self.plan.changed.notify_all()

    # ---- reading ----

    def _next(self, stream: Stream) -> Iterator[tuple[Chunk, npt.NDArray[np.bool_] | None]]:
        """Typed rows of what has come, and which of them are wanted."""
        try:
            messages = stream.read(_POLL_S)
        except OutOfRange as lost:
            self._out_of_range(stream, lost.partitions)
            return
        messages, after = self._ours(messages)
        if not len(messages):
            return
        for raw in self._records.chunks(messages, self._stream_name):
            chunk = self._transform.apply(raw)
            keep = self._in_window(chunk)
            yield _placed(chunk), keep
        with self.plan.changed:
            self.plan.current |= after

    def _ours(self, messages: Messages) -> tuple[Messages, dict[str, int]]:
        """Those between where we stand and the end of the sequence; and where we stand after them."""
        plan = self.plan
        after: dict[str, int] = {}
        keep = np.zeros(len(messages), np.bool_)
        names = np.asarray(messages.partitions)
        for name in set(messages.partitions):
            mine = names == name
            begin, end = plan.current[name], plan.sequences[0].end[name]
            taken = mine & (messages.offsets >= begin) & (messages.offsets < end)
            keep |= taken
            if taken.any():
                after[name] = int(messages.offsets[taken].max()) + 1
            if (mine & (messages.offsets >= end)).any():
                after[name] = end  # what lies between is gone: compacted, or a mark of a transaction
        return messages.select(keep), after

    def _in_window(self, chunk: Chunk) -> npt.NDArray[np.bool_] | None:
        """Rows neither too late nor too early; None for all."""
        least, most = self._window
        if least is None and most is None:
            return None
        times = chunk.batch.columns["__time"].to_numpy()
        keep = np.ones(len(times), np.bool_)
        if least is not None:
            keep &= times >= least
        if most is not None:
            keep &= times <= most
        return None if keep.all() else keep

    def _out_of_range(self, stream: Stream, partitions: list[str]) -> None:
        """The topic has other offsets than those we were to read."""
        told = {}
        for name in partitions:
            if name not in self.plan.current:
                continue
            there = stream.range(name)
            now = self.plan.current[name]
            if there is None or there[0] <= now <= there[1]:
                continue  # the broker does not say, or it was so for a moment only
            told[name] = f"partition[{name}] has offsets {list(there)}, wanted [{now}]"
        if not told:
            with self.plan.changed:
                self._assigned = set()
            time.sleep(_POLL_S)
            return
        if self._tuning.get("resetOffsetAutomatically"):
            lost = {name: self.plan.current[name] for name in told}
            self._ctx.actions.submit(
                {
                    "type": "resetDataSourceMetadata",
                    "dataSource": self._datasource,
                    "resetMetadata": metadata(self._stream_name, lost, "end"),
                }
            )
        raise TaskFailed(
            f"Offsets out of range in stream[{self._stream_name}]: {'; '.join(told.values())}. Reset the supervisor or "
            "set tuningConfig.resetOffsetAutomatically"
        )

    # ---- ending sequences ----

    def _check_full(self, work: _Work) -> None:
        """Ask the supervisor for a checkpoint where segments are full, or time for a publish has come."""
        plan = self.plan
        if not (work.full(self._per_segment, self._in_all) or work.old(self._handoff_ms)):
            return
        with plan.changed:
            sequence = plan.sequences[0]
            if plan.checkpoint_asked or len(plan.sequences) > 1 or not sequence.open:
                return
            plan.checkpoint_asked = True
            plan.pause = True  # until the supervisor has said where the sequence ends
        self._ask_for_checkpoint(sequence)

    def _ask_for_checkpoint(self, sequence: Sequence) -> None:
        plan = self.plan
        action = {
            "type": "checkPointDataSourceMetadata",
            "supervisorId": self.supervisor_id,
            "taskGroupId": self._io.get("taskGroupId") or 0,
            "checkpointMetadata": metadata(self._stream_name, sequence.start, "start"),
        }
        self._ctx.log.info("Sequence[%d] is full, asking for a checkpoint", sequence.number)
        if not self._ctx.actions.submit(action):
            self._ctx.log.warning("No supervisor took the checkpoint; reading goes on")
            with plan.changed:
                plan.checkpoint_asked = False
                plan.pause = False

    @property
    def supervisor_id(self) -> str:
        """Whose task this is."""
        return str(self._ctx.context.get("supervisorId") or self._datasource)

    # ---- what is shown ----

    def _tell(self, trouble: str | None = None, *, now: bool = False) -> None:
        stats = asdict(self._ledger.build.stats)
        self._averages.look(stats)
        if not now and time.monotonic() - self._told_at < _LOOK_S:
            return
        self._told_at = time.monotonic()
        rows = stats["processed"] + stats["processedWithError"] + stats["thrownAway"] + stats["unparseable"]
        self._ctx.progress(
            phase=self.plan.status,
            rows=rows,
            rejected=stats["unparseable"],
            bytes=stats["processedBytes"],
            segments=self._published,
            trouble=trouble,
        )
        self._ctx.report.set(REPORT, self.report())

    def report(self, *, error: str | None = None, done: bool = False) -> dict[str, Any]:
        """The payload of `ingestionStatsAndErrors`."""
        payload = self._ledger.report(error=error)
        events, stats = payload["unparseableEvents"], payload["rowStats"]
        first = _offsets(self._io["startSequenceNumbers"])
        return payload | {
            "ingestionState": "COMPLETED" if done else payload["ingestionState"],
            "unparseableEvents": {"buildSegments": events["buildSegments"]} if events else {},
            "rowStats": {"buildSegments": stats["buildSegments"]},
            "segmentAvailabilityConfirmed": error is None,
            "recordsProcessed": {name: offset - first[name] for name, offset in self.plan.current.items()},
        }

    def _row_stats(self) -> dict[str, Any]:
        totals = asdict(self._ledger.build.stats)
        return {
            "movingAverages": {"buildSegments": self._averages.shown()},
            "totals": {"buildSegments": totals},
        }

    # ---- for the work on a sequence ----

    def begin(self, sequence: Sequence) -> tuple[Appending, SegmentBuilder]:
        """Claims and builder of a sequence."""
        claims = Appending(
            self._datasource,
            self._ctx.actions,
            sequence=f"{self._base}_{sequence.number}",
            lock_type=self._lock_type,
            query_granularity=self._schema.query_granularity,
            segment_granularity=self._granularity,
            lineage=False,
        )
        scratch = self._ctx.dir / f"sequence-{sequence.number}"
        buckets = AllocatedBuckets(self._granularity, [], claims.allocate)
        return claims, SegmentBuilder(self._schema, buckets, _Unlimited(), scratch=scratch, limits=self._limits)

    def take(self, builder: SegmentBuilder, chunk: Chunk, keep: npt.NDArray[np.bool_] | None) -> None:
        """Count rows, and build those that are wanted."""
        if self._ledger.add(chunk, keep):
            builder.add(chunk.batch if keep is None else chunk.batch.select(keep))

    def commit(self, sequence: Sequence, claims: Appending, builder: SegmentBuilder) -> int:
        """Push and publish a sequence; gives the number of segments."""
        pusher = open_pusher(self._ctx.settings)
        pusher.unique = uuid.uuid4().hex[:12]  # a replica builds the same segments
        with Transaction(pusher, self._ctx.actions) as transaction:
            segments = []
            for built in builder.finish():
                if self._ctx.stopping.is_set():
                    raise TaskFailed("Stopped while building segments")
                segments.append(transaction.push(built.directory, claims.claim(built)))
            payloads = claims.complete(segments)
            offsets = {
                "dataSource": self._datasource,
                "startMetadata": metadata(self._stream_name, sequence.start, "start"),
                "endMetadata": metadata(self._stream_name, sequence.end, "end"),
            }
            if not payloads and sequence.start == sequence.end:
                return 0
            if self._io.get("useTransaction") is False:
                transaction.publish(payloads, self._lock_type)
                ours = True
            else:
                ours = transaction.publish_stream(payloads, self._lock_type, offsets)
        shutil.rmtree(self._ctx.dir / f"sequence-{sequence.number}", ignore_errors=True)
        word = "Published" if ours else "A replica has published"
        self._ctx.log.info("%s [%d] segments up to %s", word, len(segments), sequence.end)
        return len(segments)


class _Work:
    """Rows of one sequence."""

    def __init__(self, task: StreamIngestion, sequence: Sequence) -> None:
        self._task = task
        self._sequence = sequence
        self._claims, self._builder = task.begin(sequence)
        self._began = time.monotonic()

    def add(self, taken: tuple[Chunk, npt.NDArray[np.bool_] | None]) -> None:
        """Take rows."""
        self._task.take(self._builder, *taken)

    def full(self, per_segment: int, in_all: int) -> bool:
        """Whether a segment, or all together, have so many rows."""
        counts = self._builder.counts
        return max(counts.values(), default=0) >= per_segment or sum(counts.values()) >= in_all

    def old(self, after_ms: int | None) -> bool:
        """Whether it has been read for so long, and something is in it."""
        return (
            after_ms is not None and (time.monotonic() - self._began) * 1000 >= after_ms and bool(self._builder.counts)
        )

    def publish(self) -> int:
        """Make it visible."""
        return self._task.commit(self._sequence, self._claims, self._builder)

    def discard(self) -> None:
        """Forget it."""
        self._builder = self._task.begin(self._sequence)[1]


def _offsets(numbers: Mapping[str, Any]) -> dict[str, int]:
    found = numbers.get("partitionSequenceNumberMap") or numbers.get("partitionOffsetMap") or {}
    return {str(name): int(offset) for name, offset in found.items()}


def _window(io: Mapping[str, Any]) -> tuple[int | None, int | None]:
    least, most = io.get("minimumMessageTime"), io.get("maximumMessageTime")
    return (
        None if least is None else parse_instant(least),
        None if most is None else parse_instant(most),
    )


def _period_ms(text: Any) -> int | None:
    """A period as millis; None if it never comes."""
    if not isinstance(text, str):
        return None
    length = Period.parse(text).utc_ms
    return None if length is None or length > now_ms() else length


def _placed(chunk: Chunk) -> Chunk:
    """Messages have no lines: each is a record of its own."""
    if not chunk.bad:
        return chunk
    bad = [
        replace(row, details=tuple(_PLACE.sub(" (Record: 1, Line: 1)", text) for text in row.details))
        for row in chunk.bad
    ]
    return replace(chunk, bad=bad)
