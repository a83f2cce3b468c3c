"""`POST action`: each kind is a handler filed in `actions` under Druid's name for it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from overlord.actions.base import PACKAGE, Call, actions, task_of
from overlord.errors import BadRequest
from overlord.metrics.tasks import acting

if TYPE_CHECKING:
    from overlord.services import Services

__all__ = ["actions", "perform", "perform_json"]

_TASK_ACTION = PACKAGE + "TaskAction"

KNOWN = (
    "checkPointDataSourceMetadata",
    "lockAcquire",
    "lockList",
    "lockRelease",
    "lockTryAcquire",
    "markSegmentsAsUnused",
    "resetDataSourceMetadata",
    "retrieveSegmentsById",
    "retrieveUpgradedFromSegmentIds",
    "retrieveUpgradedToSegmentIds",
    "segmentAllocate",
    "segmentListUnused",
    "segmentListUsed",
    "segmentLockAcquire",
    "segmentLockTryAcquire",
    "segmentMetadataUpdate",
    "segmentNuke",
    "segmentTransactionalAppend",
    "segmentTransactionalInsert",
    "segmentTransactionalReplace",
    "surrogateAction",
    "updateLocation",
    "updateStatus",
)
"""Druid's own, in the order of its message."""


def perform(
    services: Services, task: Mapping[str, Any], action: Mapping[str, Any], *, attempt: int | None = None
) -> Any:
    """Perform one action; the JSON value of its result. `attempt` is the one that asks, if it told.

    Raises
    ------
    BadRequest
        Kind or fields of the action cannot be read.
    ActionFailed
        It cannot be done.
    """
    kind = action.get("type")
    if "type" not in action:
        raise BadRequest(
            f"Could not resolve subtype of [simple type, class {_TASK_ACTION}]: missing type id property 'type' "
            "(for POJO property 'action')",
            where="action.type",
        )
    if not isinstance(kind, str) or kind not in actions:
        kind = "null" if kind is None else kind
        raise BadRequest(
            f"Please make sure to load all the necessary extensions and jars with type '{kind}' on 'druid/overlord' "
            f"service. Could not resolve type id '{kind}' as a subtype of `{_TASK_ACTION}` known type ids = "
            f"[{', '.join(KNOWN)}] (for POJO property 'action')",
            where="action.type",
        )
    with acting(kind):
        return actions[kind](Call(services=services, task=task_of(task), action=action, attempt=attempt))


def perform_json(services: Services, task: bytes, action: Mapping[str, Any]) -> Any:
    """Like `perform`, for a task as it is stored."""
    return perform(services, orjson.loads(task), action)


for _module in ("locks", "supervision", "segments", "publish", "allocate"):
    importlib.import_module(f"overlord.actions.{_module}")
