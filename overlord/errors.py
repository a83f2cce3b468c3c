"""Every error that reaches a user, and its shape on the wire.

Druid answers in three shapes: `{"error": text}`, the longer "druidException" object, and bare text.
An error here carries which one it is; `overlord.api` is the only place that turns it into a response.
"""

from __future__ import annotations

from typing import Any


class OverlordError(Exception):
    """Base of all errors meant for a person.

    Attributes
    ----------
    status : int
        HTTP status.
    message : str
        What is wrong, in Druid's words where Druid has words for it.
    where : str or None
        Path of the field at fault, such as `spec.ioConfig.inputSource.type`.
    hint : str or None
        What to do next.
    headers : dict
        Extra response headers, such as `Retry-After`.
    content_type : str
        Of the body that `to_wire` gives.
    """

    status = 500
    content_type = "application/json"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.headers = headers or {}

    def to_wire(self) -> Any:
        """The response body: a JSON value, or a `str` for bare text, or None for no body."""
        return {"error": self.message}


class BadRequest(OverlordError):
    """The request is at fault."""

    status = 400


class NotFound(OverlordError):
    """There is no such thing."""

    status = 404


class BareText(OverlordError):
    """An error whose body is the message alone: as text/plain, or, as Druid often does, under the name of JSON."""

    def __init__(self, message: str, *, status: int = 400, content_type: str = "text/plain", **kw: Any) -> None:
        super().__init__(message, **kw)
        self.status = status
        self.content_type = content_type

    def to_wire(self) -> str:
        return self.message


class NoBody(OverlordError):
    """An error that is a status alone; the message is for the log."""

    def __init__(self, status: int, message: str = "", **kw: Any) -> None:
        super().__init__(message, **kw)
        self.status = status

    def to_wire(self) -> None:
        return None


class Unavailable(OverlordError):
    """Not now: no leader, or the database is away. Ask again."""

    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 1, **kw: Any) -> None:
        super().__init__(message, **kw)
        self.headers.setdefault("Retry-After", str(retry_after_s))


class DruidException(OverlordError):
    """An error in Druid's long form, with error code, persona and category."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "invalidInput",
        persona: str = "USER",
        category: str = "INVALID_INPUT",
        context: dict[str, str] | None = None,
        **kw: Any,
    ) -> None:
        super().__init__(message, **kw)
        self.status = status
        self.code = code
        self.persona = persona
        self.category = category
        self.context = context or {}

    def to_wire(self) -> dict[str, Any]:
        return {
            "error": "druidException",
            "errorCode": self.code,
            "persona": self.persona,
            "category": self.category,
            "errorMessage": self.message,
            "context": self.context,
        }


class ActionFailed(OverlordError):
    """A task action failed while it was performed: `{"error": "EXCEPTION-CLASS: text"}`.

    Druid answers 500; most of these are the fault of who asks, so 400 here, which clients do not try again.
    """

    status = 500

    def __init__(
        self, message: str, *, java: str = "org.apache.druid.java.util.common.ISE", status: int = 400, **kw: Any
    ) -> None:
        super().__init__(message, **kw)
        self.java = java
        self.status = status

    def to_wire(self) -> dict[str, Any]:
        return {"error": f"{self.java}: {self.message}"}


class UnknownKind(BadRequest):
    """A `type` that nobody registered."""

    def __init__(self, what: str, name: str, known: list[str], near: list[str]) -> None:
        super().__init__(
            f"Unknown {what} {name!r}. Known: {', '.join(known)}",
            hint=f"did you mean {near[0]!r}?" if near else None,
        )
        self.what = what
        self.name = name
        self.known = known
        self.near = near


class SettingError(OverlordError):
    """A setting is unknown, or its value is not of its kind; the start stops."""


class TaskFailed(OverlordError):
    """Raised inside a worker: the task ends FAILED and `message` is its errorMsg."""
