"""Supervisors: post, list, look at, suspend, reset, terminate."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from overlord import schemas
from overlord.api.tasks import audit_info
from overlord.api.wire import answer, empty, json_body, kind, services, text_param, waiting
from overlord.errors import BadRequest, BareText, NotFound
from overlord.model.instant import format_instant, now_ms
from overlord.model.supervisor import SupervisorSpec
from overlord.store import supervisors as store
from overlord.supervisors.base import Supervisor
from overlord.supervisors.manager import SupervisorManager

bp = Blueprint("supervisors", __name__, url_prefix="/druid/indexer/v1/supervisor")

METADATA = "org.apache.druid.indexing.overlord.DataSourceMetadata"
METADATA_TYPES = ("kafka", "kinesis", "object")
NO_GROUPS = "List of task groups to handoff can't be empty"


def manager() -> SupervisorManager:
    """The supervisors of this server."""
    return services().supervisors


def unknown(supervisor_id: str) -> BareText:
    """The 404 of nearly every route under an unknown id."""
    return BareText(f"Cannot find any supervisor with id: [{supervisor_id}]", status=404)


def found(supervisor_id: str) -> Supervisor:
    """The supervisor of this id, or 404."""
    supervisor = manager().find(supervisor_id)
    if supervisor is None:
        raise unknown(supervisor_id)
    return supervisor


# ---------------------------------------------------------------- all of them


@bp.post("")
def submit() -> Response:
    """Create a supervisor, or replace the one of this id; committed when this answers."""
    body = json_body()
    if body is None:
        raise BadRequest("The request has no body; a supervisor spec is a JSON object with at least a 'type'")
    spec = schemas.load_supervisor(body)
    skip = (text_param("skipRestartIfUnmodified") or "").lower() == "true"
    with waiting().permit():  # the one that ran may be slow to stop
        manager().submit(spec, audit_info(with_request=True, service="overlord"), skip_unmodified=skip)
    return answer({"id": spec.id})


@bp.get("")
def supervisors() -> Response:
    """Ids; or with `full`, `state=true` or `system` objects."""
    full, system = "full" in request.args, "system" in request.args
    if full or system or (text_param("state") or "").lower() == "true":
        return answer([_listed(each, full=full, system=system) for each in manager().all()])
    return answer(manager().ids())


def _listed(supervisor: Supervisor, *, full: bool, system: bool) -> dict[str, Any]:
    spec, state = supervisor.spec, supervisor.state()
    listed: dict[str, Any] = {
        "id": spec.id,
        "state": state.state,
        "detailedState": state.detailed,
        "healthy": state.healthy,
    }
    if full:
        listed["spec"] = written(spec)
    if system:
        listed |= {"specString": spec.written.decode(), "type": spec.type, "source": spec.source}
    # Without `system` Druid says false whatever the supervisor does.
    return listed | {"suspended": spec.suspended if system else False}


def written(spec: SupervisorSpec) -> orjson.Fragment:
    """A spec as it is stored, to put into an answer."""
    return orjson.Fragment(spec.written)


@bp.get("/history")
def all_history() -> Response:
    """Every version of every spec, by id."""
    with services().db.transaction() as tx:
        rows = store.history(tx)
    versions: dict[str, list[Any]] = {}
    for supervisor_id, version, payload in rows:
        versions.setdefault(supervisor_id, []).append({"spec": orjson.Fragment(payload), "version": version})
    return answer(versions)


@bp.post("/suspendAll")
def suspend_all() -> Response:
    """Suspend all."""
    with waiting().permit():
        manager().suspend_all()
    return answer({"status": "success"})


@bp.post("/resumeAll")
def resume_all() -> Response:
    """Resume all."""
    with waiting().permit():
        manager().resume_all()
    return answer({"status": "success"})


@bp.post("/terminateAll")
def terminate_all() -> Response:
    """Terminate all."""
    with waiting().permit():
        manager().terminate_all()
    return answer({"status": "success"})


# ---------------------------------------------------------------- one of them


@bp.get("/<name:supervisor_id>")
def supervisor(supervisor_id: str) -> Response:
    """The spec with every default."""
    if supervisor_id in ("suspendAll", "resumeAll", "terminateAll"):
        raise MethodNotAllowed(valid_methods=["POST"])
    return answer(written(found(supervisor_id).spec))


@bp.get("/<name:supervisor_id>/status")
def status(supervisor_id: str) -> Response:
    """How it does."""
    payload = found(supervisor_id).status()
    if payload is None:
        raise NotFound(f"[{supervisor_id}] does not exist")
    return answer({"id": supervisor_id, "generationTime": format_instant(now_ms()), "payload": payload})


@bp.get("/<name:supervisor_id>/stats")
def stats(supervisor_id: str) -> Response:
    """Counters of its tasks."""
    supervisor = found(supervisor_id)
    with waiting().permit():
        return answer(supervisor.stats())


@bp.get("/<name:supervisor_id>/health")
def health(supervisor_id: str) -> Response:
    """Whether it is healthy: 200 or 503."""
    healthy = found(supervisor_id).healthy()
    if healthy is None:
        raise NotFound(f"[{supervisor_id}] does not exist or health check not implemented")
    return answer({"healthy": healthy}, 200 if healthy else 503)


@bp.get("/<name:supervisor_id>/parseErrors")
def parse_errors(supervisor_id: str) -> Response:
    """Rows that could not be read."""
    supervisor = found(supervisor_id)
    with waiting().permit():
        return answer(supervisor.parse_errors())


@bp.get("/<name:supervisor_id>/history")
def history(supervisor_id: str) -> Response:
    """Every version of its spec, newest first."""
    with services().db.transaction() as tx:
        rows = store.history(tx, supervisor_id)
    if not rows:
        raise NotFound(f"No history for [{supervisor_id}].")
    return answer([{"spec": orjson.Fragment(payload), "version": version} for _, version, payload in rows])


@bp.post("/<name:supervisor_id>/suspend")
def suspend(supervisor_id: str) -> Response:
    """Suspend it; running tasks finish and publish."""
    with waiting().permit():
        spec = manager().suspend(supervisor_id)
    if spec is None:
        raise unknown(supervisor_id)
    return answer(written(spec))


@bp.post("/<name:supervisor_id>/resume")
def resume(supervisor_id: str) -> Response:
    """Let it go on."""
    with waiting().permit():
        spec = manager().resume(supervisor_id)
    if spec is None:
        raise unknown(supervisor_id)
    return answer(written(spec))


@bp.post("/<name:supervisor_id>/terminate")
def terminate(supervisor_id: str) -> Response:
    """End it for good; its history gets a tombstone."""
    with waiting().permit():
        ended = manager().terminate(supervisor_id)
    if not ended:
        raise unknown(supervisor_id)
    return answer({"id": supervisor_id})


@bp.post("/<name:supervisor_id>/shutdown")
def shutdown(supervisor_id: str) -> Response:
    """The old name of terminate."""
    return terminate(supervisor_id)


@bp.post("/<name:supervisor_id>/reset")
def reset(supervisor_id: str) -> Response:
    """Forget all offsets; queued when this answers."""
    found(supervisor_id).reset()
    return answer({"id": supervisor_id})


@bp.post("/<name:supervisor_id>/resetOffsets")
def reset_offsets(supervisor_id: str) -> Response:
    """Go on from the offsets of the body; queued when this answers."""
    body = json_body()
    found(supervisor_id).reset_offsets(_metadata(body))
    return answer({"id": supervisor_id})


def _metadata(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or "type" not in body:
        raise BadRequest(
            f"Could not resolve subtype of [simple type, class {METADATA}]: missing type id property 'type'",
            where="type",
        )
    if body["type"] not in METADATA_TYPES:
        name = "null" if body["type"] is None else str(body["type"])
        raise BadRequest(
            f"Please make sure to load all the necessary extensions and jars with type '{name}' on 'druid/overlord' "
            f"service. Could not resolve type id '{name}' as a subtype of `{METADATA}` "
            f"known type ids = [{', '.join(METADATA_TYPES)}]",
            where="type",
        )
    return body


@bp.post("/<name:supervisor_id>/taskGroups/handoff")
def handoff(supervisor_id: str) -> Response:
    """End task groups early, so that what they have read is published."""
    supervisor = found(supervisor_id)
    body = json_body()
    groups = body.get("taskGroupIds") if isinstance(body, dict) else None
    if groups is None or groups == []:
        raise BadRequest(NO_GROUPS, where="taskGroupIds")
    if not isinstance(groups, list) or not all(isinstance(each, int) and not isinstance(each, bool) for each in groups):
        raise BadRequest(f"Cannot read 'taskGroupIds': expected an array of integers, got {kind(groups)}")
    supervisor.handoff(groups)
    return empty(200)
