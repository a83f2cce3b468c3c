"""PENDING: for a slot, or for a worker that may take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from overlord.explain.base import Finding, Row
from overlord.model.worker_config import NAME as WORKER_CONFIG
from overlord.model.worker_config import Affinity
from overlord.store import config
from overlord.store import explain as store

if TYPE_CHECKING:
    from overlord.services import Services
    from overlord.store.db import Transaction


def find(services: Services, tx: Transaction, row: Row) -> Finding:
    """The place in the queue, and what keeps it there."""
    place, of = store.place(tx, row["queue_insertion_time"], row["seq"])
    workers = services.runner.workers()
    used, total = services.runner.used(), services.runner.capacity()
    affinity = Affinity.of(config.get(tx, WORKER_CONFIG))
    queue = {
        "place": place,
        "of": of,
        "slotsUsed": used,
        "slotsTotal": total,
        "slotsNeeded": row["required_capacity"],
        "workers": [_worker(each, row["datasource"], affinity) for each in workers],
    }
    kind, cause, step = _reason(services, row, queue)
    return Finding(kind=kind, cause=cause, next_step=step, details={"queue": queue})


def _worker(entry: dict[str, Any], datasource: str, affinity: Affinity) -> dict[str, Any]:
    worker = entry["worker"]
    return {
        "host": worker["host"],
        "enabled": bool(worker.get("version")),
        "allowed": affinity.allows(datasource, worker["host"]),
        "slotsUsed": entry["currCapacityUsed"],
        "slotsTotal": worker["capacity"],
        "availabilityGroups": entry.get("availabilityGroups", []),
    }


def _reason(services: Services, row: Row, queue: dict[str, Any]) -> tuple[str, str, str | None]:
    workers, need = queue["workers"], row["required_capacity"]
    enabled = [each for each in workers if each["enabled"]]
    allowed = [each for each in enabled if each["allowed"]]
    if services.queue.draining:
        return "draining", "The server is about to stop and starts nothing more", "start it again"
    if not enabled:
        return "workerDisabled", "Every worker is disabled", "enable one: POST worker/{host}/enable"
    if not allowed:
        return (
            "affinity",
            f"No worker that is enabled may take tasks of datasource [{row['datasource']}]: the worker configuration "
            "has a strong affinity",
            "change selectStrategy.affinityConfig: POST worker",
        )
    if need > max(each["slotsTotal"] for each in allowed):
        return (
            "tooLarge",
            f"It needs {need} slots (resource.requiredCapacity), and no worker has so many",
            "submit it with less, or raise druid.worker.capacity",
        )
    if row["type"] != "index_kafka" and all(
        row["availability_group"] in each["availabilityGroups"] for each in allowed
    ):
        return (
            "availabilityGroup",
            f"A task of its availability group [{row['availability_group']}] has a slot on every worker",
            "none: it starts when that one ends",
        )
    if services.runner.holds(row["id"]):
        return "lastAttempt", "The process of its last attempt has still to go", "none: it is being ended"
    if all(each["slotsUsed"] + need > each["slotsTotal"] for each in allowed):
        return (
            "slots",
            f"{queue['slotsUsed']} of {queue['slotsTotal']} slots are taken; place {queue['place']} of {queue['of']} "
            "in the queue",
            "none: it starts when a slot is free. More at once: druid.worker.capacity",
        )
    return "dispatch", f"It is about to start; place {queue['place']} of {queue['of']} in the queue", None
