"""What sub-tasks do: read a split or merge parts, and hand on what came of it; their parent publishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from overlord import faults
from overlord.errors import TaskFailed
from overlord.model.granularity import Granularity
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.model.shard_spec import ShardSpec
from workers.context import TaskContext
from workers.exchange import open_exchange
from workers.ingest import Input
from workers.ingest.account import Ledger, Tolerance
from workers.ingest.building import Buckets, BuildSchema, BuiltSegment, Limits, SegmentBuilder
from workers.ingest.building.emit import emit
from workers.ingest.building.merge import merge_runs
from workers.ingest.building.run import Run
from workers.ingest.building.run_file import read_run, write_run
from workers.ingest.building.store import Scratch
from workers.ingest.partition import DynamicPartitions, HashedPartitions, Partitions, RangePartitions
from workers.ingest.partition.counting import smallest, to_bytes, values_of
from workers.parallel import handing
from workers.parallel.parts import Location, bounds_from_json
from workers.publish.claims import Appending
from workers.tasks import jobs
from workers.tasks.index import REPORT, Ingestion, failing_into, kept_rows


class Surrogate:
    """Actions in the name of the parent, who holds the locks."""

    def __init__(self, ctx: TaskContext) -> None:
        self._ctx = ctx

    def submit(self, action: dict[str, Any], /) -> Any:
        """Have an action performed and return its result."""
        parent = self._ctx.payload["supervisorTaskId"]
        return self._ctx.actions.submit({"type": "surrogateAction", "surrogateId": parent, "taskAction": action})


class Split(Ingestion):
    """The reading of one split."""

    def __init__(self, ctx: TaskContext, ledger: Ledger, partitions: Partitions | None = None) -> None:
        super().__init__(ctx, ledger, actions=Surrogate(ctx), sequence=ctx.payload["subtaskSpecId"])
        if partitions is not None:
            self._partitions = partitions
        self.handing = handing.Handing(open_exchange(ctx.settings), ctx.payload)

    def segments(self) -> Iterator[dict[str, Any]]:
        """Build the split's segments; gives what the parent needs to know of each."""
        claims, buckets = self._places()
        builder = self._builder(buckets)
        self._read(builder, buckets)
        for built in builder.finish():
            if self._ctx.stopping.is_set():
                raise TaskFailed("Stopped while building segments")
            claimed = claims.claim(built) if isinstance(claims, Appending) else None
            yield segment_json(built, self.handing, claimed)

    def rolled_up(self) -> tuple[Run, Buckets, SegmentBuilder] | None:
        """All rows of the split, in order of their parts."""
        buckets = self._chunks_of_spec()
        builder = self._builder(buckets)
        self._read(builder, buckets)
        parted = builder.parted()
        if parted is None:
            return None
        run, self.pieces = parted
        return run, buckets, builder

    def batches(self) -> Iterator[tuple[Run, Buckets]]:
        """The rows as they come, as integers."""
        buckets = self._chunks_of_spec()
        builder = self._builder(buckets)
        for chunk in self._chunks(Input(self._spec, self._ctx.settings, access=self._access)):
            keep = buckets.keep(chunk.batch.columns["__time"].to_numpy())
            self._ledger.add(chunk, keep)
            batch = chunk.batch if keep is None else chunk.batch.select(keep)
            if len(batch):
                yield builder.encode(batch), buckets
            self._tell()

    def _report(self) -> None:
        self._ctx.report.set(REPORT, split_report(self._ledger))


def split_report(ledger: Ledger, *, error: str | None = None, done: bool = False) -> dict[str, Any]:
    """A sub-task's report: without determinePartitions and number of segments."""
    whole = ledger.report(error=error)
    return whole | {
        "ingestionState": "COMPLETED" if done else whole["ingestionState"],
        "unparseableEvents": {"buildSegments": ledger.build.events},
        "rowStats": {"buildSegments": asdict(ledger.build.stats)},
    }


