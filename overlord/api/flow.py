"""A long answer that goes out while it is still made.

A thread makes it as fast as it can; the answer follows behind at the pace of its client, and what a slow one has not
taken goes to a file without a name. So the making, and the database connection it takes, lasts no longer for a slow
client, and for a fast one reading and making overlap. What fails after the first bytes are out cuts the connection: a
part is never taken for all.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from typing import IO

from flask import Response

from overlord.api.wire import IN_MEMORY, JSON, Coding, raw
from overlord.http import PIECE

log = logging.getLogger(__name__)

Pieces = Generator[bytes, None, None]


def flowing(pieces: Pieces) -> Response:
    """A JSON answer of `pieces`, with its length if it is short.

    What is raised by the first ones is raised here, and can become an error answer.
    """
    begun, size = list[bytes](), 0
    for piece in pieces:
        begun.append(piece)
        size += len(piece)
        if size > PIECE:
            break
    else:
        return raw(b"".join(begun))
    coding = Coding()
    flow = _Flow(begun, pieces, coding)
    response = Response(flow.follow(), content_type=JSON)
    response.call_on_close(flow.close)
    return coding.tell(response)


class _Flow:
    def __init__(self, begun: list[bytes], pieces: Pieces, coding: Coding) -> None:
        self._coding = coding
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._file: IO[bytes] | None = None  # what comes after those that wait
        self._written = 0
        self._ended = self._left = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._make, args=(begun, pieces), name="answer", daemon=True)
        self._thread.start()

    def _make(self, begun: list[bytes], pieces: Pieces) -> None:
        try:
            with closing(pieces):
                for piece in chain(begun, pieces):
                    if self._left:
                        break
                    self._put(self._coding.coded(piece))
            self._put(self._coding.rest())
        except BaseException as error:
            log.exception("An answer ended on its way")
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _put(self, data: bytes) -> None:
        if not data:  # it would end a chunked answer
            return
        if self._file is None and self._waiting_bytes > IN_MEMORY:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the answer
        if self._file is not None:
            self._file.write(data)
            self._file.flush()
        with self._changed:
            if self._file is None:
                self._waiting.append(data)
                self._waiting_bytes += len(data)
            else:
                self._written += len(data)
            self._changed.notify()

    def follow(self) -> Iterator[bytes]:
        """What is made, as it is made."""
        at = 0
        while True:
            with self._changed:
                while not self._waiting and self._written == at and not self._ended:
                    self._changed.wait()
                taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
                there = self._written
            if self._error is not None:
                raise self._error
            if not taken and there == at:
                return
            yield from taken
            while at < there:
                assert self._file is not None
                piece = os.pread(self._file.fileno(), min(PIECE, there - at), at)
                at += len(piece)
                yield piece

    def close(self) -> None:
        """The client has all of it, or is gone."""
        self._left = True
        self._thread.join()
        if self._file is not None:
            self._file.close()
