"""A job run in this process, against an Overlord that is a few dictionaries."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace

from overlord.errors import TaskFailed
from overlord.model.compaction_input import input_interval
from overlord.model.granularity import Granularity
from overlord.model.instant import parse_instant
from overlord.model.interval import Interval
from overlord.model.segment import DataSegment
from overlord.model.timeline import visible
from overlord.tasks.compact import Compaction
from workers.context import TaskContext
from workers.report import Report
from workers.tasks.compact import run as compact_job
from workers.tasks.index import run


class FakeOverlord:
    """Grants every lock, allocates simply, and remembers what was published."""

    def __init__(self):
        self.segments = {}
        self.locks = []
        self.actions = []
        self.refusal = None
        self.clock = 0

    def tick(self):
        self.clock += 1
        return f"2026-01-01T00:00:{self.clock:02d}.000Z"

    def submit(self, action):
        self.actions.append(action)
        return getattr(self, action["type"])(action)

    def lockList(self, action):
        return self.locks

    def lockTryAcquire(self, action):
        return self.lock(action["interval"], action["lockType"])

    def lock(self, interval, kind="EXCLUSIVE"):
        for lock in self.locks:
            if Interval.parse(lock["interval"]).contains(Interval.parse(interval)):
                return lock
        version = "1970-01-01T00:00:00.000Z" if kind == "APPEND" else self.tick()
        self.locks.append({"type": kind, "interval": interval, "version": version, "revoked": False})
        return self.locks[-1]

    def segmentListUsed(self, action):
        asked = [Interval.parse(i) for i in action["intervals"]]
        used = visible(map(DataSegment.from_json, self.segments.values()))
        return [s.to_json() for s in used if any(s.interval.overlaps(i) for i in asked)]

    def segmentAllocate(self, action):
        chunk = str(Granularity.parse(action["preferredSegmentGranularity"]).bucket(parse_instant(action["timestamp"])))
        there = [s for s in self.segments.values() if s["interval"] == chunk]
        allocated = self.__dict__.setdefault("pending", [])
        version = max((s["version"] for s in there), default=None)
        version = version or self.lock(chunk, action["taskLockType"])["version"]
        same = [s for s in there + allocated if s["interval"] == chunk and s["version"] == version]
        number = max((s["shardSpec"]["partitionNum"] for s in same), default=-1) + 1
        core = max((s["shardSpec"]["partitions"] for s in there if s["version"] == version), default=0)
        answer = {
            "dataSource": action["dataSource"],
            "interval": chunk,
            "version": version,
            "shardSpec": {"type": "numbered", "partitionNum": number, "partitions": core},
        }
        allocated.append(answer)
        return answer

    def retrieveSegmentsById(self, action):
        return [self.segments[i] for i in action["segmentIds"] if i in self.segments]

    def segmentTransactionalInsert(self, action):
        if self.refusal is not None:
            if isinstance(self.refusal, Exception):
                raise self.refusal
            return self.refusal
        for segment in action["segments"]:
            self.segments[segment["identifier"]] = segment
        return {"segments": action["segments"], "success": True, "retryable": False, "errorMsg": None}

    def segmentTransactionalAppend(self, action):
        return self.segmentTransactionalInsert(action)

    def segmentTransactionalReplace(self, action):
        return self.segmentTransactionalInsert(action)


class Ingested:
    """What came of a task."""

    def __init__(self, overlord, storage, report, error):
        self.overlord = overlord
        self.storage = storage
        self.report = report
        self.error = error

    @property
    def stats(self):
        return self.report["ingestionStatsAndErrors"]["payload"]

    @property
    def published(self):
        """Segments of the last publish, in order."""
        actions = [a for a in self.overlord.actions if a["type"].startswith("segmentTransactional")]
        return actions[-1]["segments"] if actions else []

    def files(self):
        """All files in deep storage."""
        return sorted(str(p.relative_to(self.storage)) for p in self.storage.rglob("*") if p.is_file())


def ingest(task, folder, *, overlord=None, memory_bytes=1 << 30, settings=None, task_id="t1", job=run):
    """Run `task` to its end; scratch, report and deep storage lie in `folder`."""
    overlord = overlord or FakeOverlord()
    folder = Path(folder)
    scratch = folder / f"scratch-{len(list(folder.glob('scratch-*')))}"
    scratch.mkdir(parents=True)
    storage = folder / "storage"
    granularity_spec = task["spec"]["dataSchema"].get("granularitySpec", {}) if "spec" in task else {}
    intervals = granularity_spec.get("intervals") or []
    granularity = granularity_spec.get("segmentGranularity") or "DAY"
    for interval in intervals:  # as isReady takes them
        chunks = list(Granularity.parse(granularity).intervals(Interval.parse(interval)))
        overlord.lock(str(Interval(chunks[0].start, chunks[-1].end)))
    report = Report(folder / "report.json", task_id, every_s=0)
    ctx = TaskContext(
        task_id=task_id,
        attempt=1,
        type=task["type"],
        payload=task,
        dir=scratch,
        settings={"druid.storage.storageDirectory": str(storage)} | (settings or {}),
        memory_bytes=memory_bytes,
        actions=overlord,
        report=report,
        stopping=threading.Event(),
    )
    error = None
    try:
        job(ctx)
    except TaskFailed as failure:
        error = failure.message
    reported = json.loads((folder / "report.json").read_text()) if report.finish() else {}
    return Ingested(overlord, storage, reported, error)


def compaction(datasource="wiki", *, interval="1000/3000", **fields):
    """A compact task as it is stored."""
    io = {"type": "compact", "inputSpec": {"type": "interval", "interval": interval}, "dropExisting": False}
    context = {"forceTimeChunkLock": True}
    return {"type": "compact", "id": "t1", "dataSource": datasource, "ioConfig": io, "context": context} | fields


def compact(folder, *, overlord, **fields):
    """Run a compact task over what `overlord` has, under locks such as the scheduler takes."""
    task = compaction(**fields)
    within = input_interval(task["ioConfig"]["inputSpec"])
    overlord.locks.clear()
    used = visible(map(DataSegment.from_json, overlord.segments.values()))
    for request in Compaction().lock_requests_among(
        SimpleNamespace(payload=task, context=task["context"]),
        lambda asked: [s for s in used if s.interval.overlaps(within)],
    ):
        overlord.lock(str(request.interval), request.type.value)
    return ingest(task, folder, overlord=overlord, job=compact_job)


def inline(data, *, intervals=None, io=None, tuning=None, context=None, dimensions=("page", "lang"), **more):
    """A task over inline JSON rows."""
    granularity = {"type": "uniform", "segmentGranularity": "DAY", "queryGranularity": "HOUR", "rollup": True}
    if intervals:
        granularity["intervals"] = intervals
    metrics = [
        {"type": "count", "name": "count"},
        {"type": "longSum", "name": "added", "fieldName": "added"},
    ]
    return {
        "type": "index_parallel",
        "id": "t1",
        "spec": {
            "dataSchema": {
                "dataSource": "wiki",
                "timestampSpec": {"column": "ts", "format": "iso", "missingValue": None},
                "dimensionsSpec": {"dimensions": list(dimensions)},
                "metricsSpec": metrics,
                "granularitySpec": granularity,
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {"type": "inline", "data": data},
                "inputFormat": {"type": "json"},
                **(io or {}),
            },
            "tuningConfig": {"type": "index_parallel", **(tuning or {})},
        },
        "context": context or {"forceTimeChunkLock": True},
        **more,
    }
