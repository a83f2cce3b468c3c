"""From a posted spec to a `Task`, every default filled in, or to an error that says what is wrong with it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from overlord.errors import BadRequest
from overlord.model.attempts import Retry, timeout_of
from overlord.model.task import Task
from overlord.schemas import clouds as clouds
from overlord.schemas import compact as compact
from overlord.schemas import databases as databases
from overlord.schemas import subtasks as subtasks
from overlord.schemas.base import Fault, shape, unknown_type
from overlord.schemas.faults import SpecRefused, refused
from overlord.schemas.names import MOST, problem_of
from overlord.schemas.supervisors import load_supervisor, stored_supervisor
from overlord.schemas.task import TASK, TaskShape, task_kinds
from overlord.schemas.unbuilt import refuse_unbuilt
from overlord.tasks import task_types

for _module in ("kafka", "kafka_task", "autocompact", "scheduled"):
    importlib.import_module(f"overlord.schemas.{_module}")

__all__ = ["load_supervisor", "load_task", "stored_supervisor", "task_from_payload"]


def load_task(body: Any, *, now_ms: int, default_context: Mapping[str, Any], settings: Mapping[str, Any]) -> Task:
    """Read a posted task.

    Parameters
    ----------
    body : JSON value
    now_ms : int
        For a new id.
    default_context : Mapping
        `druid.indexer.task.default.context`: what a task's own context does not set.
    settings : Mapping

    Raises
    ------
    BadRequest
        In Druid's words; `where` is the path of the field at fault.
    """
    if isinstance(body, list):
        raise BadRequest(
            f"Unexpected token ({_first_token(body)}), expected VALUE_STRING: "
            f"need JSON String that contains type id (for subtype of {TASK})",
            where="type",
        )
    if not isinstance(body, Mapping) or "type" not in body:
        raise BadRequest(
            f"Could not resolve subtype of [simple type, class {TASK}]: missing type id property 'type'", where="type"
        )
    kind = body["type"]
    if not isinstance(kind, str) or kind not in task_kinds:
        raise SpecRefused([("type", unknown_type(kind, TASK, task_kinds.names()))])
    found = shape(task_kinds[kind])
    assert isinstance(found, TaskShape)
    try:
        data = found.load({name: value for name, value in body.items() if name != "type"})
    except ValidationError as error:
        raise refused(error.messages, body) from None
    if kind not in task_types:
        raise BadRequest(
            f"Task type [{kind}] is known but cannot be run by this Overlord yet. "
            f"It runs: [{', '.join(task_types.names())}]",
            where="type",
        )
    data = {"type": kind} | found.identify(data, kind, now_ms)
    if text := problem_of("task ID", data["id"]):  # a new id holds the datasource
        raise SpecRefused([("dataSource", Fault(f"Cannot construct instance of `{found.java}`, problem: {text}"))])
    data["context"] = _context(data["context"] or {}, default_context, settings)
    task = task_from_payload({name: data[name] for name in found.order if name in data})
    refuse_unbuilt(task.payload)
    _check_lengths(task)
    Retry.of(task.context)
    timeout_of(task.context)
    return task


def _first_token(values: list[Any]) -> str:
    """In Jackson's words, what a list begins with."""
    if not values:
        return "END_ARRAY"
    for kind, name in (
        (dict, "START_OBJECT"),
        (list, "START_ARRAY"),
        (str, "VALUE_STRING"),
        (float, "VALUE_NUMBER_FLOAT"),
    ):
        if isinstance(values[0], kind):
            return name
    word = {None: "NULL", True: "TRUE", False: "FALSE"}
    return "VALUE_" + (word[values[0]] if values[0] is None or isinstance(values[0], bool) else "NUMBER_INT")


def task_from_payload(payload: dict[str, Any]) -> Task:
    """A task from its stored payload, which was validated once.

    Raises
    ------
    BadRequest
        Its priority is no number.
    """
    context = payload.get("context") or {}
    resource = payload.get("resource") or {}
    return Task(
        id=payload["id"],
        type=payload["type"],
        group_id=payload["groupId"],
        datasource=payload["dataSource"],
        payload=payload,
        priority=_priority(context, task_types[payload["type"]].priority),
        availability_group=resource.get("availabilityGroup") or payload["id"],
        required_capacity=resource.get("requiredCapacity") or 1,
        context=context,
    )


def _context(given: Mapping[str, Any], default: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The context as Druid completes it; what is given wins, unless it is null."""
    context = dict(given)
    force = settings["druid.indexer.tasklock.forceTimeChunkLock"]
    for name, value in {"forceTimeChunkLock": force, **default, "useLineageBasedSegmentAllocation": True}.items():
        if context.get(name) is None:
            context[name] = value
    return context


def _priority(context: Mapping[str, Any], default: int) -> int:
    value = context.get("priority")
    if value is None:
        return default
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not -(2**31) <= number < 2**31:
        raise BadRequest(f"Cannot read the priority {value!r:.100} as a whole number", where="context.priority")
    return number


def _check_lengths(task: Task) -> None:
    """Names must fit the columns that stock Druid made for them."""
    for where, value in (
        ("dataSource", task.datasource),
        ("groupId", task.group_id),
        ("resource.availabilityGroup", task.availability_group),
    ):
        if len(value) > MOST:
            raise BadRequest(
                f"Invalid value for field [{where}]: it has {len(value)} characters, at most {MOST} can be stored",
                where=where,
                hint="choose a shorter name",
            )
        if "\0" in value:
            raise BadRequest(f"Invalid value for field [{where}]: it has the character U+0000", where=where)
