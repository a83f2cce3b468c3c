"""Whole tasks, and what a stock Druid 33.0.0 left of the same: status, report, rows in the store, and their data.

`stock_tasks.jsonl.gz` holds one case a line: `files`, the `tasks` that are posted one after the other, and what stock
answered. `{{ds}}` and `{{dir}}` stand for a datasource and the folder of the files.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from .harness import Server

pytestmark = pytest.mark.long
RECORDED = Path(__file__).with_name("stock_tasks.jsonl.gz")
CASES = {case["name"]: case for case in map(json.loads, gzip.decompress(RECORDED.read_bytes()).splitlines())}
LIMIT_S = 60
LONG = {  # much like others
    "a_hash_app",
    "d_hash_sub",
    "d_range_sub_empty",
    "g_arb",
    "i_dyn",
    "k_hash",
    "k_mixed_gran",
    "k_over",
    "p_range1",
    "p_range_noint",
    "s_outside_hash",
    "s_state_range",
    "x_bad_noint_hash",
    "x_compact_par_hash",
    "z16",
    "z57",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("stock-tasks") / "data", None, "--workers", "3")
    server.start()
    yield server
    server.clean_up()


def posted(task, name, folder):
    return json.loads(json.dumps(task).replace("{{ds}}", name).replace("{{dir}}", str(folder)))


def counted(reports):
    """What a report counts, and the bad rows it tells of; sizes of segments differ by some bytes."""
    found = {}
    for key, entry in reports.items():
        if key.startswith("ingestionStatsAndErrors"):
            payload = entry["payload"]
            found[key] = {
                "state": payload["ingestionState"],
                "rows": without_bytes(payload["rowStats"]),
                "bad": {
                    phase: sorted([e["errorType"], e["input"], *e["details"]] for e in events)
                    for phase, events in (payload["unparseableEvents"] or {}).items()
                },
                "read": payload.get("segmentsRead"),
                "published": payload.get("segmentsPublished"),
            }
    return found


def without_bytes(stats):
    if not isinstance(stats, dict):
        return stats
    return {key: without_bytes(value) for key, value in stats.items() if key != "processedBytes"}


def segments_of(server, name):
    """All segments of a datasource; versions become their rank, since they are times."""
    from workers.segment.reader import SegmentReader

    payloads = [
        json.loads(bytes(payload))
        for (payload,) in server.sql(f"SELECT payload FROM druid_segments WHERE datasource = '{name}' AND used")
    ]
    versions = sorted({payload["version"] for payload in payloads})
    found = []
    for payload in payloads:
        tombstone = payload["loadSpec"]["type"] == "tombstone"
        reader = None if tombstone else SegmentReader(Path(payload["loadSpec"]["path"]))
        found.append(
            {
                "interval": payload["interval"],
                "version": versions.index(payload["version"]),
                "shardSpec": payload["shardSpec"],
                "dimensions": payload["dimensions"],
                "metrics": payload["metrics"],
                "lastCompactionState": payload.get("lastCompactionState"),
                "columns": reader and reader.columns(),
                "metadata": reader and reader.metadata,
                "rows": [json.dumps(list(row.values()), ensure_ascii=False) for row in reader.rows()] if reader else [],
            }
        )
    return sorted(found, key=lambda s: (s["interval"], s["version"], s["shardSpec"]["partitionNum"]))


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in CASES]
)
def test_a_task_leaves_what_a_stock_druids_does(case, server, tmp_path):
    recorded = CASES[case]
    for name, text in recorded["files"].items():
        (tmp_path / name).write_text(text)
    for task, expected in zip(recorded["tasks"], recorded["ends"], strict=True):
        task_id = server.submit(posted(task, case, tmp_path))
        status = server.until_state(task_id, "SUCCESS", "FAILED", timeout_s=LIMIT_S)
        assert status["statusCode"] == expected["status"], status["errorMsg"]
        assert status["errorMsg"] == expected["errorMsg"]
        if expected["counted"] is None:  # there was no report
            continue
        reports = json.loads(
            json.dumps(server.get(f"/task/{task_id}/reports").json()).replace(str(tmp_path), "{{dir}}")
        )
        assert counted(reports) == expected["counted"]
    assert segments_of(server, case) == recorded["segments"]
    assert server.sql(f"SELECT count(*) FROM druid_pendingsegments WHERE datasource = '{case}'") == [(0,)]
