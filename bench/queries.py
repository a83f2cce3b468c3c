#!/usr/bin/env python3
"""Time five SQL queries on one stock Broker over two datasources that hold the same rows.

    queries.py --broker URL --ours DATASOURCE --theirs DATASOURCE [--rounds N]
               [--copy-from DSN --copy-to DSN]

The rows are those of `bench.py ingest`. With --copy-* our datasource's rows of druid_segments go into the metadata
store of the Broker's cluster first, and we wait until its Historical serves them. Caches are off; the two take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import requests

QUERIES = {
    "total": 'SELECT SUM("count"), SUM(m0), MAX(m1), SUM(m2) FROM {t}',
    "filter": "SELECT SUM(\"count\") FROM {t} WHERE d1 = 'd1_7' AND d4 <> 'd4_3'",
    "group by few": "SELECT d0, d4, SUM(m0), SUM(m2) FROM {t} GROUP BY 1, 2 ORDER BY 1, 2",
    "top of many": "SELECT d3, SUM(m0) s FROM {t} GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
    "by time, like": "SELECT TIME_FLOOR(__time, 'PT1H'), SUM(m2) FROM {t} WHERE d2 LIKE '%9%' GROUP BY 1 ORDER BY 1",
}
WARM_UP = 20  # the JVM compiles what it runs often
OFF = {"useCache": False, "populateCache": False, "useResultLevelCache": False, "populateResultLevelCache": False}


def ask(broker: str, query: str) -> list[list[object]]:
    body = {"query": query, "context": OFF, "resultFormat": "array"}
    answer = requests.post(f"{broker}/druid/v2/sql", json=body, timeout=300)
    answer.raise_for_status()
    rows: list[list[object]] = answer.json()
    return rows


def copy(source: str, target: str, datasource: str) -> None:
    """Make one cluster's segments known to another."""
    import psycopg

    with psycopg.connect(source) as db:
        found = db.execute("SELECT * FROM druid_segments WHERE datasource = %s AND used", (datasource,))
        names = [column.name for column in found.description or ()]
        rows = found.fetchall()
    with psycopg.connect(target) as db, db.cursor() as cursor:
        known = {column.name for column in db.execute("SELECT * FROM druid_segments LIMIT 0").description or ()}
        taken = [at for at, name in enumerate(names) if name in known]
        columns = ", ".join(f'"{names[at]}"' for at in taken)
        text = (
            f"INSERT INTO druid_segments ({columns}) VALUES ({', '.join(['%s'] * len(taken))}) ON CONFLICT DO NOTHING"
        )
        cursor.executemany(text, [[row[at] for at in taken] for row in rows])


def until_served(broker: str, datasource: str, rows: object | None, timeout_s: float = 180) -> object:
    """Wait until all rows are there; gives how many input rows they stand for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            found = ask(broker, f'SELECT SUM("count") FROM {datasource}')[0][0]
            if found and (rows is None or found == rows):
                return found
        except requests.RequestException:
            pass
        time.sleep(1)
    raise TimeoutError(datasource)


def same(ours: list[list[object]], theirs: list[list[object]]) -> bool:
    """Equal but for the last bits of sums of doubles, which depend on the order of adding."""
    return [[f"{v:.9g}" if isinstance(v, float) else v for v in row] for row in ours] == [
        [f"{v:.9g}" if isinstance(v, float) else v for v in row] for row in theirs
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--theirs", required=True)
    parser.add_argument("--rounds", type=int, default=80)
    parser.add_argument("--copy-from")
    parser.add_argument("--copy-to")
    options = parser.parse_args()
    if options.copy_from:
        copy(options.copy_from, options.copy_to, options.ours)
    until_served(options.broker, options.ours, until_served(options.broker, options.theirs, None))
    print(f"{'query':16}{'ours ms':>12}{'theirs ms':>12}{'ratio':>8}")
    for name, text in QUERIES.items():
        ms: dict[str, list[float]] = {options.ours: [], options.theirs: []}
        answers = {}
        for _ in range(options.rounds):
            for datasource in ms:
                begun = time.perf_counter()
                answers[datasource] = ask(options.broker, text.format(t=datasource))
                ms[datasource].append(1e3 * (time.perf_counter() - begun))
        if not same(*answers.values()):
            raise SystemExit(f"{name}: the answers differ")
        ours, theirs = (statistics.median(values[WARM_UP:]) for values in ms.values())
        print(f"{name:16}{ours:12.1f}{theirs:12.1f}{ours / theirs:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
