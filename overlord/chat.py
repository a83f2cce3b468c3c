"""Words with the worker of a running task, which listens where it told us: see `workers/streaming/chat.py`."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from overlord.errors import Unavailable
from overlord.store import tasks as store

if TYPE_CHECKING:
    from overlord.store.db import Database


def ask(
    db: Database, task_id: str, method: str, path: str, body: bytes = b"", *, timeout_s: float
) -> tuple[int, bytes]:
    """Status and body of the worker's answer.

    Raises
    ------
    Unavailable
        It does not listen yet, or does not answer.
    """
    with db.transaction() as tx:
        place = store.chat_of(tx, task_id)
    if place is None:
        raise Unavailable(f"Task[{task_id}] does not listen yet")
    connection = http.client.HTTPConnection(place["host"], place["port"], timeout=timeout_s)
    headers = {"Authorization": f"Bearer {place['password']}", "Content-Type": "application/json"}
    try:
        connection.request(method, "/" + path, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"Task[{task_id}] does not answer: {error}") from None
    finally:
        connection.close()
