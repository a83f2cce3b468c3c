#!/usr/bin/env python3
"""Time an Overlord through its HTTP API, alone or against another one in the same run.

    bench.py CASE... --base URL [--vs URL] [--rounds N] [--json FILE]
    bench.py fill --dsn DSN [--tasks N]

Whatever speaks /druid/indexer/v1 can be timed. With --vs the two take turns, round by round; the figure of each is the
median of its rounds and the ratio is base / vs (below 1 is better for a time or a size, above 1 for a rate).

Cases
  submit      --n noop tasks over --connections kept connections: requests a second, p50 and p99
  latency     --k noop tasks one after the other, from POST to a SUCCESS status: median
  drain       --k noop tasks at once, until all have ended: tasks a second
  list        completeTasks; tasks?state=complete&max=100; tasks?datasource=: to the last byte, median of five
  ingest      index_parallel over a generated file (--rows --format --merge --no-rollup): rows a second, POST to
              SUCCESS, CPU (of the whole machine, so keep it quiet; with --pids of those and all they start) and, with
              --pids, the highest PSS of what they started for it; with --dsn the size of its segments
  compact     the same rows by hour, then a compact task to one day: the figures of the latter
  nycflights  index_parallel by day over --flights, nycflights13 as CSV: POST to SUCCESS, rows a second, ms a segment
  allocate    segmentAllocate actions of one task: actions a second
  kafka       --messages small JSON messages that lie in a topic of --broker, read by one task that is handed off once
              all are read: messages a second, from its reading to the end offsets in druid_datasource (--dsn)
  start       from running --start (--start-vs) to isLeader 200; the server must not run yet, and is ended after
  idle        PSS of the processes --pids (--pids-vs) and all their children

`submit` leaves cancelled tasks behind, which a stock Overlord may still give to its workers: run it last.
`list` wants history: `fill` puts ended tasks into a metadata store, so do that to both.
A local file has to lie where the servers' workers can read it.
Needs requests, psycopg for `fill` and --dsn, polars for --format parquet, confluent-kafka for kafka.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import csv
import gzip
import json
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import streaming

API = "/druid/indexer/v1"
Figures = dict[str, float]
NOOP_CONTEXT = {"forceTimeChunkLock": True, "useLineageBasedSegmentAllocation": True}


class Overlord:
    """One server under test. Every thread keeps a connection of its own."""

    def __init__(self, url: str, start: str | None, pids: str | None, dsn: str | None, datasource: str | None) -> None:
        self.root = url.rstrip("/")
        self.datasource = datasource
        self.start_command = start
        self.dsn = dsn
        self.pids = [int(pid) for pid in (pids or "").split(",") if pid]
        self._own = threading.local()

    @property
    def http(self) -> requests.Session:
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
        session: requests.Session = self._own.session
        return session

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.http.post(self.root + API + path, json=body, timeout=120)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.http.get(self.root + API + path, params=parameters, timeout=300)
        answer.raise_for_status()
        return answer.json()

    def leads(self) -> bool:
        try:
            return self.http.get(self.root + API + "/isLeader", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def status(self, task_id: str) -> Any:
        return self.get(f"/task/{task_id}/status")["status"]

    def succeed(self, task_id: str, *, every_s: float = 0.01, timeout_s: float = 1800) -> None:
        """Wait for a task's SUCCESS; any other end is an error."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            status = self.status(task_id)
            if status["statusCode"] == "SUCCESS":
                return
            if status["statusCode"] == "FAILED":
                raise RuntimeError(f"{task_id} failed: {status['errorMsg']}")
            time.sleep(every_s)
        raise TimeoutError(task_id)


def noop(datasource: str, run_ms: int = 1) -> dict[str, Any]:
    """A task that does nothing; a run time of 0 would be Druid's default of 2500 ms."""
    return {"type": "noop", "id": f"noop_{datasource}_{uuid.uuid4().hex}", "dataSource": datasource, "runTime": run_ms}


def named(case: str) -> str:
    return f"b_{case}_{uuid.uuid4().hex[:6]}"


# ---------------------------------------------------------------- cases over tasks


