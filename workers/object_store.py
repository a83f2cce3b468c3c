"""Buckets: S3, Google's and Azure's, through one library. Keys are texts, as Druid has them.

Credentials, the first that is there: the ones given, the environment's, those of `~/.aws/credentials`, those of the
machine or pod.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from overlord.errors import TaskFailed

_RETRIES = 5
_RETRY_S = 60
_BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Found:
    """One object of a listing."""

    key: str
    size: int
    written: datetime


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket or container.

    Attributes
    ----------
    scheme : str
        Of its URIs.
    name : str
        As its URIs have it.
    store : Any
        The library's object.
    """

    scheme: str
    name: str
    store: Any

    def uri(self, key: str) -> str:
        """How messages name an object."""
        return f"{self.scheme}://{self.name}/{key}"

    def list(self, prefix: str) -> Iterator[Found]:
        """Objects whose keys begin so, in order of keys; without markers of folders."""
        folder = prefix.rpartition("/")[0]
        found: list[Found] = []
        with explained(f"Cannot list {self.uri(prefix)}"):
            import obstore

            for page in obstore.list(self.store, folder or None):
                for each in page:
                    key = str(each["path"])
                    if key.startswith(prefix) and not key.endswith(("/", "_$folder$")):
                        found.append(Found(key=key, size=int(each["size"]), written=each["last_modified"]))
        yield from sorted(found, key=lambda each: each.key)

    def size(self, key: str) -> int:
        """Bytes of an object."""
        with explained(f"Cannot read {self.uri(key)}"):
            import obstore

            return int(obstore.head(self.store, key)["size"])

    def open(self, key: str) -> Reading:
        """The bytes of an object, by ranges."""
        with explained(f"Cannot read {self.uri(key)}"):
            import obstore

            return Reading(self.uri(key), obstore.open_reader(self.store, key, buffer_size=_BUFFER_BYTES))

    def get(self, key: str) -> bytes | None:
        """A small object; None where there is none."""
        import obstore

        with explained(f"Cannot read {self.uri(key)}"):
            try:
                return bytes(obstore.get(self.store, key).bytes())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def download(self, key: str, target: IO[bytes]) -> None:
        """Copy an object to a file."""
        stream = self.open(key)
        try:
            while piece := stream.read(_BUFFER_BYTES):
                target.write(piece)
        finally:
            stream.close()

    def upload(self, key: str, source: Path) -> None:
        """Store a file: all of it, or nothing."""
        import obstore

        with explained(f"Cannot write {self.uri(key)}"), source.open("rb") as file:
            obstore.put(self.store, key, file)

    def copy(self, key: str, to: Bucket, to_key: str) -> None:
        """Copy an object: by the store itself within a bucket, else through this machine."""
        import obstore

        with explained(f"Cannot copy {self.uri(key)} to {to.uri(to_key)}"):
            if to.name == self.name:
                obstore.copy(self.store, key, to_key)
            else:
                obstore.put(to.store, to_key, obstore.get(self.store, key))

    def delete(self, *keys: str) -> None:
        """Delete objects; none there is no error."""
        import obstore

        with explained(f"Cannot delete {self.uri(keys[0] if keys else '')}"):
            try:
                obstore.delete(self.store, list(keys))
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise


class Reading:
    """An open object; faults name it."""

    def __init__(self, uri: str, reader: Any) -> None:
        self._uri = uri
        self._reader = reader

    def read(self, size: int = -1, /) -> bytes:
        """Up to so many bytes; none at the end."""
        with explained(f"Cannot read {self._uri}"):
            return bytes(self._reader.read(size))

    def close(self) -> None:
        """Let go."""
        self._reader.close()


class explained:  # noqa: N801  used as a function
    """Turn the library's faults into the task's, without its own dump of the request."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, TaskFailed):
            return
        if isinstance(error, ImportError):
            raise TaskFailed("Object stores cannot be reached here", hint="pip install 'overlord[s3]'") from None
        if isinstance(error, OSError) or type(error).__module__.startswith("obstore"):
            text = str(error).split("\n\nDebug source")[0].strip()
            if "NoSuchBucket" in text:
                text = "there is no such bucket"
            elif isinstance(error, FileNotFoundError):
                text = "there is no such object"
            raise TaskFailed(f"{self._what}: {' '.join(text.split())}") from error


def open_bucket(
    kind: str, name: str, options: Mapping[str, str | None], *, plain_http: bool = False, proxy: str | None = None
) -> Bucket:
    """A bucket by its kind ("s3", "google", "azure", "azureStorage") and the library's options.

    Raises
    ------
    TaskFailed
        The library is not installed, or refuses an option.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise TaskFailed("Object stores cannot be reached here", hint="pip install 'overlord[s3]'") from None
    make = {"s3": S3Store, "google": GCSStore, "azure": AzureStore, "azureStorage": AzureStore}[kind]
    retry = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)}
    config = {key: value for key, value in options.items() if value is not None}
    client = {"allow_http": plain_http} | ({"proxy_url": proxy} if proxy else {})
    try:
        store = make(name, config=config, client_options=client, retry_config=retry)
    except (BaseError, ValueError, TypeError) as error:
        raise TaskFailed(f"Bucket [{name}] cannot be reached: {str(error).splitlines()[0]}") from error
    return Bucket(scheme={"s3": "s3", "google": "gs"}.get(kind, kind), name=name, store=store)


