"""What a task's context says about its attempts. These keys are ours: a stock Overlord ignores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overlord.errors import BadRequest
from overlord.model.instant import DAY, HOUR, SECOND
from overlord.model.period import Period

MOST_ATTEMPTS = 100
_LONGEST_MS = 366 * DAY
_FIELDS = ("maxAttempts", "backoff", "maxBackoff", "multiplier")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """`context.retry`: how often a failed task is tried again under its own id.

    Attributes
    ----------
    max_attempts : int
        The first one included.
    backoff_ms : int
        Wait after the first failure.
    max_backoff_ms : int
        No wait is longer.
    multiplier : float
        Each wait is so many times the one before.
    """

    max_attempts: int
    backoff_ms: int = 10 * SECOND
    max_backoff_ms: int = HOUR
    multiplier: float = 2.0

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Retry | None:
        """The policy of a context; None without one.

        Raises
        ------
        BadRequest
            A value is not of its kind; `where` is its path.
        """
        given = context.get("retry")
        if given is None:
            return None
        if not isinstance(given, Mapping):
            raise _wrong("context.retry", "an object with 'maxAttempts'", given)
        for name in given:
            if name not in _FIELDS:
                raise BadRequest(
                    f"Unknown field [{name}] in context.retry", where=f"context.retry.{name}", hint=_KNOWN_HINT
                )
        first = cls(max_attempts=_whole("context.retry.maxAttempts", given.get("maxAttempts"), most=MOST_ATTEMPTS))
        backoff_ms = _length("context.retry.backoff", given.get("backoff"), first.backoff_ms)
        return cls(
            max_attempts=first.max_attempts,
            backoff_ms=backoff_ms,
            max_backoff_ms=_length("context.retry.maxBackoff", given.get("maxBackoff"), max(backoff_ms, HOUR)),
            multiplier=_factor("context.retry.multiplier", given.get("multiplier"), first.multiplier),
        )

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Retry | None:
        """The policy as `to_json` gave it."""
        if stored is None:
            return None
        return cls(
            max_attempts=stored["maxAttempts"],
            backoff_ms=stored["backoffMs"],
            max_backoff_ms=stored["maxBackoffMs"],
            multiplier=stored["multiplier"],
        )

    def to_json(self) -> dict[str, Any]:
        """The policy with every default."""
        return {
            "maxAttempts": self.max_attempts,
            "backoffMs": self.backoff_ms,
            "maxBackoffMs": self.max_backoff_ms,
            "multiplier": self.multiplier,
        }

    def delay_ms(self, failed: int) -> int | None:
        """Wait after so many failed attempts; None when that was the last."""
        if failed >= self.max_attempts:
            return None
        return int(min(self.max_backoff_ms, self.backoff_ms * self.multiplier ** (failed - 1)))


def timeout_of(context: Mapping[str, Any]) -> int | None:
    """`context.timeoutMs`: how long an attempt may run; None for as long as it likes."""
    value = context.get("timeoutMs")
    return None if value is None else _whole("context.timeoutMs", value, most=_LONGEST_MS)


def _whole(where: str, value: Any, *, most: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise _wrong(where, f"a whole number from 1 to {most}", value)
    return value


def _length(where: str, value: Any, default: int) -> int:
    """Milliseconds, or an ISO period."""
    if value is None:
        return default
    ms: int | None = None
    if isinstance(value, str):
        try:
            ms = Period.parse(value).utc_ms
        except BadRequest:
            ms = int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
    elif isinstance(value, int) and not isinstance(value, bool):
        ms = value
    if ms is None or not 0 <= ms <= _LONGEST_MS:
        raise _wrong(where, "milliseconds or an ISO period such as PT10S, at most 366 days", value)
    return ms


def _factor(where: str, value: Any, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100:
        raise _wrong(where, "a number from 1 to 100", value)
    return float(value)


def _wrong(where: str, wanted: str, value: Any) -> BadRequest:
    return BadRequest(f"Invalid value for field [{where}]: expected {wanted}, got {value!r:.100}", where=where)


_KNOWN_HINT = f"known: {', '.join(_FIELDS)}"
