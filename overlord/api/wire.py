"""What goes over the wire: request bodies and parameters in, answers and errors out, in Druid's shapes.

The one place that shapes errors. Where a stock Overlord answers 500 with its container's page for a fault
of the client, the answer here is a 4xx `{"error": text}`; docs/differences.md has the list.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

import orjson
from flask import Flask, Response, current_app, request
from flask.json.provider import JSONProvider
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from overlord.errors import BadRequest, NoBody, OverlordError
from overlord.http import ENCODED_SLASH, PIECE, WORTH_GZIP, WaitingPool, accepts_gzip
from overlord.model.interval import Interval
from overlord.services import Services

log = logging.getLogger(__name__)

JSON = "application/json"
TEXT = "text/plain"
METHODS = ("HEAD", "DELETE", "POST", "GET", "PUT", "OPTIONS")  # in the order of an Allow header
ANSWERED = frozenset(("GET", "POST", "PUT", "DELETE"))
_V = "/druid/indexer/v1"
ROOTS = frozenset((_V, f"{_V}/datasources", f"{_V}/compaction"))
"""Paths of a group of routes at which nothing stands by itself."""
INT_MAX, LONG_MAX = 2**31 - 1, 2**63 - 1
IN_MEMORY = 8 * 1024 * 1024  # bytes of an answer; more goes to a temporary file


def services() -> Services:
    """The parts of the server that this request came to."""
    return cast(Services, current_app.extensions["services"])


def waiting() -> WaitingPool:
    """Permits for calls that wait."""
    return cast(WaitingPool, current_app.extensions["waiting"])


class OrjsonProvider(JSONProvider):
    """Flask's JSON by orjson."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return answer(self._prepare_response_obj(args, kwargs))


class NameConverter(BaseConverter):
    """A task id, datasource or host in a path; the server marks a `%2F` so that paths can be cut."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        # Postgres has no NUL in texts: nothing has this name, and the route says so in its own words
        return value.replace(ENCODED_SLASH, "/").replace("\0", "\ufffd")


# ---------------------------------------------------------------- in


def json_body() -> Any:
    """The request's JSON; None for an empty body.

    Raises
    ------
    NoBody
        415: the content type is not application/json, or there is none.
    BadRequest
        It is not JSON.
    """
    if request.mimetype and "/" not in request.mimetype:
        raise BadRequest(f"Cannot read the content type [{request.mimetype}]", where="Content-Type")
    if request.mimetype != JSON:
        raise NoBody(415, f"content type {request.mimetype!r}")
    data = request.get_data(cache=False)
    if not data.strip():
        return None
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("unexpected content after document"):
            return _first_value(data.decode())
        raise BadRequest(
            f"Cannot parse the request body as JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None


def _first_value(text: str) -> Any:
    """What stands before the rest of a body, which Druid does not look at."""
    text = text.lstrip()
    return orjson.loads(text[: json.JSONDecoder().raw_decode(text)[1]])


def json_object(what: str) -> dict[str, Any]:
    """The request's JSON, which has to be an object."""
    body = json_body()
    if not isinstance(body, dict):
        raise BadRequest(f"Expected a JSON object with {what}, got {kind(body)}")
    return body


def kind(value: Any) -> str:
    """What a JSON value is, in the words of an error."""
    if value is None:
        return "nothing"
    for types, name in ((bool, "a boolean"), ((int, float), "a number"), (str, "a string"), (list, "an array")):
        if isinstance(value, cast(type, types)):
            return name
    return "an object"


def text_param(name: str) -> str | None:
    """A query parameter; of several the first."""
    value = request.args.get(name)
    if value is not None and "\0" in value:
        raise BadRequest(f"Parameter [{name}] contains a NUL character", where=name)
    return value