def segment_json(built: BuiltSegment, hand: handing.Handing, claimed: DataSegment | None = None) -> dict[str, Any]:
    """Hand on a segment; gives what its publisher needs to know."""
    return {
        "key": hand.path(built.directory),
        "interval": str(built.interval),
        "rows": built.rows,
        "size": built.size,
        "dimensions": list(built.dimensions),
        "metrics": list(built.metrics),
        "shardSpec": built.shard_spec.to_json(),
        "claimed": None if claimed is None else claimed.to_json(),
    }


@contextmanager
def _split(ctx: TaskContext, partitions: Partitions | None = None) -> Iterator[tuple[Split, dict[str, Any]]]:
    """A split to work on, and its result to fill in; it counts, and the report is final, when the work is done."""
    tolerance = Tolerance.from_json(ctx.payload["spec"].get("tuningConfig") or {})
    ledger = Ledger(tolerance, determining=False, bad_rows=kept_rows(ctx))

    def report(*, error: str | None = None) -> dict[str, Any]:
        return split_report(ledger, error=error)

    result: dict[str, Any] = {}
    with failing_into(ctx, report):
        split = Split(ctx, ledger, partitions)
        yield split, result
        done = split_report(ledger, done=True)
        ctx.report.set(REPORT, done)
        faults.point("before_result")
        counted = {name: done[name] for name in ("rowStats", "unparseableEvents")}
        split.handing.finish({**result, **counted, "segmentsRead": ledger.segments_read})
        faults.point("after_result")


@jobs.add("single_phase_sub_task")
def single_phase(ctx: TaskContext) -> None:
    """The segments of a split."""
    with _split(ctx) as (split, result):
        result["segments"] = list(split.segments())


def _query_granularity(ctx: TaskContext) -> Granularity:
    return BuildSchema.from_spec(ctx.payload["spec"], ctx.context, ctx.settings).query_granularity


@jobs.add("partial_dimension_cardinality")
def cardinality(ctx: TaskContext) -> None:
    """How many keys each chunk has: those of all dimensions, whichever are hashed then."""
    partitions = HashedPartitions(query_granularity=_query_granularity(ctx))
    with _split(ctx, DynamicPartitions()) as (split, result):
        found: dict[str, Any] = {}
        for run, buckets in split.batches():
            hashes = partitions.long_hashes(run, 0, len(run))
            for start in np.unique(run.chunk[:]).tolist():
                here = hashes[run.chunk[:] == start]
                chunk = str(buckets.interval(start))
                found[chunk] = smallest([found[chunk], here] if chunk in found else [here])
        result["chunks"] = {chunk: split.handing.data(hashes.tobytes()) for chunk, hashes in found.items()}


@jobs.add("partial_dimension_distribution")
def distribution(ctx: TaskContext) -> None:
    """How the values of each chunk lie."""
    wanted = RangePartitions.from_json(ctx.payload["spec"]["tuningConfig"]["partitionsSpec"])
    with _split(ctx, DynamicPartitions(max_rows_per_segment=2**62, max_total_rows=2**62)) as (split, result):
        result["chunks"] = {}
        rolled = split.rolled_up()
        if rolled is None:
            return
        run, buckets, _ = rolled
        for piece in split.pieces:
            values = values_of(run, wanted.dimensions, piece.start, piece.stop)
            result["chunks"][str(buckets.interval(piece.chunk))] = split.handing.data(to_bytes(values))


@jobs.add("partial_index_generate")
def generate_hashed(ctx: TaskContext) -> None:
    """The split's rows in the parts of their hashes."""
    shards = ctx.payload.get("intervalToNumShardsOverride") or {}
    partitions = replace(
        HashedPartitions.from_json(ctx.payload["spec"]["tuningConfig"]["partitionsSpec"]),
        shards_of={Interval.parse(chunk).start: int(count) for chunk, count in shards.items()},
        query_granularity=_query_granularity(ctx),
    )
    _generate(ctx, partitions)


