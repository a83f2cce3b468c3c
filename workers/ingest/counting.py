"""Streams that tell how much of an input is read, as it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from workers.ingest.sources import ByteStream, InputObject


@dataclass
class BytesRead:
    """How much was read so far."""

    count: int = 0

    def over(self, objects: Iterable[InputObject]) -> Iterator[InputObject]:
        """The same objects; what is read of them counts."""
        for item in objects:
            yield replace(item, open=lambda item=item: _Counted(item.open(), self))  # type: ignore[misc]


class _Counted:
    def __init__(self, stream: ByteStream, total: BytesRead) -> None:
        self._stream = stream
        self._total = total

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._total.count += len(data)
        return data

    def close(self) -> None:
        self._stream.close()
