"""What goes wrong with a segment, said with the file and the column it is about."""

from __future__ import annotations

import binascii
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from overlord.errors import TaskFailed

DECODING_FAULTS = (
    ValueError,  # also UnicodeDecodeError and JSONDecodeError
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
    binascii.Error,
    zipfile.BadZipFile,
    pl.exceptions.PolarsError,  # an id outside its dictionary, a value that is not UTF-8
)


class SegmentError(TaskFailed):
    """A segment cannot be read, or cannot be written as asked; the message names file and column."""


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Turn whatever a decoder raises on bad bytes into a `SegmentError` that begins with `where`."""
    try:
        yield
    except SegmentError:
        raise
    except DECODING_FAULTS as fault:
        text = f"no {fault}" if type(fault) is KeyError else str(fault) or type(fault).__name__
        raise SegmentError(f"{where}: {text}") from fault
