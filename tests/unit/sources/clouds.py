"""A server that speaks as much of Google's and Azure's storage as reading needs: lists by pages, heads, ranges."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

ACCOUNT = "acct"
KEY = base64.b64encode(b"a key of Azure's").decode()
DATE = "Wed, 01 May 2024 00:00:00 GMT"
PAGE = 2


class Clouds(ThreadingHTTPServer):
    """Objects by bucket and key, under `/google/` and under `/azure/` (the account's root)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[tuple[str, str], bytes] = {}
        self.asked: list[str] = []
        self.failures: list[int] = []

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object."""
        self.objects[bucket, key] = data


@contextmanager
def running() -> Iterator[Clouds]:
    """A server for a while."""
    server = Clouds()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Clouds

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        _, cloud, bucket, key = (unquote(parts.path) + "/").split("/", 3)
        key = key.removesuffix("/")
        self.server.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        if self.server.failures:
            return self._answer(self.server.failures.pop(0), b"not now")
        if cloud == "azure" and not self._signed(query):
            return self._answer(403, b"<Error><Code>AuthenticationFailed</Code></Error>")
        if not any(each == bucket for each, _ in self.server.objects):
            return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if not key:
            return self._list(cloud, bucket, query)
        data = self.server.objects.get((bucket, key))
        if data is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._object(data)

    def _object(self, data: bytes) -> None:
        headers = {"Last-Modified": DATE, "ETag": f'"{hashlib.md5(data).hexdigest()}"', "x-ms-blob-type": "BlockBlob"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or self.headers.get("x-ms-range") or "")
        if not wanted:
            return self._answer(200, data, headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return self._answer(206, data[first : last + 1], headers)

    def _list(self, cloud: str, bucket: str, query: dict[str, str]) -> None:
        prefix = query.get("prefix", "")
        after = query.get("continuation-token") or query.get("marker") or ""
        keys = sorted(key for each, key in self.server.objects if each == bucket and key.startswith(prefix))
        page = [key for key in keys if key > after][:PAGE]
        follow = page[-1] if page and page[-1] != keys[-1] else ""
        write = _azure_list if cloud == "azure" else _google_list
        return self._answer(200, write([(key, self.server.objects[bucket, key]) for key in page], follow).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _signed(self, query: dict[str, str]) -> bool:
        """Whether the request is signed with the account's key."""
        ours = "".join(
            f"{n.lower()}:{self.headers[n]}\n" for n in sorted(self.headers, key=str.lower) if n.startswith("x-ms-")
        )
        names = ("Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date")
        names += ("If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range")
        plain = [self.headers.get(name, "") for name in names]
        plain[2] = "" if plain[2] == "0" else plain[2]
        resource = f"/{ACCOUNT}{urlsplit(self.path).path}" + "".join(f"\n{n}:{query[n]}" for n in sorted(query))
        text = "\n".join((self.command, *plain)) + "\n" + ours + resource
        digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        return self.headers.get("Authorization") == f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"


def _google_list(objects: list[tuple[str, bytes]], follow: str) -> str:
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>e</ETag>"
        "<LastModified>2024-05-01T00:00:00.000Z</LastModified></Contents>"
        for key, data in objects
    )
    token = f"<NextContinuationToken>{escape(follow)}</NextContinuationToken>" if follow else ""
    return f"<?xml version='1.0'?><ListBucketResult>{entries}{token}</ListBucketResult>"


def _azure_list(objects: list[tuple[str, bytes]], follow: str) -> str:
    entries = "".join(
        f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{DATE}</Last-Modified><Etag>e</Etag>"
        f"<Content-Type>application/octet-stream</Content-Type><Content-Length>{len(data)}</Content-Length></Properties></Blob>"
        for key, data in objects
    )
    return (
        f"<?xml version='1.0'?><EnumerationResults><Blobs>{entries}</Blobs>"
        f"<NextMarker>{escape(follow)}</NextMarker></EnumerationResults>"
    )
