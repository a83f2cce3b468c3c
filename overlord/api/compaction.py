"""Automatic compaction as it is configured."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response

from overlord.api.tasks import audit_info
from overlord.api.wire import answer, int_param, json_body, services, text_param
from overlord.errors import BadRequest, DruidException
from overlord.model.compaction import NAME, CompactionConfig, history_of
from overlord.model.instant import format_instant, now_ms, parse_instant
from overlord.model.interval import Interval
from overlord.schemas import load_supervisor
from overlord.schemas.autocompact import ID_PREFIX
from overlord.schemas.compaction_config import ClusterCompaction, DatasourceCompaction, load_config
from overlord.store import compaction as store
from overlord.store import config as config_store
from overlord.store import supervisors as supervisor_store
from overlord.supervisors.base import Supervisor

bp = Blueprint("compaction", __name__, url_prefix="/druid/indexer/v1/compaction")

AUTOCOMPACT = "autocompact"
WEEK_MS = 7 * 24 * 3600 * 1000


def _config() -> CompactionConfig:
    with services().db.transaction() as tx:
        return store.get(tx)


def _missing(what: str = "Datasource compaction config does not exist") -> DruidException:
    return DruidException(what, status=404, code="notFound", category="NOT_FOUND")


def _change(to: Any) -> Response:
    store.change(services().db, to, audit_info())
    return answer({"success": True})


@bp.get("/isSupervisorEnabled")
def is_supervisor_enabled() -> Response:
    """Whether supervisors of this Overlord compact."""
    return answer(_config().use_supervisors)


@bp.get("/config/cluster")
def cluster() -> Response:
    """The cluster's configuration."""
    return answer(_config().cluster)


@bp.post("/config/cluster")
def set_cluster() -> Response:
    """Set all of the cluster's configuration; what is not given becomes the default."""
    new = load_config(ClusterCompaction, json_body())
    return _change(lambda now: now.with_cluster(new))


@bp.get("/config/datasources")
def datasources() -> Response:
    """The configurations of all datasources."""
    found = _config()
    if found.use_supervisors:
        return answer({"compactionConfigs": [each.spec.payload["spec"] for each in _supervisors()]})
    return answer({"compactionConfigs": list(found.datasources.values())})


@bp.get("/config/datasources/<name:datasource>")
def datasource_config(datasource: str) -> Response:
    """The configuration of one datasource."""
    config = _config()
    if config.use_supervisors:
        supervisor = services().supervisors.find(ID_PREFIX + datasource)
        if supervisor is None:
            raise _no_supervisor(datasource)
        return answer(supervisor.spec.payload["spec"])
    found = config.datasources.get(datasource)
    if found is None:
        raise _missing()
    return answer(found)


@bp.post("/config/datasources/<name:datasource>")
def set_datasource_config(datasource: str) -> Response:
    """Create or replace the configuration of one datasource."""
    new = load_config(DatasourceCompaction, json_body())
    if new["dataSource"] != datasource:
        raise DruidException(f"DataSource in spec[{new['dataSource']}] does not match DataSource in path[{datasource}]")
    if _config().use_supervisors:
        spec = load_supervisor({"type": AUTOCOMPACT, "spec": new})
        services().supervisors.submit(spec, audit_info(with_request=True), skip_unmodified=True)
        return answer({"success": True})
    if new["engine"] == "msq":
        raise DruidException("MSQ engine is supported only with supervisor-based compaction on the Overlord.")
    return _change(lambda now: now.with_datasource(new))


@bp.delete("/config/datasources/<name:datasource>")
def delete_datasource_config(datasource: str) -> Response:
    """Delete the configuration of one datasource."""
    if _config().use_supervisors:
        if not services().supervisors.terminate(ID_PREFIX + datasource):
            raise _no_supervisor(datasource)
        return answer({"success": True})

    def without(now: CompactionConfig) -> CompactionConfig:
        if datasource not in now.datasources:
            raise _missing()
        return now.without(datasource)

    return _change(without)


def _supervisors() -> list[Supervisor]:
    return [each for each in services().supervisors.all() if each.spec.type == AUTOCOMPACT]


def _no_supervisor(datasource: str) -> DruidException:
    return _missing(f"Compaction supervisor for datasource[{datasource}] does not exist")


@bp.get("/config/datasources/<name:datasource>/history")
def history(datasource: str) -> Response:
    """Its changes: by interval, oldest first, else among the last `count` changes of any."""
    interval, count = _interval(), int_param("count")
    if interval is None and count is not None and count <= 0:
        raise BadRequest("Limit must be greater than zero!", where="count")
    with services().db.transaction() as tx:
        if store.get(tx).use_supervisors:
            rows = supervisor_store.history(tx, ID_PREFIX + datasource)
            return answer({"entries": _of_supervisor(rows, interval, count)})
        if interval is None and count is not None:
            audits = config_store.newest(tx, NAME, count)
        else:
            now = now_ms()
            start, end = (interval.start, interval.end) if interval else (now - WEEK_MS, now + 1)
            audits = config_store.history(tx, NAME, format_instant(start), format_instant(end))
    rows_ = [CompactionConfig.of(orjson.loads(audit["payload"])) for audit in audits]
    return answer({"entries": history_of(datasource, audits, rows_)})


def _of_supervisor(
    rows: list[tuple[str, str, bytes]], interval: Interval | None, count: int | None
) -> list[dict[str, Any]]:
    """Versions of a supervisor, newest first, without tombstones."""
    entries = [
        {"globalConfig": None, "compactionConfig": spec["spec"], "auditInfo": None, "auditTime": version}
        for _, version, payload in rows
        if (spec := orjson.loads(payload)).get("type") == AUTOCOMPACT
        and (interval is None or interval.start <= parse_instant(version) < interval.end)
    ]
    return entries if count is None else entries[:count]


def _interval() -> Interval | None:
    text = text_param("interval")
    if not text:
        return None
    try:
        return Interval.parse(text)
    except BadRequest as error:
        raise DruidException(error.message, where="interval") from None


@bp.get("/status/datasources")
def statuses() -> Response:
    """How far compaction is, of each datasource that supervisors compact; what a Coordinator does, only it knows."""
    supervisors = services().supervisors
    names = [each.spec.datasources[0] for each in supervisors.all() if each.spec.type == "autocompact"]
    if not _config().use_supervisors:
        names = []
    known = (supervisors.compaction.status(name, enabled=True) for name in names)
    return answer({"latestStatus": [each for each in known if each["scheduleStatus"] != "AWAITING_FIRST_RUN"]})


@bp.get("/status/datasources/<name:datasource>")
def status(datasource: str) -> Response:
    """How far the compaction of one datasource is."""
    if not _config().use_supervisors:
        raise _missing("Unknown DataSource")
    supervisors = services().supervisors
    found = supervisors.find(ID_PREFIX + datasource)
    enabled = found is not None and not found.spec.suspended
    return answer(supervisors.compaction.status(datasource, enabled=enabled))


@bp.post("/simulate")
def simulate() -> Response:
    """What would be compacted under another configuration of the cluster."""
    body = json_body()
    cluster = load_config(ClusterCompaction, {} if body is None else body)
    return answer(services().supervisors.compaction.simulate(cluster))
