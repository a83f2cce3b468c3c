"""Our own parameters of listings: `limit`, `cursor`, `sort`, `search`, `createdBetween`.

A cursor is opaque: where the page before ended, and how far back the first page looked, with a checksum over that and
over the parameters that decide what is listed. So a damaged one, or one of another listing, is told from a good one.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import orjson
from flask import Response, request

from overlord.api.wire import int_param, interval_param, text_param
from overlord.errors import BadRequest
from overlord.model.instant import format_instant
from overlord.store.listing import FIRST, LAST, SORTS, Page, Wanted

NEXT = "X-Ovl-Next-Cursor"
_CHECK = 9  # bytes


@dataclass(frozen=True, kw_only=True)
class Paging:
    """What the request asked for.

    Attributes
    ----------
    wanted : Wanted
        As far back as the first page looked.
    page : Page or None
        None: a listing in Druid's order, whole.
    """

    wanted: Wanted
    page: Page | None

    def tell_next(self, response: Response, after: tuple[str, str] | None) -> None:
        """Say in headers where the next page begins, if there is one."""
        if after is None or self.page is None:
            return
        cursor = _cursor(self.wanted, self.page, after)
        query = urlencode({**request.args, "cursor": cursor})
        response.headers[NEXT] = cursor
        response.headers["Link"] = f'<{request.path}?{query}>; rel="next"'


def paging(wanted: Wanted) -> Paging:
    """Narrow what Druid's parameters ask for by ours.

    Raises
    ------
    BadRequest
        One of ours cannot be read, or does not go with Druid's `max`.
    """
    sort, limit, cursor = text_param("sort"), int_param("limit"), text_param("cursor")
    wanted = replace(wanted, search=text_param("search") or None, created=created_between())
    if sort is None and limit is None and cursor is None:
        return Paging(wanted=wanted, page=None)
    if wanted.most is not None:
        raise BadRequest(
            "Parameter [limit], [sort] or [cursor] cannot go with Druid's own bound on ended tasks",
            where="limit",
            hint="leave out max (n of completeTasks); limit bounds ended and unfinished tasks together",
        )
    if limit is not None and limit < 1:
        raise BadRequest(f"Parameter [limit] must be at least 1, got [{limit}]", where="limit")
    page = Page(sort=_sort(sort), descending=sort is None or sort.startswith("-"), limit=limit)
    if cursor is None:
        return Paging(wanted=wanted, page=page)
    ended_since, after = _read(cursor, wanted, page)
    return Paging(wanted=replace(wanted, ended_since=ended_since), page=replace(page, after=after))


def created_between() -> tuple[str, str]:
    """`createdBetween=a_b` as two instants that compare as texts; all time without it."""
    interval = interval_param("createdBetween", underscore=True)
    if interval is None:
        return FIRST, LAST
    start, end = (min(max(end, 0), 253_402_300_799_999) for end in (interval.start, interval.end))
    return format_instant(start), format_instant(end)


def _sort(text: str | None) -> str:
    name = "createdTime" if text is None else text.removeprefix("-")
    if name not in SORTS:
        raise BadRequest(
            f"Parameter [sort] must be one of [{', '.join(SORTS)}], got [{text}]",
            where="sort",
            hint="a minus before it turns it round: -createdTime, the newest first",
        )
    return name


def _check(body: bytes, wanted: Wanted, page: Page) -> bytes:
    listed = [wanted.active, wanted.ended_since is None, wanted.datasource, wanted.type, wanted.search, wanted.created]
    of = orjson.dumps([1, listed, page.sort, page.descending])
    return hashlib.blake2b(body + of, digest_size=_CHECK).digest()


def _cursor(wanted: Wanted, page: Page, after: tuple[str, str]) -> str:
    body = orjson.dumps([wanted.ended_since, *after])
    return urlsafe_b64encode(_check(body, wanted, page) + body).decode().rstrip("=")


def _read(cursor: str, wanted: Wanted, page: Page) -> tuple[str | None, tuple[str, str]]:
    try:
        data = b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
    except ValueError:
        data = b""
    check, body = data[:_CHECK], data[_CHECK:]
    if not body or check != _check(body, wanted, page):
        raise BadRequest(
            "Parameter [cursor] is not one of this listing",
            where="cursor",
            hint=f"take it from {NEXT} of the page before, and leave all other parameters but limit as they were",
        )
    ended_since, key, task_id = orjson.loads(body)
    return ended_since, (key, task_id)
