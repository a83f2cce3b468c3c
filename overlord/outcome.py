"""How a task ended, and how that is told from what is left of its process."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

from overlord.model.attempts import Retry
from overlord.model.instant import now_ms, parse_instant
from overlord.runners.base import Exit

UNWATCHED = "worker process ended without an end file while no Overlord watched"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An end.

    Attributes
    ----------
    status : str
        SUCCESS or FAILED.
    error : str or None
        Druid's errorMsg, cut when stored.
    duration_ms : int
        Measured by the worker; -1 where it never told.
    cause : str or None
        All that is known about a failure.
    """

    status: str
    error: str | None = None
    duration_ms: int = -1
    cause: str | None = None

    @classmethod
    def of_end(cls, end: dict[str, Any]) -> Outcome:
        """Of a worker's own word: an end file, or the body of its HTTP end."""
        status = "SUCCESS" if end.get("status") == "SUCCESS" else "FAILED"
        error = end.get("errorMsg")
        if status == "FAILED" and not error:
            error = "The task failed without a message"
        return cls(
            status=status,
            error=str(error) if error else None,
            duration_ms=int(end.get("duration", -1)),
            cause=str(end["cause"]) if end.get("cause") else None,
        )


def outcome_of(exit_: Exit) -> Outcome:
    """What a process that is gone amounts to."""
    if exit_.end is not None:
        return Outcome.of_end(exit_.end)
    error = exit_.killed_for or _reason(exit_.wait_status)
    tail = f"\nLast lines of the log:\n{exit_.log_tail}" if exit_.log_tail else ""
    return Outcome(status="FAILED", error=error, cause=error + _hint(exit_) + tail)


def after_publish(outcome: Outcome) -> Outcome:
    """What a failure amounts to once the last publish is committed: the work is done, the cause is kept."""
    if outcome.status == "SUCCESS":
        return outcome
    return Outcome(status="SUCCESS", duration_ms=outcome.duration_ms, cause=outcome.cause or outcome.error)


def out_of_time(timeout_ms: int) -> Outcome:
    """What an attempt over its `context.timeoutMs` amounts to."""
    error = f"The task ran longer than its time limit, context.timeoutMs = {timeout_ms} ms"
    return Outcome(status="FAILED", error=error, cause=error)


def time_left_ms(row: dict[str, Any] | None) -> int | None:
    """What is left of a RUNNING row's limit, 0 or less when it is over; None without a limit, or if it does not run."""
    if row is None or row["state"] != "RUNNING" or row["timeout_ms"] is None or row["started_date"] is None:
        return None
    return parse_instant(row["started_date"]) + int(row["timeout_ms"]) - now_ms()


def retry_delay_ms(row: dict[str, Any], outcome: Outcome) -> int | None:
    """How long a failed attempt's task waits for the next; None when there is none."""
    policy = Retry.from_json(row.get("retry"))
    if policy is None or outcome.status == "SUCCESS":
        return None
    return policy.delay_ms(row["retries"] + 1)


def _reason(wait_status: int | None) -> str:
    if wait_status is None:
        return UNWATCHED
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        return f"Worker process was killed by signal {number} ({_name(number)})"
    return f"Worker process ended with exit code {os.waitstatus_to_exitcode(wait_status)} and without an end file"


def _hint(exit_: Exit) -> str:
    killed = exit_.wait_status is not None and os.WIFSIGNALED(exit_.wait_status)
    if killed and not exit_.killed_for and os.WTERMSIG(exit_.wait_status or 0) == signal.SIGKILL:
        return " from outside the Overlord; the kernel does so when the machine or its control group is out of memory"
    return ""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
