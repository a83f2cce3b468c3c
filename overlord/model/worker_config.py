"""The configuration of workers: which of them may take which task (`worker.config` in Druid's tables)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overlord.errors import BadRequest

NAME = "worker.config"
PLAIN = ("equalDistribution", "fillCapacity")
WITH_AFFINITY = ("equalDistributionWithAffinity", "fillCapacityWithAffinity")
WITH_CATEGORY = ("equalDistributionWithCategorySpec", "fillCapacityWithCategorySpec")
ANY_LIMIT: dict[str, Any] = {"maxSlotCountByType": {}, "maxSlotRatioByType": {}}


def normalise(body: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with its defaults, as Druid gives it back.

    An unknown type, of the configuration or of its strategy, falls back to the default one.
    """
    if body.get("type", "default") != "default":
        body = {}
    strategy = body.get("selectStrategy")
    return {
        "type": "default",
        "selectStrategy": None if strategy is None else _strategy(strategy),
        "autoScaler": None if body.get("autoScaler") is None else {"type": "NoopAutoScaler"},
    }


def _strategy(strategy: Any) -> dict[str, Any]:
    if not isinstance(strategy, Mapping):
        strategy = {}
    name = strategy.get("type")
    if name == "javascript":
        raise BadRequest(
            "Cannot construct instance of `org.apache.druid.indexing.overlord.setup.JavaScriptWorkerSelectStrategy`, "
            "problem: JavaScript is disabled",
            where="selectStrategy.type",
        )
    limits = {"taskLimits": _limits(strategy.get("taskLimits"))}
    if name in WITH_CATEGORY:
        return {"type": name, "workerCategorySpec": _categories(strategy.get("workerCategorySpec")), **limits}
    if name not in PLAIN and name not in WITH_AFFINITY:
        name, strategy = PLAIN[0], {}
    return {"type": name, "affinityConfig": _affinity(strategy.get("affinityConfig")), **limits}


def _affinity(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping):
        return None
    return {"affinity": given.get("affinity") or {}, "strong": bool(given.get("strong", False))}


def _categories(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping):
        return None
    kinds = given.get("categoryMap") or {}
    return {
        "categoryMap": {
            kind: {"defaultCategory": one.get("defaultCategory"), "categoryAffinity": one.get("categoryAffinity") or {}}
            for kind, one in kinds.items()
            if isinstance(one, Mapping)
        },
        "strong": bool(given.get("strong", False)),
    }


def _limits(given: Any) -> dict[str, Any]:
    return {**ANY_LIMIT, **given} if isinstance(given, Mapping) else dict(ANY_LIMIT)


@dataclass(frozen=True)
class Affinity:
    """Which workers a datasource is bound to.

    Attributes
    ----------
    workers : mapping
        Datasource to "host:port" of its workers.
    strong : bool
        Whether its tasks wait for them rather than run elsewhere.
    """

    workers: Mapping[str, tuple[str, ...]]
    strong: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> Affinity:
        """What a stored configuration says."""
        strategy = (config or {}).get("selectStrategy") or {}
        given = strategy.get("affinityConfig") or {}
        workers = {name: tuple(hosts) for name, hosts in (given.get("affinity") or {}).items()}
        return cls(workers, bool(given.get("strong", False)))

    def allows(self, datasource: str, worker: str) -> bool:
        """Whether a task of this datasource may run on this worker."""
        bound = self.workers.get(datasource)
        if bound is not None:
            return worker in bound or not self.strong
        taken = any(worker in hosts for hosts in self.workers.values())
        return not (taken and self.strong)