def submit(server: Overlord, options: argparse.Namespace) -> Figures:
    datasource, seconds = named("submit"), []
    tasks = [noop(datasource, 600_000) for _ in range(options.n)]

    def one(task: dict[str, Any]) -> None:
        begun = time.perf_counter()
        server.post("/task", task)
        seconds.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(options.connections) as pool:
        list(pool.map(one, tasks))
    wall = time.perf_counter() - begun
    # The newest first: the next in the queue would else be started only to be shut down, a JVM each on a stock one.
    for task in reversed(tasks):
        server.post(f"/task/{task['id']}/shutdown")
    seconds.sort()
    return {
        "submit_per_s": options.n / wall,
        "submit_p50_ms": 1e3 * seconds[len(seconds) // 2],
        "submit_p99_ms": 1e3 * seconds[int(len(seconds) * 0.99)],
    }


def latency(server: Overlord, options: argparse.Namespace) -> Figures:
    datasource, seconds = named("lat"), []
    for _ in range(options.k):
        task = noop(datasource)
        begun = time.perf_counter()
        server.post("/task", task)
        server.succeed(task["id"])
        seconds.append(time.perf_counter() - begun)
    return {"noop_latency_s": statistics.median(seconds)}


def drain(server: Overlord, options: argparse.Namespace) -> Figures:
    tasks = [noop(named("drain")) for _ in range(options.k)]
    begun = time.perf_counter()
    for task in tasks:
        server.post("/task", task)
    for task in tasks:
        server.succeed(task["id"])
    return {"noop_tasks_per_s": options.k / (time.perf_counter() - begun)}


def listing(server: Overlord, options: argparse.Namespace) -> Figures:
    def median_ms(path: str, **parameters: Any) -> tuple[float, int]:
        seconds, body = [], b""
        for _ in range(5):
            begun = time.perf_counter()
            headers = {"Accept-Encoding": "identity"}
            url = server.root + API + path
            with server.http.get(url, params=parameters, headers=headers, timeout=300, stream=True) as answer:
                body = answer.raw.read()  # `content` takes it in bites of 10 KB, which costs a client's time of its own
            seconds.append(time.perf_counter() - begun)
        return 1e3 * statistics.median(seconds), len(json.loads(body))

    everything, listed = median_ms("/completeTasks")
    newest, _ = median_ms("/tasks", state="complete", max=100)
    one, _ = median_ms("/tasks", state="complete", datasource="bench_7")
    return {"list_all_ms": everything, "list_max100_ms": newest, "list_datasource_ms": one, "listed": listed}


def allocate(server: Overlord, options: argparse.Namespace) -> Figures:
    datasource = named("alloc")
    task = noop(datasource, 600_000)
    server.post("/task", task)
    while server.status(task["id"])["runnerStatusCode"] != "RUNNING":
        time.sleep(0.05)

    def one(number: int) -> None:
        action = {
            "type": "segmentAllocate",
            "dataSource": datasource,
            "timestamp": f"2024-01-{1 + number % 28:02d}T00:00:00.000Z",
            "queryGranularity": {"type": "none"},
            "preferredSegmentGranularity": "DAY",
            "sequenceName": f"s{number}",
            "previousSegmentId": None,
            "skipSegmentLineageCheck": True,
            "lockGranularity": "TIME_CHUNK",
            "lockType": "EXCLUSIVE",
        }
        server.post("/action", {"task": task, "action": action})

    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(options.connections) as pool:
        list(pool.map(one, range(options.allocations)))
    wall = time.perf_counter() - begun
    server.post(f"/task/{task['id']}/shutdown")
    return {"allocations_per_s": options.allocations / wall}


# ---------------------------------------------------------------- ingestion


def make_rows(path: Path, rows: int, *, as_csv: bool, merge: bool, seed: int = 7) -> None:
    """One day of rows with five string dimensions and three metrics; written once and kept.

    With `merge` their values are few enough that rollup to the hour folds a million rows about ten to one; else hardly
    any row folds.
    """
    if path.exists():
        return
    chance, begin = random.Random(seed), datetime(2024, 1, 1, tzinfo=UTC)
    sizes = (5, 10, 8, 5, 2) if merge else (5, 50, 1000, 20000, 12)
    values = [[f"d{number}_{value}" for value in range(size)] for number, size in enumerate(sizes)]
    columns = ["ts", *(f"d{number}" for number in range(5)), "m0", "m1", "m2"]
    unfinished = path.with_suffix(".part")
    with unfinished.open("w") as out:
        if as_csv:
            out.write(",".join(columns) + "\n")
        for row in range(rows):
            at = begin + timedelta(milliseconds=86_400_000 * row // rows)
            cells: list[Any] = [at.isoformat(timespec="milliseconds").replace("+00:00", "Z")]
            cells += [chance.choice(some) for some in values]
            cells += [chance.randrange(1000), chance.randrange(10), round(chance.random() * 100, 3)]
            if as_csv:
                out.write(",".join(map(str, cells)) + "\n")
            else:
                out.write(json.dumps(dict(zip(columns, cells, strict=True)), separators=(",", ":")) + "\n")
    unfinished.rename(path)


def spec(
    schema: dict[str, Any], path: Path, input_format: dict[str, Any], granularity: dict[str, Any]
) -> dict[str, Any]:
    """An index_parallel task in its own slot over one local file."""
    source = {"type": "local", "baseDir": str(path.parent), "filter": path.name}
    return {
        "type": "index_parallel",
        "spec": {
            "dataSchema": {**schema, "granularitySpec": granularity},
            "ioConfig": {"type": "index_parallel", "inputFormat": input_format, "inputSource": source},
            "tuningConfig": {"type": "index_parallel", "maxNumConcurrentSubTasks": 1},
        },
    }


def cpu_s(roots: list[int]) -> float:
    """CPU seconds of some processes, their descendants and those that ended; without any, of the whole machine."""
    ticks = 0
    for pid in family(roots):
        with suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK") if roots else machine_cpu_s()


def machine_cpu_s() -> float:
    """CPU seconds that everything on the machine has used since boot."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def ingest(server: Overlord, options: argparse.Namespace) -> Figures:
    options.data.mkdir(parents=True, exist_ok=True)
    path = generated(options)
    schema = rows_schema(server.datasource or named("ingest"))
    granularity = {
        "segmentGranularity": "DAY",
        "queryGranularity": "HOUR" if options.rollup else "NONE",
        "rollup": options.rollup,
        "intervals": ["2024-01-01/2024-01-02"],
    }
    task = spec(schema, path, TEXTS[options.format], granularity)
    return timed(server, task, f"ingest_{options.format}", options.rows)


def compact(server: Overlord, options: argparse.Namespace) -> Figures:
    schema = rows_schema(named("compact"))
    hours = {"segmentGranularity": "HOUR", "queryGranularity": "NONE", "rollup": True, "intervals": [DAY_OF_ROWS]}
    server.succeed(server.post("/task", spec(schema, generated(options), TEXTS[options.format], hours))["task"])
    task = {
        "type": "compact",
        "dataSource": schema["dataSource"],
        "ioConfig": {"type": "compact", "inputSpec": {"type": "interval", "interval": DAY_OF_ROWS}},
        "granularitySpec": {"segmentGranularity": "DAY"},
        "tuningConfig": {"type": "index_parallel", "maxNumConcurrentSubTasks": 1},
    }
    return timed(server, task, "compact", options.rows)


TEXTS: dict[str, dict[str, Any]] = {
    "json": {"type": "json"},
    "csv": {"type": "csv", "findColumnsFromHeader": True},
    "parquet": {"type": "parquet"},
}
DAY_OF_ROWS = "2024-01-01/2024-01-02"


def generated(options: argparse.Namespace) -> Path:
    """The file of rows that the options ask for."""
    options.data.mkdir(parents=True, exist_ok=True)
    stem = options.data.resolve() / f"rows_{options.rows}{'_merge' * options.merge}"
    text = stem.with_suffix(".json" if options.format == "json" else ".csv")
    make_rows(text, options.rows, as_csv=options.format != "json", merge=options.merge)
    if options.format == "parquet" and not stem.with_suffix(".parquet").exists():
        import polars as pl

        pl.read_csv(text).write_parquet(stem.with_suffix(".parquet"))
    return stem.with_suffix(f".{options.format}")


def rows_schema(datasource: str) -> dict[str, Any]:
    return {
        "dataSource": datasource,
        "timestampSpec": {"column": "ts", "format": "iso"},
        "dimensionsSpec": {"dimensions": [f"d{number}" for number in range(5)]},
        "metricsSpec": [
            {"type": "count", "name": "count"},
            {"type": "longSum", "name": "m0", "fieldName": "m0"},
            {"type": "longMax", "name": "m1", "fieldName": "m1"},
            {"type": "doubleSum", "name": "m2", "fieldName": "m2"},
        ],
    }


def timed(server: Overlord, task: dict[str, Any], name: str, rows: int) -> Figures:
    """Run a task of so many rows."""
    with Footprint(server.pids) as footprint:
        begun, cpu = time.perf_counter(), cpu_s(server.pids)
        task_id = server.post("/task", task)["task"]
        server.succeed(task_id, every_s=0.05)
        wall = time.perf_counter() - begun
        time.sleep(1)  # until its process has ended and counts as its parent's
        cpu = cpu_s(server.pids) - cpu
    figures = {f"{name}_rows_per_s": rows / wall, f"{name}_s": wall, f"{name}_cpu_s": cpu}
    if server.pids:
        figures[f"{name}_peak_pss_mb"] = footprint.peak_kb / 1024
    if server.dsn:
        datasource = task.get("dataSource") or task["spec"]["dataSchema"]["dataSource"]
        figures[f"{name}_segments_mb"] = segment_bytes(server.dsn, datasource) / 1e6
    return figures


def segment_bytes(dsn: str, datasource: str) -> int:
    """Size of a datasource's used segments."""
    import psycopg

    text = "SELECT payload FROM druid_segments WHERE datasource = %s AND used"
    with psycopg.connect(dsn) as db:
        return sum(json.loads(bytes(payload))["size"] for (payload,) in db.execute(text, (datasource,)))


class Footprint:
    """The highest PSS of the processes that some others have started since."""

    def __init__(self, roots: list[int]) -> None:
        self._roots = roots
        self._before = family(roots)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_kb = 0

    def __enter__(self) -> Footprint:
        if self._roots:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._roots:
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self.peak_kb = max(self.peak_kb, sum(map(pss_kb, family(self._roots) - self._before)))


def nycflights(server: Overlord, options: argparse.Namespace) -> Figures:
    path = options.flights.resolve()
    days: set[str] = set()
    rows = 0
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
        table = csv.DictReader(lines)
        names = [name for name in table.fieldnames or () if name != "time_hour"]
        numbers = set(names)  # columns without any NA or other text
        for row in table:
            rows += 1
            days.add(row["time_hour"][:10])
            numbers -= {name for name in numbers if not row[name].isdigit()}
    schema = {
        "dataSource": named("flights"),
        "timestampSpec": {"column": "time_hour", "format": "iso"},
        "dimensionsSpec": {
            "dimensions": [{"type": "long" if name in numbers else "string", "name": name} for name in names]
        },
        "metricsSpec": [],
    }
    granularity = {"segmentGranularity": "DAY", "queryGranularity": "NONE", "rollup": False}
    text = {"type": "csv", "findColumnsFromHeader": True}
    begun, cpu = time.perf_counter(), machine_cpu_s()
    server.succeed(server.post("/task", spec(schema, path, text, granularity))["task"], every_s=0.05)
    wall, cpu = time.perf_counter() - begun, machine_cpu_s() - cpu
    return {
        "flights_s": wall,
        "flights_cpu_s": cpu,
        "flights_rows_per_s": rows / wall,
        "flights_ms_per_segment": 1e3 * wall / len(days),
    }


# ---------------------------------------------------------------- the process itself


def start(server: Overlord, _options: argparse.Namespace) -> Figures:
    if server.start_command is None:
        raise SystemExit("start: say how by --start (and --start-vs)")
    if server.leads():
        raise SystemExit(f"start: {server.root} is up already")
    begun = time.perf_counter()
    process = subprocess.Popen(shlex.split(server.start_command), start_new_session=True)
    try:
        while not server.leads():
            if process.poll() is not None:
                raise RuntimeError(f"{server.start_command} ended with {process.returncode}")
            time.sleep(0.01)
        return {"start_s": time.perf_counter() - begun}
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a server to stop; kill it and all it started if it has not within a minute."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def family(roots: list[int]) -> set[int]:
    """Processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # gone meanwhile
                continue
            children.setdefault(int(after_name[1]), []).append(int(folder.name))
    found: set[int] = set()
    left = list(roots)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found


def pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def idle(server: Overlord, _options: argparse.Namespace) -> Figures:
    if not server.pids:
        raise SystemExit("idle: say whose memory by --pids (and --pids-vs)")
    processes = family(server.pids)
    return {"idle_pss_mb": sum(map(pss_kb, processes)) / 1024, "idle_processes": len(processes)}


# ---------------------------------------------------------------- history for `list`


def fill(dsn: str, tasks: int) -> None:
    """Put ended noop tasks of the last day into druid_tasks, over 20 datasources."""
    import psycopg

    now = datetime.now(UTC)
    copy_sql = (
        "COPY druid_tasks (id, created_date, datasource, payload, status_payload, active, type, group_id) FROM STDIN"
    )
    with psycopg.connect(dsn) as db, db.cursor() as cursor, cursor.copy(copy_sql) as copy:
        for number in range(tasks):
            created = now - timedelta(seconds=60 + number * 72_000 / tasks)
            task_id = f"noop_fill_{number}_{uuid.uuid4().hex[:8]}"
            datasource, good = f"bench_{number % 20}", number % 10 != 0
            payload = {
                "type": "noop",
                "id": task_id,
                "groupId": task_id,
                "dataSource": datasource,
                "runTime": 0,
                "isReadyTime": 0,
                "isReadyResult": "YES",
                "context": NOOP_CONTEXT,
                "resource": {"availabilityGroup": task_id, "requiredCapacity": 1},
            }
            status = {
                "id": task_id,
                "status": "SUCCESS" if good else "FAILED",
                "duration": 1000 + number % 5000,
                "errorMsg": None if good else "Task failed in the bench's filling",
                "location": {"host": "127.0.0.1", "port": 8100, "tlsPort": -1},
            }
            at = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            texts = json.dumps(payload).encode(), json.dumps(status).encode()
            copy.write_row((task_id, at, datasource, *texts, False, "noop", task_id))
    print(f"filled {tasks}")


def kafka(server: Overlord, options: argparse.Namespace) -> Figures:
    return streaming.kafka(server, options.broker, options.messages, options.partitions)


# ---------------------------------------------------------------- command line

CASES: dict[str, Callable[[Overlord, argparse.Namespace], Figures]] = {
    "submit": submit,
    "latency": latency,
    "drain": drain,
    "list": listing,
    "ingest": ingest,
    "compact": compact,
    "nycflights": nycflights,
    "allocate": allocate,
    "kafka": kafka,
    "start": start,
    "idle": idle,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", choices=[*CASES, "fill"])
    parser.add_argument("--base", help="http://host:port of the server")
    parser.add_argument("--vs", help="of another one, timed in turns")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--n", type=int, default=500, help="submit: tasks")
    parser.add_argument("--k", type=int, default=4, help="latency, drain: tasks")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--allocations", type=int, default=500)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=list(TEXTS), default="json")
    parser.add_argument("--datasource", help="ingest: name of what is made; a new one each time unless given")
    parser.add_argument("--datasource-vs", help="ingest: the same of the other one")
    parser.add_argument("--merge", action="store_true", help="ingest: rows that fold about ten to one")
    parser.add_argument("--no-rollup", dest="rollup", action="store_false")
    parser.add_argument("--data", type=Path, default=Path("bench-data"), help="ingest: folder of generated files")
    parser.add_argument("--flights", type=Path, default=Path("bench-data/nycflights13.csv.gz"), help="nycflights: file")
    parser.add_argument("--broker", default="127.0.0.1:9092", help="kafka: bootstrap server")
    parser.add_argument("--messages", type=int, default=1_000_000, help="kafka: in the topic")
    parser.add_argument("--partitions", type=int, default=1, help="kafka: of the topic")
    parser.add_argument("--start", help="start: command that runs the server until SIGTERM")
    parser.add_argument("--start-vs", help="start: the same of the other one")
    parser.add_argument("--pids", help="idle: processes, comma separated; their children count with them")
    parser.add_argument("--pids-vs", help="idle: the same of the other one")
    parser.add_argument("--dsn", help="fill, ingest, compact, kafka: the metadata store")
    parser.add_argument("--dsn-vs", help="ingest, compact, kafka: the same of the other one")
    parser.add_argument("--tasks", type=int, default=100_000, help="fill: rows")
    options = parser.parse_args()
    if "fill" in options.cases:
        if options.cases != ["fill"] or not options.dsn:
            parser.error("fill stands alone and needs --dsn")
    elif not options.base:
        parser.error("--base is needed")
    return options


def report(figures: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Print medians and ratios, and return them."""
    versus, out = "vs" in figures, {}
    print(f"{'figure':28}{'base':>14}" + (f"{'vs':>14}{'base/vs':>10}" if versus else ""))
    for name, values in figures["base"].items():
        base = statistics.median(values)
        out[name], line = {"base": base}, f"{name:28}{base:14.2f}"
        if versus:
            other = statistics.median(figures["vs"][name])
            out[name] |= {"vs": other} | ({"ratio": base / other} if other else {})
            line += f"{other:14.2f}{base / other if other else 0:10.3f}"
        print(line)
    return out


def main() -> int:
    options = arguments()
    if options.cases == ["fill"]:
        fill(options.dsn, options.tasks)
        return 0
    servers = {"base": Overlord(options.base, options.start, options.pids, options.dsn, options.datasource)}
    if options.vs:
        servers["vs"] = Overlord(options.vs, options.start_vs, options.pids_vs, options.dsn_vs, options.datasource_vs)
    figures: dict[str, dict[str, list[float]]] = {side: {} for side in servers}
    for _ in range(options.rounds):
        for case in options.cases:
            for side, server in servers.items():
                for name, value in CASES[case](server, options).items():
                    figures[side].setdefault(name, []).append(value)
    out = report(figures)
    if options.json:
        options.json.write_text(json.dumps(out, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
