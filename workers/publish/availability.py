"""Waiting until published segments are served, which only a Coordinator knows."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

_log = logging.getLogger("overlord.publish")

EVERY_S = 1.0
ANSWER_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Availability:
    """What came of the wait.

    Attributes
    ----------
    confirmed : bool
        All segments are served.
    waited_ms : int
    """

    confirmed: bool = False
    waited_ms: int = 0


def wait_until_served(
    segments: Sequence[Mapping[str, Any]], url: str | None, timeout_ms: int, stopping: threading.Event
) -> Availability:
    """Ask the Coordinator at `url` until it says so of each segment, or the time is over. Never fails the task.

    Parameters
    ----------
    segments : sequence of mapping
        Published payloads.
    url : str or None
        None: nobody can be asked, so nothing is waited for.
    """
    left = [segment for segment in segments if segment["shardSpec"]["type"] != "tombstone"]
    if timeout_ms <= 0 or not left:
        return Availability()
    if not url:
        _log.info("ovl.coordinator.url is not set: nobody can tell whether the segments are served, so no wait")
        return Availability()
    started = time.monotonic()
    deadline = started + timeout_ms / 1000
    while True:
        left = [segment for segment in left if not _served(url, segment)]
        over = not left or time.monotonic() >= deadline
        if over or stopping.wait(min(EVERY_S, max(0.0, deadline - time.monotonic()))):
            break
    waited_ms = int((time.monotonic() - started) * 1000)
    if left:
        _log.warning("[%d] segments were not served after %d ms", len(left), waited_ms)
    return Availability(confirmed=not left, waited_ms=waited_ms)


def _served(url: str, segment: Mapping[str, Any]) -> bool:
    """The Coordinator's word; False while it does not answer."""
    shard_spec = segment["shardSpec"]
    asked = urlencode(
        {
            "interval": segment["interval"],
            "partitionNumber": shard_spec.get("partitionNum", shard_spec.get("partitionId", 0)),
            "version": segment["version"],
        }
    )
    path = f"/druid/coordinator/v1/datasources/{quote(segment['dataSource'], safe='')}/handoffComplete?{asked}"
    try:
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=ANSWER_S) as answer:
            return json.load(answer) is True
    except (OSError, ValueError, urllib.error.URLError) as fault:
        _log.info("The Coordinator at %s does not answer: %s", url, fault)
        return False
