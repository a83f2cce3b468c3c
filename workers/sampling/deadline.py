"""An end to reading, wherever it stands."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _TimeIsUp(BaseException):
    """Raised in the main thread; no handler for faults of the input may take it for one."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Leave the block, without an error, once so much time has passed. For the main thread of a process of its own."""

    def up(_number: int, _frame: FrameType | None) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    except _TimeIsUp:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
