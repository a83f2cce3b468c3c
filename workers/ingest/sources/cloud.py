"""Objects of S3, Google Cloud Storage and Azure."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from overlord.errors import TaskFailed
from workers.ingest.sources.base import InputObject, InputSource, SplitHint, in_groups, input_sources, strings
from workers.ingest.sources.passwords import password_of
from workers.object_store import Bucket, open_azure, open_google, open_s3

Place = tuple[str, str]
"""Bucket and key (or the beginning of keys)."""


class CloudSource(InputSource):
    """`uris`, `prefixes` or `objects`, of which `objectGlob` chooses; empty objects are passed over.

    Objects that are listed by prefix come in the order of their keys.
    """

    splittable = True
    kind: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]

    def __init__(self, json: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self.json = json
        self.settings = settings
        self.uris = [self._place(uri) for uri in strings(json, "uris", "inputSource")]
        self.prefixes = [self._place(uri) for uri in strings(json, "prefixes", "inputSource")]
        self.given = [_object(each) for each in json.get("objects") or []]
        if not (self.uris or self.prefixes or self.given):
            raise TaskFailed(f"inputSource of type {json.get('type')} needs uris, prefixes or objects")
        glob = json.get("objectGlob")
        self._matches = None if glob is None else re.compile(glob_pattern(str(glob)), re.DOTALL)
        self._buckets: dict[str, Bucket] = {}
        self.system_fields = tuple(strings(json, "systemFields", "inputSource"))

    @classmethod
    def from_json(cls, json: Mapping[str, Any], settings: Mapping[str, Any]) -> CloudSource:
        return cls(json, settings)

    def objects(self) -> Iterator[InputObject]:
        found = False
        for bucket, key in (*self.uris, *self.given):
            if self._wanted(key):
                found = True
                yield self._item(self.bucket(bucket), key, self.bucket(bucket).size(key))
        for bucket, prefix in self.prefixes:
            for each in self.bucket(bucket).list(prefix):
                if each.size and self._wanted(each.key):
                    found = True
                    yield self._item(self.bucket(bucket), each.key, each.size)
        if not found:
            places = [self._uri(*place) for place in (*self.uris, *self.given, *self.prefixes)]
            glob = f" matches {self.json['objectGlob']!r} (objectGlob)" if self._matches else ""
            raise TaskFailed(f"No object under {', '.join(places)}{glob or ' was found'}")

    def splits(self, hint: SplitHint) -> Iterator[dict[str, Any]]:
        rest = {name: value for name, value in self.json.items() if name not in ("uris", "prefixes", "objectGlob")}
        for group in in_groups(self.objects(), hint):
            objects = [{"bucket": item.system["__file_bucket"], "path": item.system["__file_path"]} for item in group]
            yield {**rest, "objects": objects}

    def bucket(self, name: str) -> Bucket:
        """A bucket, opened once."""
        if name not in self._buckets:
            self._buckets[name] = self.connect(name)
        return self._buckets[name]

    @abstractmethod
    def connect(self, name: str) -> Bucket:
        """Open a bucket with what the spec says."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """`properties` of the spec."""
        given = self.json.get("properties")
        return given if isinstance(given, Mapping) else {}

    def password(self, field: str) -> str | None:
        """A password among them."""
        return password_of(self.properties.get(field), f"inputSource.properties.{field}")

    def _item(self, bucket: Bucket, key: str, size: int) -> InputObject:
        uri = self._uri(bucket.name, key)
        system = {"__file_uri": uri, "__file_bucket": bucket.name, "__file_path": key}
        return InputObject(name=uri, size=size, open=partial(bucket.open, key), uri=uri, system=system)

    def _wanted(self, key: str) -> bool:
        return self._matches is None or self._matches.fullmatch(key) is not None

    def _place(self, uri: str) -> Place:
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme not in self.schemes or not bucket:
            raise TaskFailed(
                f"Cannot read {uri}: a URI of {self.kind} is {self.schemes[0]}://bucket/key", where="inputSource.uris"
            )
        return bucket, key

    def _uri(self, bucket: str, key: str) -> str:
        return f"{self.schemes[0]}://{bucket}/{key}"


@input_sources.add("s3")
class S3Source(CloudSource):
    """Objects of S3; what the spec says goes before the settings `druid.s3.*`."""

    kind = "s3"
    schemes = ("s3", "s3a", "s3n")

    def connect(self, name: str) -> Bucket:
        endpoint = self.json.get("endpointConfig") or {}
        client = self.json.get("clientConfig") or {}
        if self.properties.get("assumeRoleArn"):  # refused at submit too
            raise TaskFailed(
                "assumeRoleArn is not known here: give keys, or a role of the machine",
                where="spec.ioConfig.inputSource.properties.assumeRoleArn",
            )
        url = endpoint.get("url")
        if url and "://" not in url:
            url = f"{client.get('protocol') or 'https'}://{url}"
        style = client.get("enablePathStyleAccess")
        return open_s3(
            name,
            self.settings,
            access_key=self.password("accessKeyId"),
            secret_key=self.password("secretAccessKey"),
            session_token=self.password("sessionToken"),
            proxy=self._proxy(),
            endpoint=url,
            region=endpoint.get("signingRegion"),
            path_style=None if style is None else str(style),
        )

    def _proxy(self) -> str | None:
        """The URL of `proxyConfig`, with its login."""
        config = self.json.get("proxyConfig") or {}
        if not config.get("host"):
            return None
        user, password = config.get("username"), password_of(config.get("password"), "inputSource.proxyConfig.password")
        login = "" if not user else quote(str(user), safe="") + ":" + quote(password or "", safe="") + "@"
        port = int(config.get("port") or -1)
        return f"http://{login}{config['host']}" + (f":{port}" if port > 0 else "")


@input_sources.add("google")
class GoogleSource(CloudSource):
    """Objects of Google Cloud Storage; credentials are the machine's, or those of GOOGLE_APPLICATION_CREDENTIALS."""

    kind = "google"
    schemes = ("gs",)

    def connect(self, name: str) -> Bucket:
        return open_google(name)


