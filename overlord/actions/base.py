"""What every action gets, and how it reads its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overlord.errors import BadRequest
from overlord.model.interval import Interval
from overlord.model.task import Task
from overlord.registry import Registry

if TYPE_CHECKING:
    from overlord.services import Services

PACKAGE = "org.apache.druid.indexing.common.actions."

_BATCH_PRIORITY = 50
_PRIORITIES = {"index_kafka": 75, "index_kinesis": 75, "compact": 25, "kill": 0, "archive": 0, "restore": 0, "move": 0}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One action of one task.

    Attributes
    ----------
    services : Services
    task : Task
        As the caller sent it; Druid believes it, and so do we.
    action : dict
        The action's JSON.
    attempt : int or None
        The attempt that asks, where one of our workers does.
    """

    services: Services
    task: Task
    action: Mapping[str, Any]
    attempt: int | None = None

    def required(self, name: str, java: str, problem: str | None = None) -> Any:
        """A field that may not be missing; `java` is the class that Druid names when it is."""
        value = self.action.get(name)
        if value is None:
            raise refused(java, problem or name, where=f"action.{name}")
        return value

    def text(self, name: str, java: str) -> str:
        """A required string."""
        value = self.required(name, java)
        if isinstance(value, int | float):  # Jackson takes it for its text
            return str(value).lower() if isinstance(value, bool) else str(value)
        if not isinstance(value, str) or "\0" in value:
            raise wrong(name, "a string", value)
        return value

    def texts(self, name: str, java: str) -> list[str]:
        """A required list of strings."""
        value = self.required(name, java)
        if not isinstance(value, list) or not all(isinstance(each, str) and "\0" not in each for each in value):
            raise wrong(name, "a list of strings", value)
        return value

    def whole(self, name: str, default: int | None = None) -> int | None:
        """An optional whole number."""
        value = self.action.get(name, default)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(name, "a whole number", value)
        return value

    def interval(self, name: str, java: str) -> Interval:
        """A required interval."""
        return Interval.parse(self.text(name, java))


Handler = Callable[[Call], Any]
actions: Registry[Handler] = Registry("task action")


def refused(java: str, problem: str, *, where: str | None = None) -> BadRequest:
    """Druid's answer when an object of its own rejects its fields."""
    return BadRequest(f"Cannot construct instance of `{PACKAGE}{java}`, problem: {problem}", where=where)


def wrong(name: str, wanted: str, value: Any) -> BadRequest:
    """A field of the wrong kind."""
    return BadRequest(f"Cannot read 'action.{name}': expected {wanted}, got {value!r:.200}", where=f"action.{name}")


def task_of(value: Mapping[str, Any]) -> Task:
    """The task that an action speaks for, from as much of its JSON as decisions need."""
    for name in ("type", "id"):
        if not isinstance(value.get(name), str) or not value[name]:
            raise BadRequest(f"The task of an action needs '{name}', a string", where=f"task.{name}")
    context = value.get("context") or {}
    datasource = value.get("dataSource") or _spec_datasource(value) or "none"
    group_id = value.get("groupId") or value["id"]
    if not isinstance(context, dict) or not isinstance(datasource, str) or not isinstance(group_id, str):
        raise BadRequest(
            "The task of an action needs strings for 'dataSource' and 'groupId' and an object for 'context'"
        )
    if "\0" in value["id"] + datasource + group_id:
        raise BadRequest("The task of an action cannot have the character U+0000 in its names", where="task")
    resource = value.get("resource")
    availability_group = resource.get("availabilityGroup") if isinstance(resource, dict) else None
    priority = context.get("priority", _PRIORITIES.get(value["type"], _BATCH_PRIORITY))
    if isinstance(priority, str) and priority.lstrip("-").isdigit():
        priority = int(priority)
    if isinstance(priority, bool) or not isinstance(priority, int) or not -(2**31) <= priority < 2**31:
        raise BadRequest(f"Cannot read priority {priority!r:.100} as a number", where="task.context.priority")
    return Task(
        id=value["id"],
        type=value["type"],
        group_id=group_id,
        datasource=datasource,
        payload=dict(value),
        priority=priority,
        availability_group=str(availability_group or group_id),
        context=context,
    )


def _spec_datasource(value: Mapping[str, Any]) -> Any:
    spec = value.get("spec")
    schema = spec.get("dataSchema") if isinstance(spec, dict) else None
    return schema.get("dataSource") if isinstance(schema, dict) else None
