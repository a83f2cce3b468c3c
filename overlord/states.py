"""The states of a task, and the only way from one to another.

A move is one guarded statement: it names the states it may leave, the attempt it speaks of and the epoch of the
leader that wants it, and writes its event row with it. Whoever comes second moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from overlord.metrics.tasks import moved
from overlord.model.instant import format_instant, now_ms
from overlord.model.task import TaskState
from overlord.store import tasks as store

if TYPE_CHECKING:
    from overlord.store.db import Transaction

_W, _P, _R = TaskState.WAITING, TaskState.PENDING, TaskState.RUNNING

MOVES: dict[str, tuple[frozenset[TaskState], TaskState]] = {  # event: (from, to)
    "submitted": (frozenset(), _W),  # accepted, its rows are committed
    "locked": (frozenset({_W}), _P),  # has the locks it asked for, waits for a slot
    "started": (frozenset({_P}), _R),  # has a slot and a new attempt; committed before its process starts
    "restarted": (frozenset({_R}), _P),  # given a slot by a server that died before the process was there
    "adopted": (frozenset({_R}), _R),  # found alive by a new leader
    "retried": (frozenset({_R}), _W),  # this attempt failed; another one follows, not before `delay_ms` from now
    "succeeded": (frozenset({_R}), TaskState.SUCCESS),
    "failed": (frozenset({_W, _P, _R}), TaskState.FAILED),
    "shutdown": (frozenset({_W, _P, _R}), TaskState.FAILED),  # by request
}


def move(
    tx: Transaction,
    task_id: str,
    event: str,
    *,
    epoch: int,
    attempt: int | None = None,
    token: str | None = None,
    runner: str | None = None,
    cause: str | None = None,
    detail: dict[str, Any] | None = None,
    delay_ms: int | None = None,
) -> dict[str, Any] | None:
    """Make one move.

    Parameters
    ----------
    tx : Transaction
    task_id : str
    event : str
        A key of `MOVES`.
    epoch : int
        Of the leader that decides; an outdated one moves nothing.
    attempt : int, optional
        The attempt spoken of; None for whichever.
    token, runner : str, optional
        Of a new attempt ("started").
    cause : str, optional
        The whole cause of a failure.
    detail : dict, optional
        Kept with the event.
    delay_ms : int, optional
        Back-off of "retried".

    Returns
    -------
    dict or None
        The row after the move, with `from_state`; None when nothing was moved.
    """
    sources, to = MOVES[event]
    rows = store.move(
        tx,
        [task_id],
        event=event,
        sources=[state.value for state in sources],
        to=to.value,
        epoch=epoch,
        attempt=attempt,
        token=token,
        runner=runner,
        cause=cause,
        detail=detail,
        delay_ms=delay_ms,
        at=format_instant(now_ms()),
    )
    _observe(tx, event, rows)
    return rows[0] if rows else None


def move_all(tx: Transaction, task_ids: Sequence[str], event: str, *, epoch: int) -> list[dict[str, Any]]:
    """Make the same move with several tasks, by one statement; the rows of those that were moved, in no order."""
    sources, to = MOVES[event]
    rows = store.move(
        tx,
        task_ids,
        event=event,
        sources=[state.value for state in sources],
        to=to.value,
        epoch=epoch,
        at=format_instant(now_ms()),
    )
    _observe(tx, event, rows)
    return rows


def _observe(tx: Transaction, event: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        tx.after_commit(partial(moved, event, row))
