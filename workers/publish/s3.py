"""S3 as deep storage, in Druid's layout: `<baseKey>/<datasource>/<start>_<end>/<version>/<partition>/index.zip`."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overlord.errors import TaskFailed
from overlord.model.instant import format_instant
from overlord.model.segment import DataSegment
from workers.object_store import Bucket, open_s3
from workers.publish.base import LoadSpec, Pusher, pushers
from workers.publish.fetch import Fetcher, fetchers

TYPE = "s3_zip"


@pushers.add("s3")
class S3Pusher(Pusher):
    """See the module's text. An object is there as a whole or not at all.

    Parameters
    ----------
    settings : mapping
        `druid.storage.bucket`, `baseKey`, `archiveBucket`, `archiveBaseKey`, `useS3aSchema`; `druid.s3.*`.
    """

    load_types = (TYPE,)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._bucket = settings.get("druid.storage.bucket")
        self._base_key = str(settings.get("druid.storage.baseKey") or "")
        self._schema = "s3a" if settings.get("druid.storage.useS3aSchema") in (True, "true") else "s3n"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> S3Pusher:
        return cls(settings)

    def key(self, segment: DataSegment, base_key: str | None = None) -> str:
        """Where a segment lies."""
        interval = f"{format_instant(segment.interval.start)}_{format_instant(segment.interval.end)}"
        own = (self.unique,) if self.unique else ()
        number = str(segment.shard_spec.partition_num)
        place = (segment.datasource, interval, segment.version, number, *own, "index.zip")
        base = self._base_key if base_key is None else base_key
        return "/".join((*filter(None, (base.strip("/"),)), *place))

    def push(self, directory: Path, segment: DataSegment) -> LoadSpec:
        bucket, key = self._home(), self.key(segment)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix="push-") as folder:
            zipped = Path(folder, "index.zip")
            with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
                for file in sorted(directory.iterdir()):
                    out.write(file, file.name)
            try:
                bucket.upload(key, zipped)
            except TaskFailed as failure:
                raise TaskFailed(f"Segment[{segment.id}] cannot be written: {failure.message}") from failure
        return self._load_spec(bucket.name, key)

    def settle(self) -> None:
        """What S3 has taken is safe."""

    def remove(self, load_spec: LoadSpec) -> None:
        bucket, key = self._place(load_spec)
        bucket.delete(key, f"{key.rpartition('/')[0]}/descriptor.json")

    def copy(self, segment: DataSegment, target: Mapping[str, Any]) -> LoadSpec:
        name, base_key = target.get("bucket"), target.get("baseKey")
        if not isinstance(name, str) or not isinstance(base_key, str):
            raise TaskFailed(f"target must have bucket and baseKey, and is {dict(target)}")
        bucket, key = self._place(segment.load_spec or {})
        to, to_key = self._open(name), self.key(segment, base_key)
        if (bucket.name, key) == (name, to_key):
            return dict(segment.load_spec or {})
        bucket.copy(key, to, to_key)
        return self._load_spec(name, to_key)

    def archive(self) -> dict[str, Any]:
        bucket = self._settings.get("druid.storage.archiveBucket")
        if not bucket:
            raise TaskFailed("druid.storage.archiveBucket is not set: there is no archive")
        return {"bucket": bucket, "baseKey": str(self._settings.get("druid.storage.archiveBaseKey") or "")}

    def home(self) -> dict[str, Any]:
        return {"bucket": self._home().name, "baseKey": self._base_key}

    def _home(self) -> Bucket:
        if not self._bucket:
            raise TaskFailed("druid.storage.bucket is not set: there is no place for segments")
        return self._open(str(self._bucket))

    def _open(self, name: str) -> Bucket:
        return open_s3(name, self._settings)

    def _place(self, load_spec: Mapping[str, Any]) -> tuple[Bucket, str]:
        bucket, key = place_of(load_spec)
        return self._open(bucket), key

    def _load_spec(self, bucket: str, key: str) -> LoadSpec:
        return {"type": TYPE, "bucket": bucket, "key": key, "S3Schema": self._schema}


@fetchers.add(TYPE)
class S3Fetcher(Fetcher):
    """Copies the zip."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> S3Fetcher:
        return cls(settings)

    def fetch(self, load_spec: Mapping[str, Any], scratch: Path) -> Path:
        bucket, key = place_of(load_spec)
        target = scratch / "index.zip"
        with target.open("wb") as file:
            open_s3(bucket, self._settings).download(key, file)
        return target


def place_of(load_spec: Mapping[str, Any]) -> tuple[str, str]:
    """Bucket and key of a loadSpec."""
    bucket, key = load_spec.get("bucket"), load_spec.get("key")
    if not isinstance(bucket, str) or not isinstance(key, str) or not key.endswith(".zip"):
        raise TaskFailed(f"The loadSpec {dict(load_spec)} does not name a segment's zip in a bucket")
    return bucket, key