def int_param(name: str, *, largest: int = INT_MAX) -> int | None:
    """An integer parameter; None when it is absent or empty.

    Raises
    ------
    BadRequest
        It is not an integer of that size.
    """
    text = request.args.get(name)
    if not text:
        return None
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text) and -largest - 1 <= int(text) <= largest:
        return int(text)
    raise BadRequest(f"Parameter [{name}] must be an integer between {-largest - 1} and {largest}, got [{text}]")


def flag_param(name: str) -> bool:
    """A parameter that is on when it is there and not `false` or `0`."""
    return request.args.get(name, "false").lower() not in ("false", "0")


def interval_param(name: str, *, underscore: bool = False) -> Interval | None:
    """An interval parameter, or None when it is absent."""
    text = request.args.get(name)
    return None if text is None else Interval.parse(text, underscore=underscore)


# ---------------------------------------------------------------- out


def header_text(text: str) -> str:
    """A text as a header can carry it."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:1000]


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status=status, mimetype=JSON)


def raw(text: str | bytes, status: int = 200, content_type: str = JSON) -> Response:
    """Text as it is; under the name of JSON, as Druid does, unless told otherwise."""
    return Response(text, status=status, content_type=content_type)


def empty(status: int = 200) -> Response:
    """A status, without body and content type."""
    response = Response(status=status)
    response.headers.pop("Content-Type", None)
    return response


def nothing() -> Response:
    """A 200 without a body that is JSON all the same, as Druid answers null."""
    response = Response(status=200)
    response.headers["Content-Type"] = JSON
    return response


class Coding:
    """Of a long answer that is made piece by piece: gzip if the client of this request likes it."""

    def __init__(self) -> None:
        gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        self._deflate = zlib.compressobj(1, zlib.DEFLATED, 31) if gzip else None

    def coded(self, data: bytes) -> bytes:
        """What goes out for the next piece."""
        return self._deflate.compress(data) if self._deflate else data

    def rest(self) -> bytes:
        """What goes out after the last one."""
        return self._deflate.flush() if self._deflate else b""

    def tell(self, response: Response) -> Response:
        """The answer, with headers that say so."""
        if self._deflate:
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Vary"] = "Accept-Encoding"
        return response


class Spool:
    """Collects an answer of unknown size: in memory, then in a temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._begun: list[bytes] = []
        self._size = 0
        self._coding = Coding()

    def write(self, data: bytes) -> None:
        """Add `data`."""
        if self._file is not None:
            self._file.write(self._coding.coded(data))
            return
        self._begun.append(data)
        self._size += len(data)
        if self._size > PIECE:
            # closed with the response, or right here when what fills it fails
            self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
            begun, self._begun = b"".join(self._begun), []
            self.write(begun)

    def response(self) -> Response:
        """The answer; nothing can be added after."""
        if self._file is None:
            return raw(b"".join(self._begun))
        self._file.write(self._coding.rest())
        size = self._file.tell()
        self._file.seek(0)
        return self._coding.tell(file_answer(self._file, size, JSON))

    def close(self) -> None:
        """Give up what was collected."""
        if self._file is not None:
            self._file.close()


def file_answer(file: IO[bytes], size: int, content_type: str) -> Response:
    """The next `size` bytes of a file, which is closed with the answer; small ones are read at once."""
    if size <= PIECE:
        with file:
            return raw(file.read(size), content_type=content_type)
    response = Response(_pieces(file, size), content_type=content_type)
    response.content_length = size
    response.call_on_close(file.close)
    return response


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (piece := file.read(min(size, PIECE))):
        size -= len(piece)
        yield piece


def spooled(pieces: Iterable[bytes]) -> Response:
    """A JSON answer of `pieces`, all collected before the first byte goes out.

    So whatever the pieces come from (a cursor, a connection) is free again when a slow client reads, and a
    failure in the middle is still an error answer.
    """
    spool = Spool()
    try:
        for piece in pieces:
            spool.write(piece)
    except BaseException:
        spool.close()
        raise
    return spool.response()


