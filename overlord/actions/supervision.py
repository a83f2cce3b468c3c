"""Actions that speak to a supervisor, or for another task, or of the task itself."""

from __future__ import annotations

from typing import Any

from overlord import actions as all_actions
from overlord.actions import offsets
from overlord.actions.base import Call, actions, refused
from overlord.errors import ActionFailed, BadRequest
from overlord.store import tasks as store


@actions.add("surrogateAction")
def surrogate(call: Call) -> Any:
    """An action in the name of another active task: of the supervisor task, for its sub-tasks."""
    surrogate_id = call.text("surrogateId", "SurrogateAction")
    wanted = call.required("taskAction", "SurrogateAction")
    if not isinstance(wanted, dict):
        raise BadRequest("Cannot read 'action.taskAction': expected an object", where="action.taskAction")
    with call.services.db.transaction() as tx:
        row = store.task(tx, surrogate_id)
        payload = None if row is None or row["state"] in ("SUCCESS", "FAILED") else store.payload(tx, surrogate_id)
    if payload is None:
        raise ActionFailed(f"Can't find surrogate task[{surrogate_id}]")
    return all_actions.perform_json(call.services, payload, wanted)


@actions.add("updateStatus")
def update_status(call: Call) -> None:
    """Nothing: what the worker reports decides, as with Druid's remote runners."""


@actions.add("updateLocation")
def update_location(call: Call) -> None:
    """Nothing, likewise."""


@actions.add("resetDataSourceMetadata")
def reset_datasource_metadata(call: Call) -> bool:
    """Whether a supervisor took it: one task has found offsets that the stream does not have any more."""
    java = "ResetDataSourceMetadataAction"
    datasource = call.text("dataSource", java)
    metadata = offsets.read(call.action.get("resetMetadata"), "action.resetMetadata")
    return call.services.supervisors.reset_datasource(datasource, metadata)


@actions.add("checkPointDataSourceMetadata")
def checkpoint(call: Call) -> bool:
    """Whether a supervisor took it: a task has come to the end of a sequence."""
    java = "CheckPointDataSourceMetadataAction"
    supervisor_id = call.text("supervisorId", java)
    group_id = call.whole("taskGroupId", 0)
    assert group_id is not None
    metadata = call.required("checkpointMetadata", java)
    partitions = metadata.get("partitions") if isinstance(metadata, dict) else None
    if not isinstance(partitions, dict) or partitions.get("type") != "start":
        raise refused(java, "checkpointMetadata must be SeekableStreamStartSequenceNumbers")
    return call.services.supervisors.checkpoint(supervisor_id, group_id, metadata)
