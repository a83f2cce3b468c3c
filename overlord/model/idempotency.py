"""A client's own name for one submit, so that sending it twice runs it once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from overlord.errors import BadRequest

HEADER = "Idempotency-Key"
_MOST = 255


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """A key and what came with it.

    Attributes
    ----------
    key : str
    digest : str
        SHA-256 of the body's canonical JSON: order of keys and white space do not count.
    """

    key: str
    digest: str

    @classmethod
    def of(cls, header: str | None, body: Any) -> Idempotency | None:
        """The key of a posted task: the header's, else `context.idempotencyKey`; None without one.

        Raises
        ------
        BadRequest
            The key is empty, too long or no text, or the two differ.
        """
        own = _own_key(body)
        if header is not None and own is not None and header != own:
            raise BadRequest(
                f"The header {HEADER} and context.idempotencyKey differ",
                where="context.idempotencyKey",
                hint="send one",
            )
        where = HEADER if header is not None else "context.idempotencyKey"
        key = header if header is not None else own
        if key is None:
            return None
        if not isinstance(key, str) or not key.strip() or len(key) > _MOST or "\0" in key:
            raise BadRequest(
                f"Invalid value for field [{where}]: expected a text of 1 to {_MOST} characters, got {key!r:.100}",
                where=where,
            )
        return cls(key=key, digest=hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest())


def _own_key(body: Any) -> Any:
    """What the context says. A sub-task that carries its parent's context does not carry its key."""
    if not isinstance(body, dict) or body.get("supervisorTaskId") is not None:
        return None
    context = body.get("context")
    return context.get("idempotencyKey") if isinstance(context, dict) else None
