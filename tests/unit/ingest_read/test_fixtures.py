"""Every golden input whose spec we can read gives the rows and counts that a real cluster made of it."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workers.ingest import Input
from workers.ingest.batch import RowStats

FIXTURES = Path(__file__).parents[2] / "segments" / "fixtures"
PERIODS = {"NONE": 1, "SECOND": 1000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000, "ALL": 1 << 62}
READABLE = {"string", "long", "double", "float"}
AGGREGATED = {"Sum", "Min", "Max"}


def task_of(name: str, file: str = "task.json") -> dict[str, Any]:
    text = (FIXTURES / name / file).read_text()
    return json.loads(text.replace("{{INPUT_DIR}}", str(FIXTURES / name / "input")).replace("{{DATASOURCE}}", "ds"))


def readable(name: str) -> bool:
    schema = task_of(name)["spec"]["dataSchema"]
    kinds = {d.get("type", "string") for d in schema["dimensionsSpec"].get("dimensions", []) if isinstance(d, dict)}
    metrics = [m["type"] for m in schema.get("metricsSpec", [])]
    return (
        kinds <= READABLE
        and not schema["dimensionsSpec"].get("useSchemaDiscovery")
        and not schema.get("transformSpec")
        and all(m == "count" or m[-3:] in AGGREGATED for m in metrics)
        and not schema.get("projections")
    )


NOT_BY_READING = {
    "empty_columns_not_stored",  # columns go when segments are written
    "overwrite_new_version",  # its second task reads a datasource
    "part_numbered_append",  # its second task rolls up by itself
}
"""Whole ingestions of these are in tests/integration/test_ingest_fixtures.py."""
NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
READ = [name for name in NAMES if readable(name) and name not in NOT_BY_READING]


def expected_rows(name: str) -> Iterator[dict[str, Any]]:
    for path in sorted((FIXTURES / name).glob("seg*/rows.jsonl*")):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            yield from map(json.loads, lines)


def build(task: dict[str, Any], chunk_bytes: int) -> tuple[list[dict[str, Any]], RowStats, Input]:
    """The task's rows, rolled up one by one."""
    spec = task["spec"]
    source = Input(spec, {})
    granularity = spec["dataSchema"]["granularitySpec"]
    period = PERIODS[granularity["queryGranularity"]]
    metrics = spec["dataSchema"].get("metricsSpec", [])
    groups: dict[Any, dict[str, Any]] = {}
    stats = RowStats()
    for chunk in source.read(chunk_bytes):
        stats.processed += len(chunk.batch) - chunk.records_with_errors
        stats.processedWithError += chunk.records_with_errors
        stats.unparseable += chunk.unparseable
        stats.processedBytes += chunk.bytes
        names = list(chunk.batch.columns)
        for values in zip(*(column.to_list() for column in chunk.batch.columns.values()), strict=True):
            row = dict(zip(names, values, strict=True))
            row["__time"] -= row["__time"] % period
            dimensions = {name: shown(row.get(name)) for name in ("__time", *source.transform.dimensions)}
            key = repr(dimensions) if granularity["rollup"] else len(groups)
            fold(groups.setdefault(key, dimensions), row, metrics)
    rows = [{"__time": row["__time"], **dict.fromkeys(source.transform.dimensions), **row} for row in groups.values()]
    return rows, stats, source


def shown(value: Any) -> Any:
    """A list as the broker prints it."""
    if isinstance(value, list):
        return {0: None, 1: value[0] if value else None}.get(len(value), value)
    return value


def fold(group: dict[str, Any], row: dict[str, Any], metrics: list[dict[str, Any]]) -> None:
    for metric in metrics:
        name, kind = metric["name"], metric["type"]
        if kind == "count":
            group[name] = group.get(name, 0) + 1
            continue
        value, so_far = row[name], group.setdefault(name, None)
        if value is None:
            continue
        if kind.endswith("Sum"):
            zero: Any = 0 if kind == "longSum" else 0.0
            total = (zero if so_far is None else so_far) + value
            group[name] = float(np.float32(total)) if kind == "floatSum" else total
        else:
            group[name] = value if so_far is None else (min if kind.endswith("Min") else max)(so_far, value)


def comparable(row: dict[str, Any], floats: set[str]) -> tuple[Any, ...]:
    return tuple(sorted((name, _value(value, name in floats)) for name, value in row.items()))


def _value(value: Any, is_float: bool) -> str:
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if is_float and isinstance(value, int | float):
        return repr(float(np.float32(value)))
    return repr(value) if not isinstance(value, str) else value


def float_columns(spec: dict[str, Any]) -> set[str]:
    dimensions = [d for d in spec["dimensionsSpec"].get("dimensions", []) if isinstance(d, dict)]
    return {d["name"] for d in dimensions if d.get("type") == "float"} | {
        m["name"] for m in spec.get("metricsSpec", []) if m["type"].startswith("float")
    }


def test_most_fixtures_are_read() -> None:
    assert len(READ) >= 20


@pytest.mark.parametrize("name", READ)
def test_rows_and_counts_are_those_of_the_cluster(name: str) -> None:
    tasks = [task_of(name)]
    if (FIXTURES / name / "task2.json").exists():
        tasks.append(task_of(name, "task2.json"))
    built = [build(task, 8 << 20) for task in tasks]
    floats = float_columns(tasks[0]["spec"]["dataSchema"])
    rows = [row for part, _, _ in built for row in part]
    assert sorted(comparable(row, floats) for row in rows) == sorted(
        comparable(row, floats) for row in expected_rows(name)
    )
    stats = json.loads((FIXTURES / name / "rowstats.json").read_text())
    if len(tasks) == 1 and "buildSegments" in stats:
        assert vars(built[0][1]) == stats["buildSegments"]


@pytest.mark.parametrize("name", [n for n in READ if n not in ("norollup_blocks_highcard", "part_hashed")])
@pytest.mark.parametrize("chunk_bytes", [1, 7, 100, 4096])
def test_chunk_size_changes_nothing(name: str, chunk_bytes: int) -> None:
    task = task_of(name)
    if sum(path.stat().st_size for path in (FIXTURES / name / "input").iterdir()) > 500 * chunk_bytes:
        pytest.skip("too many chunks")
    whole, small = build(task, 8 << 20), build(task, chunk_bytes)
    assert [repr(row) for row in small[0]] == [repr(row) for row in whole[0]]
    assert small[1] == whole[1]
    assert small[2].transform.dimensions == whole[2].transform.dimensions


@pytest.mark.parametrize("name", READ)
def test_determine_partitions_counts_times_only(name: str) -> None:
    stats = json.loads((FIXTURES / name / "rowstats.json").read_text())
    if "determinePartitions" not in stats or (FIXTURES / name / "task2.json").exists():
        pytest.skip("no such phase")
    found = RowStats()
    for chunk in Input(task_of(name)["spec"], {}, phase="determinePartitions", dimensions=False).read(8 << 20):
        found.processed += len(chunk.batch) - chunk.records_with_errors
        found.unparseable += chunk.unparseable
        found.processedBytes += chunk.bytes
        found.processedWithError += chunk.records_with_errors
    assert vars(found) == stats["determinePartitions"]


def test_discovered_dimensions_come_in_order_of_appearance() -> None:
    _, _, source = build(task_of("string_discovery"), 8 << 20)
    assert source.transform.dimensions == ("as_", "ad", "aarr", "asarr", "avar", "j")
