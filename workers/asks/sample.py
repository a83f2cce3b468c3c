"""Samples: the first rows of an input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.asks import asks
from workers.sampling import sample


@asks.add("sample")
def answer(body: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Druid's answer to a sampler spec."""
    return sample(body["spec"], body["samplerConfig"], settings, kind=body["type"])
