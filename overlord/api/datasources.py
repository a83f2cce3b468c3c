"""Segments of a datasource marked used and unused."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from overlord.api.wire import JSON, answer, json_body, kind, services
from overlord.errors import BadRequest, BareText, DruidException
from overlord.model.instant import format_instant, now_ms
from overlord.model.interval import Interval
from overlord.model.segment import SegmentId
from overlord.store import datasources as store

bp = Blueprint("datasources", __name__, url_prefix="/druid/indexer/v1/datasources")

REFUSED = (
    "Invalid request payload. Specify either 'interval' or 'segmentIds', but not both. "
    "Optionally, include 'versions' only when 'interval' is provided."
)


def _changed(count: int) -> Response:
    return answer({"numChangedSegments": count, "segmentStateChanged": count > 0})


@bp.post("/<name:datasource>")
def mark_all_used(datasource: str) -> Response:
    """Mark used whatever is not overshadowed."""
    with services().db.transaction() as tx:
        tx.lock_datasource(datasource)
        return _changed(store.mark_used(tx, datasource, format_instant(now_ms())))


@bp.delete("/<name:datasource>")
def mark_all_unused(datasource: str) -> Response:
    """Mark all unused."""
    with services().db.transaction() as tx:
        tx.lock_datasource(datasource)
        return _changed(store.mark_unused(tx, datasource, format_instant(now_ms())))


@bp.post("/<name:datasource>/markUsed")
def mark_used(datasource: str) -> Response:
    """Mark used by interval (and versions) or by ids."""
    interval, versions, ids = _payload(plain=True)
    now = format_instant(now_ms())
    for name in ids or ():
        if not _is_segment_id(datasource, name):
            raise DruidException(f"Could not parse segment IDs[[{name}]] for datasource[{datasource}]")
    with services().db.transaction() as tx:
        tx.lock_datasource(datasource)
        if ids is None:
            return _changed(store.mark_used(tx, datasource, now, interval, versions))
        count, unknown = store.mark_used_ids(tx, datasource, now, ids)
    if unknown:
        raise DruidException(f"Could not find segment IDs[[{', '.join(unknown)}]] for datasource[{datasource}]")
    return _changed(count)


@bp.post("/<name:datasource>/markUnused")
def mark_unused(datasource: str) -> Response:
    """Mark unused by interval (and versions) or by ids; unknown ids are passed over."""
    interval, versions, ids = _payload(plain=False)
    now = format_instant(now_ms())
    with services().db.transaction() as tx:
        tx.lock_datasource(datasource)
        if ids is None:
            return _changed(store.mark_unused(tx, datasource, now, interval, versions))
        return _changed(store.mark_unused_ids(tx, datasource, now, ids))


@bp.post("/<name:datasource>/segments/<name:segment_id>")
def mark_segment_used(datasource: str, segment_id: str) -> Response:
    """Mark one segment used; 0 when there is none of that id."""
    return _touch(datasource, segment_id, used=True)


@bp.delete("/<name:datasource>/segments/<name:segment_id>")
def mark_segment_unused(datasource: str, segment_id: str) -> Response:
    """Mark one segment unused."""
    if not _is_segment_id(datasource, segment_id):
        text = f"Could not parse Segment ID[{segment_id}] for DataSource[{datasource}]"
        raise BareText(text, content_type=JSON if JSON in request.headers.get("Accept", "") else "text/plain")
    return _touch(datasource, segment_id, used=False)


def _touch(datasource: str, segment_id: str, *, used: bool) -> Response:
    with services().db.transaction() as tx:
        tx.lock_datasource(datasource)
        return _changed(store.touch(tx, datasource, segment_id, format_instant(now_ms()), used=used))


def _is_segment_id(datasource: str, text: str) -> bool:
    """Whether a text is the id of a segment of this datasource."""
    try:
        return SegmentId.parse(text).datasource == datasource
    except BadRequest:
        return False


def _payload(*, plain: bool) -> tuple[Interval | None, list[str] | None, list[str] | None]:
    """Interval, versions and ids of the request: an interval or ids.

    `plain` is Druid's markUsed, which says what it refuses as text/plain unless JSON is asked for.
    """
    body = json_body()
    as_json = not plain or JSON in request.headers.get("Accept", "")
    refused = BareText(REFUSED, content_type=JSON if as_json else "text/plain")
    if body is None:
        raise refused
    if not isinstance(body, dict):
        raise BadRequest(f"Expected a JSON object with 'interval' or 'segmentIds', got {kind(body)}")
    interval, versions, ids = body.get("interval"), body.get("versions"), body.get("segmentIds")
    if (interval is None) == (ids is None) or ids == [] or (ids is not None and versions is not None):
        raise refused
    if interval is not None and not isinstance(interval, str):
        raise BadRequest(f"Cannot read 'interval': got {kind(interval)}", where="interval")
    parsed = None if interval is None else Interval.parse(interval)
    return parsed, _texts("versions", versions), _texts("segmentIds", ids)


def _texts(name: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(text, str) and "\0" not in text for text in value):
        raise BadRequest(f"Cannot read '{name}': expected an array of strings", where=name)
    return value
