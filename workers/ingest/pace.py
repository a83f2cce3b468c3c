"""How fast an input is read, and how long the rest of it will take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

LOG_EVERY_S = 10.0

_log = logging.getLogger("overlord.ingest")


class Pace:
    """The pace of one reading.

    Parameters
    ----------
    total_bytes : int or None
        Size of the input as it is stored, if known.
    """

    def __init__(self, total_bytes: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total_bytes = total_bytes
        self._clock = clock
        self._began = clock()
        self._logged = self._began

    def numbers(self, rows: int, bytes_read: int) -> dict[str, Any]:
        """Rate and time left; now and then a line in the log."""
        now = self._clock()
        passed = max(now - self._began, 1e-3)
        left_ms = None
        if self.total_bytes is not None and bytes_read > 0:
            left_ms = round(1000 * passed * max(0, self.total_bytes - bytes_read) / bytes_read)
        told = {
            "bytesRead": bytes_read,
            "totalBytes": self.total_bytes,
            "rowsPerSecond": round(rows / passed),
            "bytesPerSecond": round(bytes_read / passed),
            "timeLeftMs": left_ms,
        }
        if now - self._logged >= LOG_EVERY_S:
            self._logged = now
            _log.info(
                "Read [%d] rows, %s, [%d] rows/s%s",
                rows,
                self._share(bytes_read),
                told["rowsPerSecond"],
                _left(left_ms),
            )
        return told

    def _share(self, bytes_read: int) -> str:
        if not self.total_bytes:
            return f"[{bytes_read}] bytes"
        return f"[{bytes_read}] of [{self.total_bytes}] bytes ({min(100, 100 * bytes_read // self.total_bytes)} %)"


def _left(left_ms: int | None) -> str:
    return "" if left_ms is None else f", about [{left_ms // 1000}] s left"