# ---------------------------------------------------------------- around every request


def install(app: Flask) -> None:
    """Set JSON, errors, headers and the rules for methods on an application."""
    app.json = OrjsonProvider(app)
    app.url_map.converters["name"] = NameConverter
    app.url_map.merge_slashes = False
    app.register_error_handler(OverlordError, _on_error)
    app.register_error_handler(HTTPException, _on_http_exception)
    app.register_error_handler(Exception, _on_crash)
    app.before_request(_refuse_odd_methods)
    app.after_request(_finish)


def _refuse_odd_methods() -> Response | None:
    """Druid's server knows four methods; the others are refused before it looks at the path."""
    if request.method in ANSWERED:
        return None
    response = empty(405)  # Druid's has no Allow here, which HTTP demands
    here = _methods_here(current_app.url_map.bind("").allowed_methods(request.path))
    response.headers["Allow"] = ",".join(m for m in METHODS if m in ANSWERED and m in here)
    if request.method == "HEAD":
        response.headers["Content-Type"] = "text/html;charset=iso-8859-1"
    return response


def _on_error(error: OverlordError) -> Response:
    body = error.to_wire()
    if body is None:
        response = empty(error.status)
    elif isinstance(body, str):
        response = raw(body, error.status, error.content_type)
    else:
        response = answer(body, error.status)
    response.headers.update(error.headers)
    for name, value in (("X-Ovl-Where", error.where), ("X-Ovl-Hint", error.hint)):
        if value:  # Druid's bodies have no room for them
            response.headers[name] = header_text(value)
    if error.status >= 500:
        log.warning("%s %s: %d %s", request.method, request.path, error.status, error.message)
    return response


def _on_http_exception(error: HTTPException) -> Response:
    if isinstance(error, MethodNotAllowed) and request.path.endswith("/shutdownAllTasks"):
        return empty(404)  # in Druid the routes of datasources have this path, and know none of it
    if isinstance(error, MethodNotAllowed):
        response, here = empty(405), _methods_here(error.valid_methods or ())
        response.headers["Allow"] = ",".join(m for m in METHODS if m == "OPTIONS" or m in here)
        return response
    if isinstance(error, NotFound) and request.path.rstrip("/") in ROOTS:
        response = empty(405)
        response.headers["Allow"] = "OPTIONS"
        return response
    if isinstance(error, NotFound) and request.path.startswith(("/druid", "/status/")):
        return empty(404)
    if error.response is not None:
        return cast(Response, error.response)
    return answer({"error": f"{error.name}: {error.description}"}, error.code or 500)


def _methods_here(fitting: Iterable[str]) -> set[str]:
    """Methods of the path. Of a fixed path only its own, though it may fit another one with a name in it as well."""
    path = request.path.rstrip("/")
    own = [rule.methods or () for rule in current_app.url_map.iter_rules() if rule.rule == path]
    return {method for methods in own for method in methods} or set(fitting)


def _on_crash(error: Exception) -> Response:
    """A fault of ours: an id in the answer leads to the traceback in the log."""
    name = secrets.token_hex(4)
    log.error("%s %s: error %s", request.method, request.path, name, exc_info=error)
    return answer({"error": f"{type(error).__name__}: {error} (error {name} in the server's log)"}, 500)


def _finish(response: Response) -> Response:
    if request.method == "GET":
        response.headers.setdefault("Cache-Control", "no-cache, no-store, max-age=0")
        response.headers.setdefault("Content-Security-Policy", "frame-ancestors 'none'")
    if not response.is_streamed and "Content-Encoding" not in response.headers:
        _gzip(response)
    return response


def _gzip(response: Response) -> None:
    data = response.get_data()
    if len(data) < WORTH_GZIP or not accepts_gzip(request.headers.get("Accept-Encoding", "")):
        return
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    response.set_data(deflate.compress(data) + deflate.flush())
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
