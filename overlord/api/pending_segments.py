"""Ids that were given to tasks and not published yet."""

from __future__ import annotations

from flask import Blueprint, Response

from overlord.api.wire import answer, interval_param, services
from overlord.model.instant import now_ms
from overlord.model.interval import Interval
from overlord.store import datasources, pending

bp = Blueprint("pending_segments", __name__, url_prefix="/druid/indexer/v1")


@bp.delete("/pendingSegments/<name:datasource>")
def delete(datasource: str) -> Response:
    """Delete those created within the interval of wall-clock time, unless an unfinished task may be using them."""
    now = now_ms()
    interval = interval_param("interval") or Interval(now, now)
    with services().db.transaction() as tx:
        pending.check_deletable(tx, datasource, interval)
        deleted = datasources.delete_pending_segments(tx, datasource, interval)
    return answer({"numDeleted": deleted})