@input_sources.add("azure", "azureStorage")
class AzureSource(CloudSource):
    """Blobs of Azure: `azure://container/path` of the account in `druid.azure.account`, or
    `azureStorage://account/container/path` with `properties`.
    """

    kind = "azure"
    schemes = ("azure",)

    def __init__(self, json: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self.by_account = json.get("type") == "azureStorage"
        if self.by_account:
            self.schemes = ("azureStorage",)  # type: ignore[misc]  # of this one
        super().__init__(json, settings)

    def connect(self, name: str) -> Bucket:
        account, _, container = name.partition("/") if self.by_account else ("", "", name)
        opened = open_azure(
            container,
            self.settings,
            account=account or None,
            key=self.password("key"),
            token=self.password("sharedAccessStorageToken"),
            client=self.password("appRegistrationClientId"),
            client_secret=self.password("appRegistrationClientSecret"),
            tenant=self.password("tenantId"),
        )
        return Bucket(scheme=self.schemes[0], name=name, store=opened.store)

    def _place(self, uri: str) -> Place:
        bucket, key = super()._place(uri)
        if self.by_account:
            container, _, key = key.partition("/")
            bucket = f"{bucket}/{container}"
        return bucket, key


def _object(each: Any) -> Place:
    if (
        not isinstance(each, Mapping)
        or not isinstance(each.get("bucket"), str)
        or not isinstance(each.get("path"), str)
    ):
        raise TaskFailed("inputSource.objects must be a list of objects with bucket and path")
    return each["bucket"], each["path"].lstrip("/")


def glob_pattern(glob: str) -> str:
    """A Java path glob as a regular expression: `*` and `?` stop at slashes, `**` does not, `{a,b}`, `[a-c]`."""
    parts: Sequence[str] = re.findall(r"\*\*|\*|\?|\{|\}|,|\[!?[^\]]*\]|\\.|.", glob, re.DOTALL)
    out: list[str] = []
    depth = 0
    for part in parts:
        if part == "{":
            depth += 1
            out.append("(?:")
        elif part == "}" and depth:
            depth -= 1
            out.append(")")
        elif part == "," and depth:
            out.append("|")
        elif part.startswith("[") and len(part) > 1:
            out.append(part.replace("[!", "[^", 1))
        elif part.startswith("\\") and len(part) > 1:
            out.append(re.escape(part[1:]))
        else:
            out.append({"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)))
    return "".join(out) + ")" * depth
