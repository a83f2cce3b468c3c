"""Blocks of decompressed bytes, read by a thread while the block before is being parsed.

Reading and decompressing leave the interpreter lock to others, so that a task uses two cores. Never more than
`AHEAD` blocks wait.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from overlord.errors import TaskFailed
from workers.ingest.sources.base import ByteStream, InputObject
from workers.ingest.sources.compression import plain

AHEAD = 1
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some bytes of one object.

    Attributes
    ----------
    item : InputObject
        Where they come from.
    data : bytes
        As many as asked for, fewer only in the object's last block.
    first, last : bool
        Whether they are the object's first, its last; each object has exactly one of both.
    """

    item: InputObject
    data: bytes
    first: bool
    last: bool


def blocks(objects: Iterable[InputObject], block_bytes: int) -> Generator[Block, None, None]:
    """All bytes of all objects, in order; see `ahead`."""
    return ahead(read_blocks(objects, block_bytes))


def ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items, made by a thread while the one before is worked on.

    Closing the iterator ends the thread. Errors of the thread come out here.
    """
    ready: queue.Queue[T | _Failed | None] = queue.Queue(AHEAD)
    stop = threading.Event()

    def put(item: T | _Failed | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(None)
        except BaseException as error:
            put(_Failed(error))

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (got := ready.get()) is not None:
            if isinstance(got, _Failed):
                raise got.error
            yield got
    finally:
        stop.set()


@dataclass(frozen=True)
class _Failed:
    """What the thread ended with."""

    error: BaseException


def read_blocks(objects: Iterable[InputObject], block_bytes: int) -> Iterator[Block]:
    """The same without a thread."""
    for item in objects:
        try:
            stream = plain(item.open(), item.name)
            try:
                yield from _blocks_of(item, stream, block_bytes)
            finally:
                stream.close()
        except OSError as error:
            raise TaskFailed(f"Cannot read {item.name}: {error.strerror or error}") from error


def _blocks_of(item: InputObject, stream: ByteStream, block_bytes: int) -> Iterator[Block]:
    first = True
    data = _fill(stream, block_bytes)
    while True:
        after = _fill(stream, block_bytes) if len(data) == block_bytes else b""
        yield Block(item=item, data=data, first=first, last=not after)
        if not after:
            return
        data, first = after, False


def _fill(stream: ByteStream, count: int) -> bytes:
    pieces: list[bytes] = []
    while count > 0:
        piece = stream.read(min(count, 1 << 20))
        if not piece:
            break
        pieces.append(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
