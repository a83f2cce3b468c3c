"""Input sources of object stores: s3, google, azure and azureStorage."""
# ruff: noqa: N815  fields bear Druid's names

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from overlord.schemas.base import Flag, Inside, ListOf, Problem, Shape, Text, Whole
from overlord.schemas.inputs import Password, SystemField, Uri, input_source_kinds

_S3 = "org.apache.druid.data.input.s3."
_AWS = "org.apache.druid.common.aws."
_AZURE = "org.apache.druid.data.input.azure."


class Location(Shape):
    """An object in its bucket."""

    java = "org.apache.druid.data.input.impl.CloudObjectLocation"

    bucket = Text()
    path = Text()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        if "bucket" in data and data["bucket"] is None:
            yield None, "bucket name cannot be null. Please verify if bucket name adheres to naming rules"
        elif "path" in data and data["path"] is None:
            yield None, "`java.lang.NullPointerException`"

    def finish(self, data: dict[str, Any]) -> dict[str, Any]:
        return data | {"path": data["path"].removeprefix("/")}


class CloudShape(Shape):
    """Objects named one by one, or by the beginning of their keys."""

    scheme: ClassVar[str]
    omit_null = frozenset(
        ("uris", "prefixes", "objects", "objectGlob", "properties", "proxyConfig", "endpointConfig", "clientConfig")
    )
    omit_empty = frozenset({"systemFields"})

    uris = ListOf(Uri())
    prefixes = ListOf(Uri())
    objects = ListOf(Inside(Location))
    objectGlob = Text()
    systemFields = ListOf(SystemField(), list)

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        ways = ("uris", "prefixes", "objects")
        if not all(way in data for way in ways):
            return
        if sum(bool(data[way]) for way in ways) != 1:
            yield None, "Exactly one of uris, prefixes or objects must be specified"
            return
        for way in ("uris", "prefixes"):
            for uri in data[way] or ():
                if str(uri).partition(":")[0].lower() != self.scheme.lower():
                    yield way, f"Invalid URI scheme [{uri}] must be [{self.scheme}]"
                    return


class S3Properties(Shape):
    """Who asks."""

    java = _S3 + "S3InputSourceConfig"
    omit_null = frozenset({"accessKeyId", "secretAccessKey", "assumeRoleArn", "assumeRoleExternalId", "sessionToken"})

    accessKeyId = Password()
    secretAccessKey = Password()
    assumeRoleArn = Text()
    assumeRoleExternalId = Text()
    sessionToken = Password()

    def problems(self, data: dict[str, Any]) -> Iterator[Problem]:
        keys = ("accessKeyId", "secretAccessKey")
        for missing, given in (keys, keys[::-1]):
            if missing in data and data[missing] is None and data.get(given) is not None:
                yield missing, f"{missing} cannot be null if {given} is given"
        if data.get("assumeRoleArn") is not None:
            yield "assumeRoleArn", "assumeRoleArn is not known here: give keys, or a role of the machine"


class ProxyConfig(Shape):
    """A proxy on the way to S3."""

    java = _AWS + "AWSProxyConfig"
    omit_null = frozenset({"host", "username", "password"})

    host = Text()
    port = Whole(-1)
    username = Text()
    password = Password()


class EndpointConfig(Shape):
    """Where S3, or what speaks like it, is."""

    java = _AWS + "AWSEndpointConfig"
    omit_null = frozenset({"url", "signingRegion"})

    url = Text()
    signingRegion = Text()


class ClientConfig(Shape):
    """How S3 is spoken to; what is not given is as the settings `druid.s3.*` have it."""

    java = _AWS + "AWSClientConfig"
    omit_null = frozenset(
        ("protocol", "disableChunkedEncoding", "enablePathStyleAccess", "forceGlobalBucketAccessEnabled")
    )

    protocol = Text()
    disableChunkedEncoding = Flag()
    enablePathStyleAccess = Flag()
    forceGlobalBucketAccessEnabled = Flag()


@input_source_kinds.add("s3")
class S3Source(CloudShape):
    """Objects of S3."""

    java = _S3 + "S3InputSource"
    scheme = "s3"

    properties = Inside(S3Properties)
    proxyConfig = Inside(ProxyConfig)
    endpointConfig = Inside(EndpointConfig)
    clientConfig = Inside(ClientConfig)


@input_source_kinds.add("google")
class GoogleSource(CloudShape):
    """Objects of Google's storage."""

    java = "org.apache.druid.data.input.google.GoogleCloudStorageInputSource"
    scheme = "gs"


@input_source_kinds.add("azure")
class AzureSource(CloudShape):
    """Blobs of the account of the settings."""

    java = _AZURE + "AzureInputSource"
    scheme = "azure"


class AzureProperties(Shape):
    """Who asks."""

    java = _AZURE + "AzureInputSourceConfig"
    omit_null = frozenset(
        ("sharedAccessStorageToken", "key", "appRegistrationClientId", "appRegistrationClientSecret", "tenantId")
    )

    sharedAccessStorageToken = Text()
    key = Text()
    appRegistrationClientId = Text()
    appRegistrationClientSecret = Text()
    tenantId = Text()


@input_source_kinds.add("azureStorage")
class AzureAccountSource(CloudShape):
    """Blobs of any account: `azureStorage://account/container/path`."""

    java = _AZURE + "AzureStorageAccountInputSource"
    scheme = "azureStorage"

    properties = Inside(AzureProperties)
