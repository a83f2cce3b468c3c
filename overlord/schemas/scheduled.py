"""The shape of a scheduled_batch supervisor's spec."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from overlord.errors import BadRequest
from overlord.model.cron import Schedule
from overlord.model.supervisor import SupervisorSpec
from overlord.registry import Registry
from overlord.schemas.base import Flag, Kinds, Object, Poly, Problem, Shape, Text
from overlord.schemas.names import problem_of
from overlord.schemas.supervisors import SupervisorShape, supervisor_kinds

cron_kinds: Kinds = Registry("cron scheduler")
_BATCH = "org.apache.druid.indexing.scheduledbatch."
ID_PREFIX = "scheduled_batch__"
MISSED = ("once", "all", "none")


class _Cron(Shape):
    """When, and what of runs that fall together; the latter is ours, and written only if it was given."""

    omit_null = frozenset({"timeZone", "allowOverlap", "missedRuns"})
    word = ""

    schedule = Text()
    timeZone = Text()
    allowOverlap = Flag()
    missedRuns = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if data.get("missedRuns") is not None and data["missedRuns"] not in MISSED:
            yield "missedRuns", f"missedRuns[{data['missedRuns']}] is not one of [{', '.join(MISSED)}]"
        if not {"schedule", "timeZone"} <= data.keys():
            return
        try:
            schedule_of({"type": self.word.lower(), **data})
        except BadRequest as error:
            yield "schedule", f"{self.word} schedule[{data['schedule']}] is invalid: [{error.message}]"


@cron_kinds.add("unix")
class UnixCron(_Cron):
    """Five fields, or a macro."""

    java = _BATCH + "UnixCronSchedulerConfig"
    word = "Unix"


@cron_kinds.add("quartz")
class QuartzCron(_Cron):
    """Six or seven fields."""

    java = _BATCH + "QuartzCronSchedulerConfig"
    word = "Quartz"


def schedule_of(config: Mapping[str, Any]) -> Schedule:
    """The schedule of a schedulerConfig."""
    read = Schedule.unix if config["type"] == "unix" else Schedule.quartz
    return read(config["schedule"] or "", config.get("timeZone") or "UTC")


@supervisor_kinds.add("scheduled_batch")
class ScheduledBatchShape(SupervisorShape):
    """Submits a task again and again."""

    java = _BATCH + "ScheduledBatchSupervisorSpec"

    spec_ = Object(data_key="spec")
    schedulerConfig = Poly(cron_kinds, _BATCH + "CronSchedulerConfig", named="schedulerConfig")
    id = Text()
    dataSource = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "schedulerConfig" in data and data["schedulerConfig"] is None:
            yield "schedulerConfig", "schedulerConfig must be specified"
        if not {"spec_", "dataSource"} <= data.keys():
            return
        task = data["spec_"]
        if task is None:
            yield "spec", "spec must be specified"
        elif data["dataSource"] is None and "query" in task:
            yield "dataSource", f"Error getting datasource from query[{task['query']}]: [there is no Broker to ask]"
        elif text := problem_of("dataSource", data["dataSource"] or datasource_of(task)):
            yield "dataSource", text

    def spec(self, kind: str, data: dict[str, Any]) -> SupervisorSpec:
        datasource = data["dataSource"] or datasource_of(data["spec_"])
        assert datasource is not None
        spec_id = data["id"] or f"{ID_PREFIX}{datasource}__{uuid.uuid4()}"
        payload = {
            "type": kind,
            "spec": data["spec_"],
            "schedulerConfig": data["schedulerConfig"],
            "suspended": data["suspended"],
            "id": spec_id,
            "dataSource": datasource,
        }
        return SupervisorSpec(
            id=spec_id,
            type=kind,
            source="",
            datasources=(datasource,),
            payload=payload,
            suspended=data["suspended"],
        )


def datasource_of(task: Mapping[str, Any]) -> str | None:
    """The datasource that a task's JSON names."""
    inner = task.get("spec")
    schema = inner.get("dataSchema") if isinstance(inner, Mapping) else None
    for found in (schema, task):
        if isinstance(found, Mapping) and isinstance(found.get("dataSource"), str):
            return str(found["dataSource"])
    return None