def open_s3(name: str, settings: Mapping[str, Any], **given: str | None) -> Bucket:
    """A bucket of S3, or of what speaks like it.

    Parameters
    ----------
    settings : mapping
        `druid.s3.*`.
    **given
        What goes before them: access_key, secret_key, session_token, endpoint, region, path_style ("true" or "false"),
        and proxy.
    """
    endpoint = given.get("endpoint") or settings.get("druid.s3.endpoint.url")
    if endpoint and "://" not in endpoint:
        endpoint = f"{settings.get('druid.s3.protocol') or 'https'}://{endpoint}"
    path_style = given.get("path_style") or str(settings.get("druid.s3.enablePathStyleAccess") or endpoint is not None)
    key = given.get("access_key") or settings.get("druid.s3.accessKey")
    secret = given.get("secret_key") or settings.get("druid.s3.secretKey")
    token = given.get("session_token")
    if key is None and "AWS_ACCESS_KEY_ID" not in os.environ:
        key, secret, token = _profile()
    options = {
        "aws_endpoint": endpoint,
        "aws_region": given.get("region") or settings.get("druid.s3.endpoint.signingRegion") or _region(),
        "aws_access_key_id": key,
        "aws_secret_access_key": secret,
        "aws_session_token": token,
        "aws_virtual_hosted_style_request": "false" if path_style.lower() == "true" else "true",
    }
    plain_http = bool(endpoint and endpoint.startswith("http://"))
    return open_bucket("s3", name, options, plain_http=plain_http, proxy=given.get("proxy"))


def open_google(name: str) -> Bucket:
    """A bucket of Google; GOOGLE_BASE_URL names what speaks like it."""
    plain_http = os.environ.get("GOOGLE_BASE_URL", "").startswith("http://")
    return open_bucket("google", name, {}, plain_http=plain_http)


def open_azure(name: str, settings: Mapping[str, Any], **given: str | None) -> Bucket:
    """A container of Azure; AZURE_STORAGE_ENDPOINT names what speaks like it.

    Parameters
    ----------
    settings : mapping
        `druid.azure.*`, which are those of one account.
    **given
        What goes before them: account, key, token, client, client_secret, tenant.
    """
    account, login = given.get("account"), ("key", "token", "client")
    ours = settings if account in (None, settings.get("druid.azure.account")) else {}
    if any(given.get(each) for each in login):
        key, token = given.get("key"), given.get("token")
    else:
        key, token = ours.get("druid.azure.key"), ours.get("druid.azure.sharedAccessStorageToken")
    account = account or settings.get("druid.azure.account")
    endpoint = os.environ.get("AZURE_STORAGE_ENDPOINT") or _azure_endpoint(account, settings)
    options = {
        "azure_storage_account_name": account,
        "azure_storage_account_key": key,
        "azure_storage_sas_token": token,
        "azure_storage_client_id": given.get("client"),
        "azure_storage_client_secret": given.get("client_secret"),
        "azure_storage_tenant_id": given.get("tenant"),
        "azure_storage_endpoint": endpoint,
    }
    return open_bucket("azure", name, options, plain_http=bool(endpoint and endpoint.startswith("http://")))


def _azure_endpoint(account: str | None, settings: Mapping[str, Any]) -> str | None:
    """The account's URL where it is not the usual one."""
    protocol = settings.get("druid.azure.protocol") or "https"
    suffix = settings.get("druid.azure.storageAccountEndpointSuffix") or "blob.core.windows.net"
    usual = (protocol, suffix) == ("https", "blob.core.windows.net")
    return None if usual or not account else f"{protocol}://{account}.{suffix}"


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _profile() -> tuple[str | None, str | None, str | None]:
    """Key, secret and token of the profile in the credentials file; nothing where there is none."""
    file = configparser.ConfigParser()
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path("~/.aws/credentials").expanduser()
    try:
        file.read(path)
    except (OSError, configparser.Error):
        return None, None, None
    name = os.environ.get("AWS_PROFILE", "default")
    section = file[name] if file.has_section(name) else {}
    return section.get("aws_access_key_id"), section.get("aws_secret_access_key"), section.get("aws_session_token")
