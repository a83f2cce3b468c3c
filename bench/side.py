#!/usr/bin/env python3
"""Every speed row of docs/performance.md in one go: this Overlord and a stock Druid side by side, as markdown tables.

    side.py [--rows N] [--rounds N] [--data DIR] [--only CASE,...] [--long-rows N] [--compact-rows N]

It starts two embedded Postgres, this Overlord and a stock Druid (tests/druid/peer/druid.py, one task slot each), makes
the files, lets both do a small task first, and ends all it started. Both work on the same files in turns. Give it a
quiet machine, some 15 minutes and 12 GB of disk; what each step says meanwhile goes to stderr, the tables to stdout.

Cases: json merge csv no-rollup parquet queries compact long. `--only` leaves out the others.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import queries

import bench
from overlord.store.embedded import EmbeddedPostgres

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / "tests" / "druid" / "peer" / "druid.py"
SERVICES = ["overlord", "middleManager", "coordinator", "historical", "broker"]
CASES = ("json", "merge", "csv", "no-rollup", "parquet", "queries", "compact", "long")
OURS, THEIRS = "side_ours", "side_theirs"
GIGABYTE = 1 << 30

Row = dict[str, float]


def say(text: str) -> None:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{datetime.now(UTC):%H:%M:%S} load {load}: {text}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- what runs


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    server = EmbeddedPostgres(folder)
    try:
        yield server.start()
    finally:
        server.stop()


@contextmanager
def ours(root: Path, port: int, dsn: str, *, memory: int | None = None) -> Iterator[bench.Overlord]:
    """This Overlord with one slot."""
    command = [sys.executable, "-m", "overlord", "serve", "--workers", "1"]
    command += ["--port", str(port), "--data-dir", str(root), "--dsn", dsn]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    if memory:
        environment["ovl_task_memoryBytes"] = str(memory)
    root.mkdir(parents=True)
    with (root.parent / f"{root.name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            server = bench.Overlord(f"http://127.0.0.1:{port}", None, str(process.pid), dsn, None)
            await_leader(server, process)
            yield server
        finally:
            bench.end(process)


def await_leader(server: bench.Overlord, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.leads():
            return
        if process.poll() is not None:
            raise SystemExit(f"{server.root} ended with {process.returncode}; see its log")
        time.sleep(0.1)
    raise SystemExit(f"{server.root} does not lead after a minute")


@contextmanager
def stock(root: Path, base: int, dsn: str, storage: Path) -> Iterator[bench.Overlord]:
    """A stock Druid with one slot."""
    peer = [sys.executable, str(PEER)]
    places = ["--root", str(root), "--dsn", dsn, "--storage", str(storage), "--port-base", str(base)]
    slot = ["--set", "middleManager:druid.worker.capacity=1"]
    try:
        subprocess.run([*peer, "up", *SERVICES, *places, *slot], check=True, stdout=sys.stderr)
        pids = ",".join((root / f"{name}.pid").read_text().strip() for name in ("overlord", "middleManager"))
        server = bench.Overlord(f"http://127.0.0.1:{base + 2}", None, pids, dsn, None)
        for _ in range(600):  # until its Overlord knows the middleManager
            if server.leads() and server.get("/workers"):
                break
            time.sleep(0.1)
        yield server
    finally:
        subprocess.run([*peer, "down", "--root", str(root)], check=False, stdout=sys.stderr)


# ---------------------------------------------------------------- cases


class Bench:
    """Both servers, and what was measured of each: seconds, CPU seconds, MB of memory, MB of segments."""

    def __init__(self, options: argparse.Namespace, mine: bench.Overlord, other: bench.Overlord) -> None:
        self._options = options
        self._mine, self._other = mine, other
        self.found: dict[str, tuple[Row, Row | None]] = {}

    def ingest(self, case: str, work: argparse.Namespace, *, versus: bool = True, named: bool = False) -> None:
        """Rows of a file, in turns; `named`: once, into datasources that queries can name."""
        bench.generated(work)
        self._mine.datasource, self._other.datasource = (OURS, THEIRS) if named else (None, None)
        rounds: tuple[list[Row], list[Row]] = ([], [])
        for number in range(1 if named else self._options.rounds):
            for server, rows in zip((self._mine, self._other)[: 1 + versus], rounds, strict=False):
                say(f"{case}, round {number + 1}, {server.root}")
                rows.append(bench.ingest(server, work))
        prefix = f"ingest_{work.format}_"
        self.found[case] = median(rounds[0], prefix), median(rounds[1], prefix) if versus else None

    def compact(self, work: argparse.Namespace) -> None:
        """Segments of an hour each become one of a day."""
        bench.generated(work)
        figures = []
        for server in (self._mine, self._other):
            say(f"compact, {server.root}")
            figures.append(median([bench.compact(server, work)], "compact_"))
        self.found["compact"] = figures[0], figures[1]


def median(rounds: list[Row], prefix: str) -> Row:
    return {name.removeprefix(prefix): statistics.median(row[name] for row in rounds) for name in rounds[0]}


def work(options: argparse.Namespace, rows: int, form: str, *, merge: bool = False, rollup: bool = True) -> Any:
    return argparse.Namespace(rows=rows, format=form, merge=merge, rollup=rollup, data=options.data)


def beside_stock(options: argparse.Namespace, root: Path) -> dict[str, tuple[Row, Row | None]]:
    wanted = options.only
    with ExitStack() as stack:
        our_dsn = stack.enter_context(postgres(root / "our-postgres"))
        their_dsn = stack.enter_context(postgres(root / "stock-postgres"))
        other = stack.enter_context(stock(root / "stock", options.port + 100, their_dsn, root / "stock-segments"))
        mine = stack.enter_context(ours(root / "ours", options.port, our_dsn))
        run = Bench(options, mine, other)
        run.ingest("warm", work(options, 100_000, "json"))
        del run.found["warm"]
        rows = options.rows
        for case, task in {
            "json": work(options, rows, "json"),
            "merge": work(options, rows, "json", merge=True),
            "csv": work(options, rows, "csv"),
            "no-rollup": work(options, rows, "csv", rollup=False),
        }.items():
            if case in wanted:
                run.ingest(case, task)
        if "parquet" in wanted:
            run.ingest("parquet", work(options, rows, "parquet"), versus=False)
        if "queries" in wanted:
            run.ingest("queried", work(options, rows, "csv"), named=True)
            queries.copy(our_dsn, their_dsn, OURS)
            say("queries")
            broker = f"http://127.0.0.1:{options.port + 105}"
            subprocess.run(
                [sys.executable, HERE / "queries.py", "--broker", broker, "--ours", OURS, "--theirs", THEIRS],
                check=True,
                stdout=(root / "queries.txt").open("wb"),
            )
            del run.found["queried"]
        if "compact" in wanted:
            run.compact(work(options, options.compact_rows, "csv"))
        return run.found


def long_run(options: argparse.Namespace, root: Path) -> list[tuple[int, int, Row]]:
    """Rows that do not fit into the task's memory: few under little memory, and many under 1 GB."""
    out = []
    for rows, memory in ((options.rows, GIGABYTE // 4), (options.long_rows, GIGABYTE)):
        with ExitStack() as stack:
            dsn = stack.enter_context(postgres(root / f"long-postgres-{rows}"))
            folder = root / f"long-{rows}"
            server = stack.enter_context(ours(folder, options.port, dsn, memory=memory))
            bench.ingest(server, work(options, 100_000, "csv"))
            say(f"long: {rows} rows, {memory >> 20} MB")
            task = work(options, rows, "csv")
            bench.generated(task)
            out.append((rows, memory, median([bench.ingest(server, task)], "ingest_csv_")))
        shutil.rmtree(folder)
    return out


# ---------------------------------------------------------------- tables

TITLES = {
    "json": "JSON, {n} M rows",
    "merge": "JSON that folds ten to one",
    "csv": "CSV, {n} M rows",
    "no-rollup": "CSV without rollup",
    "compact": "compact of 24 segments, {c} M rows",
}


def table(options: argparse.Namespace, found: dict[str, tuple[Row, Row | None]]) -> Iterator[str]:
    yield "| work | ours, s | stock, s | less | ours, CPU-s | stock, CPU-s | less | MB PSS | stock | MB of segments |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for case, title in TITLES.items():
        mine, other = found.get(case, ({}, None))
        if other is not None:
            name = title.format(n=f"{options.rows / 1e6:g}", c=f"{options.compact_rows / 1e6:g}")
            yield (
                f"| {name} | {mine['s']:.2f} | {other['s']:.1f} | {other['s'] / mine['s']:.1f} x "
                f"| {mine['cpu_s']:.2f} | {other['cpu_s']:.1f} | {other['cpu_s'] / mine['cpu_s']:.1f} x "
                f"| {mine['peak_pss_mb']:.0f} | {other['peak_pss_mb']:.0f} "
                f"| {mine['segments_mb']:.1f} / {other['segments_mb']:.1f} = "
                f"{mine['segments_mb'] / other['segments_mb']:.3f} |"
            )
    if "parquet" in found and "csv" in found:
        mine, csv = found["parquet"][0], found["csv"][0]
        yield ""
        yield "| Parquet, ours alone | s | CPU-s | MB PSS | against our CSV |"
        yield "|---|---|---|---|---|"
        yield (
            f"| {options.rows / 1e6:g} M rows | {mine['s']:.2f} | {mine['cpu_s']:.2f} | {mine['peak_pss_mb']:.0f} "
            f"| {csv['s'] / mine['s']:.2f} x less wall, {csv['cpu_s'] / mine['cpu_s']:.2f} x less CPU |"
        )


def long_table(runs: list[tuple[int, int, Row]]) -> Iterator[str]:
    yield ""
    yield "| CSV beyond memory | limit, MB | s | rows/s | CPU-s | peak PSS, MB |"
    yield "|---|---|---|---|---|---|"
    for rows, memory, row in runs:
        yield (
            f"| {rows / 1e6:g} M rows | {memory >> 20} | {row['s']:.1f} | {row['rows_per_s']:,.0f} "
            f"| {row['cpu_s']:.1f} | {row['peak_pss_mb']:.0f} |"
        )
    (few, _, short), (many, _, long) = runs
    yield ""
    yield f"Time a row of {many / few:g} times as many rows: {long['s'] / many / (short['s'] / few):.2f} times as much."


def query_table(path: Path) -> Iterator[str]:
    yield ""
    yield "| query | over our segments, ms | over stock's, ms | ratio |"
    yield "|---|---|---|---|"
    for line in path.read_text().splitlines()[1:]:
        *name, mine, other, ratio = line.split()
        yield f"| {' '.join(name)} | {mine} | {other} | {ratio} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--long-rows", type=int, default=20_000_000)
    parser.add_argument("--compact-rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("bench-data"), help="folder of generated files, kept")
    parser.add_argument("--port", type=int, default=29300, help="ours; stock takes seven from 100 above on")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(CASES))
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="side-", dir=options.data)).resolve()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {len(os.sched_getaffinity(0))} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f} at the start, median of {options.rounds}\n")
    try:
        if set(options.only) - {"long"}:
            print("\n".join(table(options, beside_stock(options, root))))
        if "queries" in options.only:
            print("\n".join(query_table(root / "queries.txt")), flush=True)
        if "long" in options.only:
            print("\n".join(long_table(long_run(options, root))), flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
