"""Ids that were given to tasks and not published yet."""

from __future__ import annotations

from flask import Blueprint, Response

from overlord.api.wire import answer, interval_param, services
from overlord.errors import BadRequest
from overlord.model.instant import parse_instant
from overlord.store import datasources, listing

bp = Blueprint("pending_segments", __name__, url_prefix="/druid/indexer/v1")


@bp.delete("/pendingSegments/<name:datasource>")
def delete(datasource: str) -> Response:
    """Delete those created within the interval of wall-clock time, unless an unfinished task may be using them."""
    interval = interval_param("interval")
    if interval is None:
        return answer({"numDeleted": 0})
    with services().db.transaction() as tx:
        tx.lock_datasource(datasource)
        active = listing.oldest_active(tx, datasource)
        if active is not None and parse_instant(active["created_date"]) < interval.end:
            raise BadRequest(
                f"Cannot delete pendingSegments for datasource[{datasource}] as there is at least one active "
                f"task[{active['id']}] created at[{active['created_date']}] that overlaps with the delete "
                f"interval[{interval}]. Please retry when there are no active tasks."
            )
        deleted = datasources.delete_pending_segments(tx, datasource, interval)
    return answer({"numDeleted": deleted})
