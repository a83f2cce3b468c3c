"""Events of tasks and supervisors in their one order, and what webhooks have not been told yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from overlord.model.supervisor import SupervisorSpec

if TYPE_CHECKING:
    from overlord.store.db import Transaction

Row = dict[str, Any]


def note_supervisor(tx: Transaction, spec_id: str, spec: SupervisorSpec, event: str, detail: Any = None) -> None:
    """Write that a supervisor has changed, in the transaction of the change."""
    tx.run(
        "events.supervisor",
        id=spec_id,
        type=spec.type,
        event=event,
        datasources=Jsonb(list(spec.datasources)),
        detail=None if detail is None else Jsonb(detail),
    )


def after(tx: Transaction, event_id: int, most: int) -> list[Row]:
    """The next events."""
    return tx.all("events.after", after=event_id, most=most)


def by_ids(tx: Transaction, ids: Iterable[int]) -> list[Row]:
    """Events by id; those that were cleaned up are left out."""
    return tx.all("events.by_ids", ids=list(ids))


def last(tx: Transaction) -> int:
    """The highest id."""
    row = tx.one("events.last")
    assert row is not None
    return int(row["id"])


def horizon(tx: Transaction) -> tuple[int, int]:
    """Transactions below the first number have ended, those from the second on have not begun."""
    row = tx.one("events.horizon")
    assert row is not None
    return row["oldest"], row["next"]


def published(tx: Transaction, task_ids: Iterable[str]) -> list[Row]:
    """`task_id`, `id`, `interval` of the segments that tasks have published."""
    return tx.all("events.published", ids=list(task_ids))


def hook(tx: Transaction, url: str) -> int:
    """The event up to which deliveries were made; a new webhook begins at the last one."""
    row = tx.one("events.hook", url=url, last=last(tx))
    assert row is not None
    return int(row["after_id"])


def advance(tx: Transaction, url: str, *, after: int, to: int, ids: list[int], epoch: int) -> bool:
    """Make deliveries and move on; False when this server leads no more."""
    return tx.one("events.advance", url=url, after=after, to=to, ids=ids, epoch=epoch) is not None


def due(tx: Transaction, url: str, most: int) -> list[Row]:
    """Deliveries to be tried now, the oldest event first."""
    return tx.all("events.due", url=url, most=most)


def delivered(tx: Transaction, url: str, event_id: int) -> None:
    """Forget a delivery: it was taken, or is given up."""
    tx.run("events.delivered", url=url, id=event_id)


def postponed(tx: Transaction, url: str, event_id: int, wait_s: float, error: str) -> None:
    """Try a delivery again later."""
    tx.run("events.postponed", url=url, id=event_id, wait_s=wait_s, error=error[:1000])
