"""The bag of parts that requests and duties work with; `overlord.service` fills it, tests fill their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overlord.duties.schedule import Duties
    from overlord.leader import Leader
    from overlord.logs import TaskLogs
    from overlord.notify import EventHub
    from overlord.queue import TaskQueue
    from overlord.runners.base import Runner
    from overlord.settings import Settings
    from overlord.signals import Signals
    from overlord.store.db import Database
    from overlord.supervisors.manager import SupervisorManager


@dataclass(frozen=True, kw_only=True)
class Services:
    """What one server consists of.

    Attributes
    ----------
    settings : Settings
        `settings["druid.indexer.queue.maxSize"]` is a typed value.
    db : Database
        The only way to SQL.
    queue : TaskQueue
        submit, shutdown, finish.
    leader : Leader
        `is_leader()`, `url()` of whoever leads, or None.
    signals : Signals
        Wake-ups: "locks:<datasource>", "task:<id>".
    logs : TaskLogs
        `read(task_id, offset)` and `report(task_id)`, live or stored; None where there is none.
    runner : Runner
        `capacity()`, `used()`, `workers()`.
    supervisors : SupervisorManager
        `find(id)`, submit, suspend, terminate.
    events : EventHub
        Listeners to server-sent events.
    duties : Duties
        Clean-up: `listed()`, `run(name)`.
    """

    settings: Settings
    db: Database
    queue: TaskQueue
    leader: Leader
    signals: Signals
    logs: TaskLogs
    runner: Runner
    supervisors: SupervisorManager
    events: EventHub
    duties: Duties
