"""Unused segments: looked up, checked against the task's locks, their files removed when no row has them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from overlord.errors import TaskFailed
from overlord.model.interval import Interval
from workers.publish.base import LoadSpec, Pusher, open_for
from workers.publish.claims import Actions

_log = logging.getLogger("overlord.publish")
_SHOWN = 20

Payload = dict[str, Any]


class UnusedSegments:
    """The unused segments of one datasource.

    Parameters
    ----------
    actions : Actions
    settings : Mapping
        `druid.storage.*`.
    """

    def __init__(self, actions: Actions, settings: Mapping[str, Any], *, task_id: str, datasource: str) -> None:
        self._actions = actions
        self._settings = settings
        self._task_id = task_id
        self._datasource = datasource
        self._stores: dict[str, Pusher] = {}

    def listed(self, interval: str, **only: Any) -> list[Payload]:
        """Those wholly inside an interval, in order of time; `only` are more fields of the action."""
        found = self._actions.submit(
            {"type": "segmentListUnused", "dataSource": self._datasource, "interval": interval, **only}
        )
        return list(found or ())

    def check_locks(self, segments: Sequence[Payload]) -> None:
        """Ask anew each time: a lock may be revoked while the task works.

        Raises
        ------
        TaskFailed
            A segment is not covered, or has a later version than the lock.
        """
        locks = [lock for lock in self._actions.submit({"type": "lockList"}) or () if not lock.get("revoked")]
        bad = [segment for segment in segments if not any(_covers(lock, segment) for lock in locks)]
        if bad:
            shown = ", ".join(str(segment["identifier"]) for segment in bad[:_SHOWN])
            more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
            raise TaskFailed(
                f"org.apache.druid.java.util.common.ISE: Locks[{orjson.dumps(locks).decode()}] for task"
                f"[{self._task_id}] can't cover segments[[{shown}{more}]]"
            )

    def store(self, load_spec: LoadSpec | None) -> Pusher | None:
        """Where a segment lies; None for one without files.

        Raises
        ------
        TaskFailed
            No deep storage of this kind is known.
        """
        kind = (load_spec or {}).get("type")
        if kind is None or kind == "tombstone":
            return None
        if kind not in self._stores:
            self._stores[kind] = open_for(str(kind), self._settings)
        return self._stores[kind]

    def unreferenced(self, segments: Sequence[Payload]) -> list[Payload]:
        """Those whose loadSpec no row has, used or unused."""
        if not segments:
            return []
        intervals = [Interval.parse(segment["interval"]) for segment in segments]
        umbrella = Interval(min(each.start for each in intervals), max(each.end for each in intervals))
        in_use = self._actions.submit(
            {
                "type": "segmentLoadSpecsInUse",
                "dataSource": self._datasource,
                "interval": str(umbrella),
                "loadSpecs": [segment.get("loadSpec") for segment in segments],
            }
        )
        taken = {_key(load_spec) for load_spec in in_use}
        return [segment for segment in segments if _key(segment.get("loadSpec")) not in taken]

    def remove_files(self, segments: Sequence[Payload]) -> None:
        """Delete the files of segments without rows; those that are gone are no error.

        Raises
        ------
        TaskFailed
            Some could not be deleted; the others are.
        """
        failures = []
        for load_spec in {_key(segment.get("loadSpec")): segment.get("loadSpec") for segment in segments}.values():
            store = self.store(load_spec)
            if store is None or load_spec is None:
                continue
            try:
                store.remove(load_spec)
            except TaskFailed as failure:
                _log.error("%s", failure.message)
                failures.append(failure.message)
        if failures:
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise TaskFailed(f"{failures[0]}{more}")


def _covers(lock: Mapping[str, Any], segment: Payload) -> bool:
    if not Interval.parse(lock["interval"]).contains(Interval.parse(segment["interval"])):
        return False
    return bool(lock["type"] == "APPEND" or lock["version"] >= segment["version"])


def _key(load_spec: LoadSpec | None) -> bytes:
    return orjson.dumps(load_spec, option=orjson.OPT_SORT_KEYS)
