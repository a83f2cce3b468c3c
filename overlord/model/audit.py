"""Who asked for a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class AuditInfo:
    """What Druid's audit rows hold about the caller.

    Attributes
    ----------
    author, comment : str
        Headers `X-Druid-Author` and `X-Druid-Comment`; absent ones are empty.
    identity : str
        The user known to authentication; `allowAll` without one.
    request : dict or None
        `service`, `method`, `uri`, `queryParams` of the call.
    """

    author: str = ""
    comment: str = ""
    identity: str = "allowAll"
    ip: str = ""
    request: dict[str, Any] | None = None

    def to_json(self) -> dict[str, str]:
        """Druid's `auditInfo` object."""
        return {"author": self.author, "identity": self.identity, "comment": self.comment, "ip": self.ip}