@jobs.add("partial_range_index_generate")
def generate_ranges(ctx: TaskContext) -> None:
    """The split's rows in the parts that were cut."""
    partitions = RangePartitions.from_json(ctx.payload["spec"]["tuningConfig"]["partitionsSpec"])
    bounds = {
        Interval.parse(chunk).start: bounds_from_json(given)
        for chunk, given in (ctx.payload.get("intervalToPartitions") or {}).items()
    }
    _generate(ctx, replace(partitions, bounds_of=bounds))


def _generate(ctx: TaskContext, partitions: Partitions) -> None:
    with _split(ctx, partitions) as (split, result):
        result["pieces"] = []
        rolled = split.rolled_up()
        if rolled is None:
            return
        run, buckets, _ = rolled
        path = ctx.dir / "run"
        result["header"] = write_run(run, path)
        result["run"] = split.handing.path(path)
        result["pieces"] = [
            {
                "interval": str(buckets.interval(piece.chunk)),
                "start": piece.start,
                "stop": piece.stop,
                "shardSpec": piece.shard_spec.to_json(),
            }
            for piece in split.pieces
        ]


@jobs.add("partial_index_generic_merge")
def merge(ctx: TaskContext) -> None:
    """The segments of some parts, each of all splits' rows in it."""
    exchange = open_exchange(ctx.settings)
    hand = handing.Handing(exchange, ctx.payload)
    spec = ctx.payload["spec"]
    merging = _Merging(ctx, BuildSchema.from_spec(spec, ctx.context, ctx.settings))
    segments = []
    groups = Location.grouped(spec["ioConfig"]["partitionLocations"])
    for number, (interval, shard_spec, locations) in enumerate(groups):
        if ctx.stopping.is_set():
            raise TaskFailed("Stopped while merging")
        runs = [merging.open(location) for location in locations]
        built = merging.write(runs, interval, shard_spec, number)
        segments.append(segment_json(built, hand))
        ctx.progress(segments=len(segments))
    faults.point("before_result")
    hand.finish({"segments": segments})
    faults.point("after_result")


class _Merging:
    """The same parts of several splits become one."""

    def __init__(self, ctx: TaskContext, schema: BuildSchema) -> None:
        self._ctx = ctx
        self._schema = schema
        self._exchange = open_exchange(ctx.settings)
        self._scratch = Scratch(ctx.dir / "runs")
        self._limits = Limits.of(ctx.payload["spec"].get("tuningConfig") or {}, ctx.memory_bytes)
        self._results: dict[str, Mapping[str, Any]] = {}

    def open(self, location: Location) -> Run:
        """The rows of a part in one split."""
        result = self._result(location.sub_task)
        (piece,) = [p for p in result["pieces"] if location.matches(p)]
        path = self._exchange.fetch(result["run"], self._ctx.dir)
        return read_run(path, result["header"], piece["start"], piece["stop"], self._scratch)

    def write(self, runs: list[Run], interval: Interval, shard_spec: ShardSpec, number: int) -> BuiltSegment:
        """Merge and write."""
        first = runs[0]
        row_bytes = max(1, sum(column.dtype.itemsize for column in _keys(first)))
        row_bytes += sum(state.size for state in first.states) // max(1, len(first))
        block_rows = max(1024, self._limits.nbytes // 2 // row_bytes)
        run = merge_runs(runs, self._schema, self._scratch, block_rows) if len(runs) > 1 else runs[0]
        return emit(
            run,
            0,
            len(run),
            interval=interval,
            order=shard_spec.partition_num,
            shard_spec=shard_spec,
            schema=self._schema,
            into=self._ctx.dir / f"segment-{number + 1}",
        )

    def _result(self, sub_task: str) -> Mapping[str, Any]:
        if sub_task not in self._results:
            self._results[sub_task] = handing.result_by(self._exchange, self._ctx.payload["supervisorTaskId"], sub_task)
        return self._results[sub_task]


def _keys(run: Run) -> Iterator[Any]:
    """All arrays of a run but its metrics'."""
    yield from (run.chunk, run.time)
    for column in run.dimensions.values():
        yield from column.keys_in_order()
