"""The container of a segment: named entries packed into a few big files.

`meta.smoosh` is text: `v1,<largest chunk>,<number of chunks>`, then one line `name,chunk,start,end` an entry, sorted by
name in UTF-16 order. `00000.smoosh`, `00001.smoosh`, ... hold the bytes. An entry lies in one chunk. There is no
escaping, so a name can hold neither comma nor newline.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from workers.segment.errors import SegmentError, naming
from workers.segment.utf16 import sort_key

CHUNK_LIMIT = 2**31 - 1
META = "meta.smoosh"
COPY_BYTES = 1 << 20


def chunk_name(number: int) -> str:
    """File name of a chunk."""
    return f"{number:05d}.smoosh"


class SmooshReader(Mapping[str, memoryview]):
    """The entries of a segment, mapped into memory and not read before use.

    Parameters
    ----------
    path : Path
        Directory with the segment's files, or a flat `index.zip` of them; that one is unpacked to scratch space, whose
        files are unlinked once they are mapped.
    scratch : Path, optional
        Where to unpack; the system's temporary directory by default.
    """

    def __init__(self, path: Path, *, scratch: Path | None = None) -> None:
        self.path = path
        with naming(str(path)):
            if path.is_dir():
                self._open(path)
            elif path.is_file():
                with tempfile.TemporaryDirectory(dir=scratch, prefix="segment-") as unpacked:
                    _unzip(path, Path(unpacked))
                    self._open(Path(unpacked))
            else:
                raise SegmentError(f"{path}: there is no segment")

    def _open(self, directory: Path) -> None:
        lines = _read_file(directory / META, self.path).decode().split("\n")
        head = lines[0].split(",")
        if len(head) != 3 or head[0] != "v1":
            raise SegmentError(f"{self.path}: {META} does not start with 'v1,'")
        chunks = [_map(directory / chunk_name(i), self.path) for i in range(int(head[2]))]
        self._places: dict[str, tuple[int, int, int]] = {}
        for line in filter(None, lines[1:]):
            name, chunk, start, end = line.rsplit(",", 3)
            self._places[name] = int(chunk), int(start), int(end)
            if int(end) > len(chunks[int(chunk)]):
                raise SegmentError(f"{self.path}: column {name!r}: the file ends before byte {end}")
        self._chunks = chunks

    def __getitem__(self, name: str) -> memoryview:
        try:
            chunk, start, end = self._places[name]
        except KeyError:
            raise SegmentError(f"{self.path}: there is no entry {name!r}") from None
        return self._chunks[chunk][start:end]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _read_file(file: Path, segment: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise SegmentError(f"{segment}: there is no {file.name}") from None


def _map(file: Path, segment: Path) -> memoryview:
    try:
        with file.open("rb") as f:
            if os.fstat(f.fileno()).st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise SegmentError(f"{segment}: there is no {file.name}") from None


def _unzip(archive: Path, to: Path) -> None:
    with zipfile.ZipFile(archive) as z:
        for info in z.infolist():
            if info.is_dir() or "/" in info.filename or "\\" in info.filename:
                raise SegmentError(f"{archive}: holds {info.filename!r}, but a segment has no directories")
            with z.open(info) as source, (to / info.filename).open("wb") as target:
                shutil.copyfileobj(source, target, COPY_BYTES)


class Entry:
    """An open entry: bytes are appended, and gaps left earlier (sizes, offsets) filled in later.

    Positions count from the entry's first byte. What is written collects in memory up to `BUFFER_BYTES`.
    """

    BUFFER_BYTES = 4 << 20

    def __init__(self, fd: int, start: int) -> None:
        self._fd = fd
        self.start = start
        self._flushed = 0
        self._buffer = bytearray()

    def __len__(self) -> int:
        return self._flushed + len(self._buffer)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        self._buffer += data
        if len(self._buffer) > self.BUFFER_BYTES:
            self.flush()

    def skip(self, size: int) -> int:
        """Leave a gap for `fill`; its position is returned."""
        at = len(self)
        self.write(bytes(size))
        return at

    def fill(self, at: int, data: bytes) -> None:
        """Put bytes where a gap was left."""
        if at >= self._flushed:
            self._buffer[at - self._flushed : at - self._flushed + len(data)] = data
        elif at + len(data) <= self._flushed:
            _pwrite(self._fd, data, self.start + at)
        else:
            self.flush()
            _pwrite(self._fd, data, self.start + at)

    def flush(self) -> None:
        """Write out what is in memory."""
        if self._buffer:
            _pwrite(self._fd, self._buffer, self.start + self._flushed)
            self._flushed += len(self._buffer)
            self._buffer = bytearray()


class Aside(Entry):
    """An entry that is written while others are, to take its place later; what memory does not hold goes to a file.

    Parameters
    ----------
    directory : Path
        Where that file, which has no name, is made.
    """

    BUFFER_BYTES = 8 << 20

    def __init__(self, directory: Path) -> None:
        super().__init__(-1, 0)
        self._directory = directory

    def flush(self) -> None:
        if self._fd < 0:
            self._file = _without_name(self._directory)
            self._fd = self._file.fileno()
        super().flush()

    def pieces(self) -> Iterator[bytes | bytearray]:
        """All that was written."""
        for at in range(0, self._flushed, COPY_BYTES):
            yield os.pread(self._fd, min(COPY_BYTES, self._flushed - at), at)
        yield self._buffer


class SmooshWriter:
    """Writes entries one after the other and `meta.smoosh` at the end; a context manager.

    Parameters
    ----------
    directory : Path
        Must exist; files of the same names are replaced.
    chunk_limit : int
        Largest size of a chunk file; smaller ones serve tests.

    Attributes
    ----------
    total_bytes : int
        Size of all files written, `meta.smoosh` included once that is there.
    """

    def __init__(self, directory: Path, *, chunk_limit: int = CHUNK_LIMIT) -> None:
        self._directory = directory
        self._chunk_limit = chunk_limit
        self._fd = -1
        self._chunk = -1
        self._size = 0
        self._places: dict[str, tuple[int, int, int]] = {}
        self.total_bytes = 0

    def __enter__(self) -> SmooshWriter:
        self._next_chunk()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.close(self._fd)
        if error is None:
            lines = [f"v1,{CHUNK_LIMIT},{self._chunk + 1}"]
            for name in sorted(self._places, key=lambda n: sort_key(n.encode())):
                chunk, start, end = self._places[name]
                lines.append(f"{name},{chunk},{start},{end}")
            text = ("\n".join(lines) + "\n").encode()
            (self._directory / META).write_bytes(text)
            self.total_bytes += len(text)

    @contextmanager
    def entry(self, name: str) -> Iterator[Entry]:
        """Write the entry `name`; the `with` body writes all of it."""
        _check_name(name)
        if name in self._places:
            raise SegmentError("it is written twice")
        entry = Entry(self._fd, self._size)
        yield entry
        entry.flush()
        self._place(name, len(entry))

    def _place(self, name: str, length: int) -> None:
        if length > self._chunk_limit:
            raise SegmentError(
                f"it takes {length} bytes, but an entry of a segment can hold {self._chunk_limit}",
                hint="lower tuningConfig.partitionsSpec.maxRowsPerSegment",
            )
        start = self._size
        if start + length > self._chunk_limit:
            start = self._move_to_next_chunk(length)
        self._size = start + length
        self.total_bytes += length
        self._places[name] = self._chunk, start, self._size

    def _move_to_next_chunk(self, length: int) -> int:
        """Entries do not span chunks: take the last one over into a new file."""
        old, old_size = os.dup(self._fd), self._size
        try:
            self._next_chunk()
            for at in range(0, length, COPY_BYTES):
                _pwrite(self._fd, os.pread(old, min(COPY_BYTES, length - at), old_size + at), at)
            os.ftruncate(old, old_size)
        finally:
            os.close(old)
        return 0

    def _next_chunk(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._chunk += 1
        self._size = 0
        path = self._directory / chunk_name(self._chunk)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)


def _without_name(directory: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=directory, buffering=0)


def _check_name(name: str) -> None:
    for character, word in ((",", "comma"), ("\n", "newline"), ("\r", "carriage return")):
        if character in name:
            raise SegmentError(
                f"its name has a {word}, which a segment cannot store",
                hint="rename the column, such as with a transform or a flattenSpec",
            )


def _pwrite(fd: int, data: bytes | bytearray, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view = view[done:]
        at += done
