"""Replays of what a stock Overlord 33.0.0 answered.

`passing.txt` names the scenarios that pass; every other one is expected to fail still, and the test says so when
one no longer does: then it belongs on the list. Scenarios that need Kafka are marked `kafka`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = {path.stem: path for folder in ("scenarios", "scenarios-ext") for path in (HERE / folder).glob("*.json")}
PASSING = set((HERE / "passing.txt").read_text().split())


def parameters():
    for name, path in sorted(FILES.items()):
        needs = json.loads(path.read_text()).get("requires", [])
        yield pytest.param(name, marks=[pytest.mark.kafka] if "kafka" in needs else [])


def test_the_list_names_scenarios_only():
    assert not PASSING - FILES.keys()


@pytest.mark.parametrize("name", list(parameters()))
def test_scenario(name, base_url, monkeypatch, request):
    import conform
    import conform_ext

    monkeypatch.setattr(conform, "Server", conform_ext.Server)
    monkeypatch.setattr(conform, "LONGEST_POLL_S", 60)
    scenario = json.loads(FILES[name].read_text())
    if "kafka" in scenario.get("requires", []):
        request.getfixturevalue("kafka")
    mismatches, _, _ = conform.replay(base_url, scenario, verbose=False, hasty=name not in PASSING)
    if name in PASSING:
        assert not mismatches, "\n".join(mismatches)
    elif mismatches:
        pytest.xfail(f"not yet: {mismatches[0]}"[:300])
    else:
        pytest.fail(f"{name} passes now: add it to passing.txt")
