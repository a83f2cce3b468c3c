"""Formats whose rows are lines: cutting blocks at line ends, and counting lines and bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import numpy.typing as npt
import polars as pl

from overlord.errors import TaskFailed
from workers.ingest.batch import BadRow
from workers.ingest.formats.base import InputFormat, RawBatch, RawChunk, Rows
from workers.ingest.sources import Block, InputObject, blocks

MAX_ROW_BYTES = 128 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What a reader made of some lines.

    Attributes
    ----------
    columns : mapping of str to Series
        Raw columns, as long as `lines`.
    lines : ndarray of int64
        For each good row its line, counted from 0 at the start of the text.
    rows : Rows
        The good rows.
    bad : list of (int, str, str)
        Line, text and message of each row that could not be read.
    used : int
        Lines read, the unread rest excluded.
    rest : bytes
        What has to wait for more bytes: the start of a row that spans lines.
    """

    columns: Mapping[str, pl.Series]
    lines: npt.NDArray[np.int64]
    rows: Rows
    bad: list[tuple[int, str, str]] = field(default_factory=list)
    used: int
    rest: bytes = b""


class LineReader(ABC):
    """Reads the lines of one file."""

    @abstractmethod
    def parse(self, data: bytes, last: bool) -> Parsed | None:
        """Read whole lines.

        Parameters
        ----------
        data : bytes
            Ends with a newline. Never empty. Carriage returns before newlines are gone.
        last : bool
            Whether the file ends here.

        Returns
        -------
        Parsed or None
            None if nothing can be said before more bytes are there.
        """


class LineFormat(InputFormat):
    """A format read line by line, as UTF-8."""

    @abstractmethod
    def reader(self, wanted: Collection[str] | None) -> LineReader:
        """A reader for a new file."""

    def read(
        self, objects: Iterable[InputObject], *, chunk_bytes: int, wanted: Collection[str] | None = None
    ) -> Iterator[RawChunk]:
        names: list[str] = []
        cutter = _Cutter()
        with closing(blocks(objects, chunk_bytes)) as source:
            for block in source:
                if block.first:
                    names.append(block.item.name)
                    cutter = _Cutter(reader=self.reader(wanted))
                if (chunk := cutter.feed(block, tuple(names))) is not None:
                    yield chunk


@dataclass
class _Cutter:
    """The state of one file between two blocks.

    A row that is longer than a block waits in pieces, and is looked at again only when it may have become whole:
    when a line has ended, or twice as much is there as was not enough before. So its bytes are copied a few times
    only.
    """

    reader: LineReader | None = None
    pieces: list[bytes] = field(default_factory=list)
    held: int = 0
    enough: int = len(_BOM)
    started: bool = False
    line: int = 1
    read: int = 0

    def feed(self, block: Block, files: tuple[str, ...]) -> RawChunk | None:
        """The rows that are complete with this block."""
        self.read += len(block.data)
        self.pieces.append(block.data)
        self.held += len(block.data)
        if not block.last and (self.held < self.enough or b"\n" not in block.data):
            self._check(block)
            return None
        data = b"".join(self.pieces)
        if not self.started:
            data = data.removeprefix(_BOM)
            self.started = True
        data, tail = _cut(data, block.last)
        if not data:
            self._keep(b"", tail, block)
            return self._empty(block, files) if block.last and self.read else None
        assert self.reader is not None
        parsed = self.reader.parse(data, block.last)
        if parsed is None:
            self._keep(data, tail, block, wait=True)
            return None
        self._keep(parsed.rest, tail, block, wait=not parsed.used)
        return self._chunk(parsed, block, files)

    def _keep(self, rest: bytes, tail: bytes, block: Block, *, wait: bool = False) -> None:
        """Keep lines that were not enough, and the start of the line after them."""
        self.pieces = [each for each in (rest, tail) if each]
        self.held = len(rest) + len(tail)
        self.enough = 2 * self.held if wait else 0
        self._check(block)

    def _check(self, block: Block) -> None:
        if self.held > MAX_ROW_BYTES:
            raise TaskFailed(
                f"Cannot read {block.item.name}: the row at line {self.line} is longer than {MAX_ROW_BYTES >> 20} MiB"
            )

    def _chunk(self, parsed: Parsed, block: Block, files: tuple[str, ...]) -> RawChunk:
        name = block.item.name
        bad = [
            BadRow(kind="unparseable", input=text, details=(message,), file=name, line=self.line + at)
            for at, text, message in parsed.bad
        ]
        chunk = RawChunk(
            batch=RawBatch(
                columns=parsed.columns,
                file=np.full(len(parsed.lines), len(files) - 1, np.int32),
                line=parsed.lines + self.line,
                files=files,
                rows=parsed.rows,
                uri=block.item.uri,
            ),
            bad=bad,
            bytes=self.read,
            unparseable=len(bad),
        )
        self.read = 0
        self.line += parsed.used
        return chunk

    def _empty(self, block: Block, files: tuple[str, ...]) -> RawChunk:
        nothing = Parsed(columns={}, lines=np.empty(0, np.int64), rows=NoRows(), used=0)
        return self._chunk(nothing, block, files)


def _cut(data: bytes, last: bool) -> tuple[bytes, bytes]:
    """Whole lines, with a newline at the end of the last one, and the start of the line after them."""
    end = len(data) if last else data.rfind(b"\n") + 1
    tail = data[end:]
    data = data[:end] if tail else data
    if data and not data.endswith(b"\n"):
        data += b"\n"
    return data.replace(b"\r\n", b"\n") if b"\r" in data else data, tail


class Lines(Sequence[bytes]):
    """The lines of a text that ends with a newline, cut when the first one is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._count = data.count(b"\n")
        self._lines: list[bytes] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if self._lines is None:
            self._lines = self._data.split(b"\n")[:-1]
        return self._lines[at]


class NoRows:
    """The rows of an empty batch."""

    declared: tuple[str, ...] = ()

    def event(self, row: int) -> dict[str, object]:
        raise IndexError(row)

    def raw(self, row: int) -> dict[str, object]:
        raise IndexError(row)

    def discover(self, known: Collection[str], rows: npt.NDArray[np.intp]) -> list[str]:
        return []
