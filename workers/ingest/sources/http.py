"""Objects behind http and https URIs."""

from __future__ import annotations

import base64
import http.client
import io
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from overlord.errors import TaskFailed
from workers.ingest.sources.base import ByteStream, InputObject, InputSource, SplitHint, input_sources, strings
from workers.ingest.sources.passwords import password_of

TRIES = 5
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
TIMEOUT_S = 60.0
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@input_sources.add("http")
class HttpSource(InputSource):
    """`{"type": "http", "uris": [...], "httpAuthenticationUsername", "httpAuthenticationPassword", "requestHeaders"}`.

    A password is a text or `{"type": "default", "password": text}`. One URI is one split.
    """

    splittable = True

    def __init__(self, json: Mapping[str, Any], uris: list[str], headers: dict[str, str]) -> None:
        self.json = json
        self.uris = uris
        self.headers = headers

    @classmethod
    def from_json(cls, json: Mapping[str, Any], settings: Mapping[str, Any]) -> HttpSource:
        uris = strings(json, "uris", "inputSource")
        if not uris:
            raise TaskFailed("inputSource of type http needs uris")
        for uri in uris:
            if urlsplit(uri).scheme not in ("http", "https"):
                raise TaskFailed(f"Cannot read {uri}: only http and https are allowed (inputSource.uris)")
        source = cls(json, uris, _headers(json))
        source.system_fields = tuple(strings(json, "systemFields", "inputSource"))
        return source

    def objects(self) -> Iterator[InputObject]:
        for uri in self.uris:
            name = without_password(uri)
            system = {"__file_uri": name, "__file_path": urlsplit(uri).path}
            yield InputObject(name=name, size=None, open=partial(_open, uri, self.headers), uri=name, system=system)

    def splits(self, hint: SplitHint) -> Iterator[dict[str, Any]]:
        for uri in self.uris:
            yield {**self.json, "uris": [uri]}


def without_password(uri: str) -> str:
    """The URI as it may be printed."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _headers(json: Mapping[str, Any]) -> dict[str, str]:
    given = json.get("requestHeaders") or {}
    if not isinstance(given, Mapping) or not all(isinstance(v, str) for v in given.values()):
        raise TaskFailed("inputSource.requestHeaders must be an object of strings")
    headers = {"User-Agent": "overlord", "Accept-Encoding": "identity", **given}
    user, password = json.get("httpAuthenticationUsername"), json.get("httpAuthenticationPassword")
    password = password_of(password, "inputSource.httpAuthenticationPassword")
    if user is not None and password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return headers


def _open(uri: str, headers: Mapping[str, str]) -> ByteStream:
    return io.BufferedReader(HttpStream(uri, headers), 1 << 18)


class HttpStream(io.RawIOBase):
    """The body of a GET; a cut connection is taken up again where it broke.

    A server that ignores `Range` sends the body from its start, and what was read before is skipped. If the
    object changed meanwhile (another ETag, another length), the read fails rather than mixing the two.
    """

    def __init__(self, uri: str, headers: Mapping[str, str], *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._name = without_password(uri)
        self._uri = uri
        self._headers = dict(headers)
        parts = urlsplit(uri)
        if parts.username is not None and "Authorization" not in self._headers:
            pair = f"{parts.username}:{parts.password or ''}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._sleep = sleep
        self._response: http.client.HTTPResponse | None = None
        self._offset = 0
        self._total: int | None = None
        self._etag: str | None = None
        self._failures = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while True:
            try:
                if self._response is None:
                    self._connect()
                assert self._response is not None
                data = self._response.read1(
                    len(view)
                )  # what is there now: a line that breaks later loses nothing of it
                count = len(data)
                if count == 0 and self._total is not None and self._offset < self._total:
                    raise ConnectionError(f"connection closed after {self._offset} of {self._total} bytes")
            except (OSError, http.client.HTTPException) as error:
                self._wait(error)
                continue
            view[:count] = data
            self._offset += count
            if count:
                self._failures = 0
            return count

    def close(self) -> None:
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _connect(self) -> None:
        headers = dict(self._headers)
        if self._offset:
            headers["Range"] = f"bytes={self._offset}-"
            if self._etag and not self._etag.startswith("W/"):
                headers["If-Range"] = self._etag
        request = urllib.request.Request(self._name)
        for key, value in headers.items():
            request.add_unredirected_header(key, value)  # a redirect to elsewhere must not carry the password along
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)
        resumed = response.status == 206 and self._offset > 0
        length = response.headers.get("Content-Length")
        total = int(length) + (self._offset if resumed else 0) if length and length.isdigit() else None
        etag = response.headers.get("ETag")
        other = None not in (total, self._total) and total != self._total
        if self._offset and (other or etag != self._etag):
            response.close()
            raise TaskFailed(f"Cannot read {self._name}: it changed while it was read")
        if resumed and not response.headers.get("Content-Range", f"bytes {self._offset}-").startswith(
            f"bytes {self._offset}-"
        ):
            response.close()
            raise ConnectionError("the server sent another range than it was asked for")
        self._total, self._etag, self._response = total or self._total, etag, response
        if self._offset and not resumed:
            self._skip(response)

    def _skip(self, response: http.client.HTTPResponse) -> None:
        left = self._offset
        while left:
            piece = response.read(min(left, 1 << 18))
            if not piece:
                raise ConnectionError(f"connection closed while {self._offset} bytes were skipped")
            left -= len(piece)

    def _wait(self, error: Exception) -> None:
        """Sleep before the next try, or give up."""
        self._drop()
        self._failures += 1
        permanent = isinstance(error, urllib.error.HTTPError) and error.code not in _AGAIN
        if permanent or self._failures >= TRIES:
            tries = "" if self._failures == 1 else f" (tried {self._failures} times)"
            hint = None
            if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403):
                hint = "see httpAuthenticationUsername, httpAuthenticationPassword and requestHeaders of inputSource"
            raise TaskFailed(f"Cannot read {self._name}: {_cause(error)}{tries}", hint=hint) from error
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (self._failures - 1))
        self._sleep(wait * random.uniform(0.75, 1.25))


def _cause(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        reason = error.reason
        return (reason.strerror or str(reason)) if isinstance(reason, OSError) else str(reason)
    return str(error) or type(error).__name__
