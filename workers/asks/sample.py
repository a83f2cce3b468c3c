"""Samples: the first rows of an input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.asks import asks
from workers.sampling import dry_run, sample


@asks.add("sample")
def answer(body: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Druid's answer to a sampler spec."""
    return sample(body["spec"], body["samplerConfig"], settings, kind=body["type"])


@asks.add("dry_run")
def judge(body: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a batch ingestion would do."""
    return dry_run(body["spec"], settings, rows=body["rows"], timeout_ms=body["timeoutMs"])
