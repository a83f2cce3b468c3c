"""Deep storage in a folder, laid out as Druid's: `<root>/<dataSource>/<start>_<end>/<version>/<partition>/index/`.

With `druid.storage.zip` the last part is one flat `index.zip`. A segment is put together below the root, in
`intermediate_pushes`, and takes its place by one rename.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from overlord.errors import TaskFailed
from overlord.model.instant import format_instant
from overlord.model.segment import DataSegment
from workers.publish.base import LoadSpec, Pusher, pushers

STAGE = "intermediate_pushes"


@pushers.add("local")
class LocalPusher(Pusher):
    """See the module's text.

    Parameters
    ----------
    root : Path
        `druid.storage.storageDirectory`; made if missing.
    zipped : bool
        `druid.storage.zip`.
    """

    def __init__(self, root: Path, *, zipped: bool = False) -> None:
        self.root = root.absolute()
        self._zipped = zipped

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> LocalPusher:
        root = settings.get("druid.storage.storageDirectory")
        if not root:
            raise TaskFailed("druid.storage.storageDirectory is not set: there is no place for segments")
        return cls(Path(str(root)), zipped=str(settings.get("druid.storage.zip") or "").lower() == "true")

    def place(self, segment: DataSegment) -> Path:
        """The folder of a segment."""
        interval = f"{format_instant(segment.interval.start)}_{format_instant(segment.interval.end)}"
        return self.root / segment.datasource / interval / segment.version / str(segment.shard_spec.partition_num)

    def push(self, directory: Path, segment: DataSegment) -> LoadSpec:
        final = self.place(segment)
        stage = self.root / STAGE / uuid.uuid4().hex
        with _explained(f"Segment[{segment.id}] cannot be written to deep storage [{final}]", stage):
            stage.mkdir(parents=True)
            if self._zipped:
                _zip(directory, stage / "index.zip")
            else:
                _move(directory, stage / "index")
            final.parent.mkdir(parents=True, exist_ok=True)
            _replace(stage, final)
        path = str(final / "index.zip") if self._zipped else f"{final / 'index'}/"
        return {"type": "local", "path": path}

    def settle(self) -> None:
        if not self.root.is_dir():
            return
        with _explained(f"Deep storage [{self.root}] cannot be written to disk"):
            _sync_filesystem(self.root)

    def remove(self, load_spec: LoadSpec) -> None:
        folder = Path(str(load_spec["path"])).parent
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # folders that hold something else stay
            for parent in folder.parents:
                if parent == self.root or self.root not in parent.parents:
                    break
                parent.rmdir()


@contextmanager
def _explained(what: str, stage: Path | None = None) -> Iterator[None]:
    """Turn a fault of the file system into the task's, and leave no half of anything in `stage`."""
    try:
        yield
    except shutil.Error as faults:
        # copytree gives all of them: (from, to, text) each
        raise TaskFailed(f"{what}: {faults.args[0][0][2]}") from faults
    except OSError as fault:
        reason = fault.strerror or str(fault)
        where = f" ({fault.filename})" if fault.filename else ""
        raise TaskFailed(f"{what}: {reason}{where}") from fault
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    """Rename, or copy where another file system begins."""
    try:
        source.rename(target)
    except OSError as fault:
        if fault.errno != errno.EXDEV:
            raise
        shutil.copytree(source, target, copy_function=shutil.copyfile)
        shutil.rmtree(source)


def _zip(source: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for file in sorted(source.iterdir()):
            out.write(file, file.name)
    shutil.rmtree(source)


def _replace(stage: Path, final: Path) -> None:
    """Rename; a folder that is in the way belongs to an earlier attempt and goes."""
    try:
        stage.rename(final)
    except OSError as fault:
        if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        old = stage.with_name(f"{stage.name}.old")
        final.rename(old)
        stage.rename(final)
        shutil.rmtree(old, ignore_errors=True)


def _sync_filesystem(folder: Path) -> None:
    """All that was written there reaches the disk, in one call rather than one a file."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs: Any = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)
