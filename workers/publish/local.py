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
_LEVELS = 4  # partition, version, interval, datasource


@pushers.add("local")
class LocalPusher(Pusher):
    """See the module's text.

    Parameters
    ----------
    root : Path
        `druid.storage.storageDirectory`; made if missing.
    zipped : bool
        `druid.storage.zip`.
    archive : Path, optional
        `druid.storage.archiveDirectory`.
    """

    load_types = ("local",)

    def __init__(self, root: Path, *, zipped: bool = False, archive: Path | None = None) -> None:
        self.root = root.absolute()
        self._zipped = zipped
        self._archive = archive
        self._written = {self.root}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> LocalPusher:
        root = settings.get("druid.storage.storageDirectory")
        if not root:
            raise TaskFailed("druid.storage.storageDirectory is not set: there is no place for segments")
        archive = settings.get("druid.storage.archiveDirectory")
        return cls(
            Path(str(root)),
            zipped=str(settings.get("druid.storage.zip") or "").lower() == "true",
            archive=Path(str(archive)) if archive else None,
        )

    def place(self, segment: DataSegment, root: Path | None = None) -> Path:
        """The folder of a segment, below `root` or the deep storage's own."""
        interval = f"{format_instant(segment.interval.start)}_{format_instant(segment.interval.end)}"
        inside = Path(segment.datasource, interval, segment.version, str(segment.shard_spec.partition_num))
        return (root or self.root) / inside / self.unique

    def push(self, directory: Path, segment: DataSegment) -> LoadSpec:
        final = self.place(segment)
        stage = self.root / STAGE / uuid.uuid4().hex
        with _explained(f"Segment[{segment.id}] cannot be written to deep storage [{final}]", stage):
            stage.mkdir(parents=True)
            if self._zipped:
                _zip(directory, stage / "index.zip")
            else:
                _move(directory, stage / "index")
            _settle_in(stage, final)
        path = str(final / "index.zip") if self._zipped else f"{final / 'index'}/"
        return {"type": "local", "path": path}

    def settle(self) -> None:
        for root in self._written:
            if root.is_dir():
                with _explained(f"Deep storage [{root}] cannot be written to disk"):
                    _sync_filesystem(root)

    def remove(self, load_spec: LoadSpec) -> None:
        files = _files(load_spec)
        folder = files.parent
        with _explained(f"Segment files [{files}] cannot be deleted"):
            _delete(files)
            (folder / "descriptor.json").unlink(missing_ok=True)  # older Druids put one beside the zip
        with suppress(OSError):  # folders that hold something else stay
            for parent in (folder, *folder.parents)[:_LEVELS]:
                if parent in (self.root, self._archive):
                    break
                parent.rmdir()

    def copy(self, segment: DataSegment, target: Mapping[str, Any]) -> LoadSpec:
        root = target.get("path")
        if not isinstance(root, str) or not Path(root).is_absolute():
            raise TaskFailed(f"target.path must be the absolute path of a folder, and is {root!r}")
        old = _files(segment.load_spec or {})
        final = self.place(segment, Path(root))
        if old == final / old.name:
            return dict(segment.load_spec or {})
        stage = Path(root, STAGE, uuid.uuid4().hex)
        with _explained(f"Segment[{segment.id}] cannot be copied from [{old}] to [{final}]", stage):
            stage.mkdir(parents=True)
            if old.is_dir():
                shutil.copytree(old, stage / "index", copy_function=_link)
            else:
                _link(str(old), str(stage / "index.zip"))
            zipped = not old.is_dir()
            _settle_in(stage, final)
        self._written.add(Path(root))
        return {"type": "local", "path": str(final / "index.zip") if zipped else f"{final / 'index'}/"}

    def archive(self) -> dict[str, Any]:
        if self._archive is None:
            raise TaskFailed("druid.storage.archiveDirectory is not set: there is no archive")
        return {"path": str(self._archive.absolute())}

    def home(self) -> dict[str, Any]:
        return {"path": str(self.root)}


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


def _link(source: str, target: str) -> str:
    """The same file under a second name (segments never change), or a copy where that cannot be."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
    return target


def _files(load_spec: Mapping[str, Any]) -> Path:
    path = load_spec.get("path")
    if not isinstance(path, str) or not Path(path).is_absolute():
        raise TaskFailed(f"The loadSpec {dict(load_spec)} has no absolute path")
    return Path(path)


def _delete(files: Path) -> None:
    """Delete a segment's zip or folder, and nothing that only a wrong loadSpec could name."""
    if files.is_dir():
        if files.name != "index" and not (files / "version.bin").exists():
            raise TaskFailed(f"[{files}] is not a segment's folder, and is not deleted")
        with suppress(FileNotFoundError):
            shutil.rmtree(files)
    elif files.suffix == ".zip":
        files.unlink(missing_ok=True)
    elif files.exists():
        raise TaskFailed(f"[{files}] is not a segment's file, and is not deleted")


def _settle_in(stage: Path, final: Path) -> None:
    """Take the final place; a task that clears up beside it may remove folders just made, so try again."""
    for left in reversed(range(5)):
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            _replace(stage, final)
        except FileNotFoundError:
            if left == 0 or not stage.exists():
                raise
        else:
            return


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
