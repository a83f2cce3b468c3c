"""Rows and cells of CSV text.

Well-formed text (RFC 4180: a quote opens a cell right after a comma or newline, closes it right before one, and
is doubled inside) is told apart by `sound_rows` on whole arrays. Everything else is read by `CellSplitter`, row by
row: a quote that is not closed as it should be is an ordinary character, so that a stray one costs one row's
quoting and never the rows after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

QUOTE, COMMA, NEWLINE = b'"', b",", b"\n"
MAX_QUOTED_BYTES = 1 << 20

_Q, _C, _N = QUOTE[0], COMMA[0], NEWLINE[0]
_QUOTED = re.compile(rb'"((?:[^"]|"")*+)"(?=,|\Z)')
_LONE_QUOTE = re.compile(rb'(?:[^"]|"")*+"')


@dataclass(frozen=True, kw_only=True)
class SoundRows:
    """Where the rows of well-formed text lie.

    Attributes
    ----------
    ends : ndarray of int64
        Position of the newline that ends each row.
    lines : ndarray of int64
        Line at which each row starts, from 0.
    end : int
        Position after the last whole row; what follows starts a row whose quote is still open.
    newlines : int
        Newlines before `end`.
    """

    ends: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    end: int
    newlines: int

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Position of each row's first byte."""
        starts = np.empty_like(self.ends)
        starts[:1] = 0
        starts[1:] = self.ends[:-1] + 1
        return starts


def plain_rows(data: bytes) -> SoundRows:
    """Rows of text in which quotes, if any, mean nothing."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _N)
    return SoundRows(ends=ends, lines=np.arange(len(ends)), end=len(data), newlines=len(ends))


def sound_rows(data: bytes) -> SoundRows | None:
    """The whole rows of CSV text, or None if they are not well-formed (or there is none)."""
    text = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(text == _Q)
    newlines = np.flatnonzero(text == _N)
    outside = (np.searchsorted(quotes, newlines) & 1) == 0
    ends = newlines[outside]
    if not len(ends):
        return None
    end = int(ends[-1]) + 1
    if not _well_placed(text, quotes[quotes < end]):
        return None
    at = np.flatnonzero(outside)
    lines = np.zeros(len(ends), np.int64)
    lines[1:] = at[:-1] + 1
    return SoundRows(ends=ends, lines=lines, end=end, newlines=int(at[-1]) + 1)


def _well_placed(text: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp]) -> bool:
    opening, closing = quotes[0::2], quotes[1::2]
    if not len(opening):
        return True
    before = text[np.maximum(opening - 1, 0)]
    if opening[0] == 0:
        before[0] = _N
    after = text[closing + 1]  # there is one: the text goes on to a newline
    if not (_in(before).all() and _in(after).all()):
        return False
    cell_starts, cell_ends = opening[before != _Q], closing[after != _Q]
    return bool((cell_ends - cell_starts < MAX_QUOTED_BYTES).all())


def _in(bytes_: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    allowed: npt.NDArray[np.bool_] = (bytes_ == _C) | (bytes_ == _N) | (bytes_ == _Q)
    return allowed


class CellSplitter:
    """Splits text into rows and cells, whatever it looks like.

    Parameters
    ----------
    lines : list of bytes
        The text's lines, without newlines.
    last : bool
        Whether the text ends here; else an open quote at its end may still be closed.
    """

    def __init__(self, lines: list[bytes], last: bool) -> None:
        self.lines = lines
        self.last = last

    def row(self, at: int) -> tuple[list[bytes | None], int] | None:
        """The row that starts at line `at` and the line after it; None if that needs more text.

        An empty cell is None, a quoted empty one is b"".
        """
        line = self.lines[at]
        if QUOTE not in line:
            return [cell or None for cell in line.split(COMMA)], at + 1
        cells: list[bytes | None] = []
        position = 0
        while position <= len(line):
            if line[position : position + 1] != QUOTE:
                cell, position = _to_comma(line, position)
            elif match := _QUOTED.match(line, position):
                cell, position = match[1].replace(b'""', QUOTE), match.end() + 1
            elif _LONE_QUOTE.match(line, position + 1):
                cell, position = _stray(line, position)
            else:
                spanning = self._spanning(at, position)
                if spanning is None:
                    return None
                if spanning:
                    cell, at, position = spanning
                    line = self.lines[at]
                else:
                    cell, position = _stray(line, position)
            cells.append(cell)
        return cells, at + 1

    def _spanning(self, at: int, position: int) -> tuple[bytes, int, int] | tuple[()] | None:
        """The cell that opens here and closes in a later line: cell, line and position after it.

        Empty if there is no such cell, None if only more text can tell.
        """
        pieces = [self.lines[at][position + 1 :]]
        size = len(pieces[0]) + 1
        for number in range(at + 1, len(self.lines)):
            line = self.lines[number]
            if size > MAX_QUOTED_BYTES:
                return ()
            match = _LONE_QUOTE.match(line)
            if match is None:
                pieces.append(line)
                size += len(line) + 1
                continue
            end = match.end()
            if size + end > MAX_QUOTED_BYTES or line[end : end + 1] not in (b"", COMMA):
                return ()
            pieces.append(line[: end - 1])
            return NEWLINE.join(pieces).replace(b'""', QUOTE), number, end + 1
        return () if self.last or size > MAX_QUOTED_BYTES else None


def _to_comma(line: bytes, start: int) -> tuple[bytes | None, int]:
    """A cell without quotes around it."""
    end = line.find(COMMA, start)
    end = len(line) if end < 0 else end
    return line[start:end].replace(b'""', QUOTE) or None, end + 1


def _stray(line: bytes, start: int) -> tuple[bytes, int]:
    """A cell whose quotes are not placed as they should be, taken as Druid's parser takes it."""
    end = _end_of_stray(line, start)
    cell = line[start:end]
    if cell.count(QUOTE) > 1:
        cell = cell[1:].removesuffix(QUOTE)
    return cell.replace(b'""', QUOTE), end + 1


def _end_of_stray(line: bytes, start: int) -> int:
    quote = line.find(QUOTE, start + 1)
    inside = False
    while 0 <= quote < len(line) - 1:
        if not inside and line[quote + 1 : quote + 2] == COMMA:
            return quote + 1
        while True:
            quote = line.find(QUOTE, quote + 1)
            inside = not inside
            if not (0 <= quote < len(line) - 1 and line[quote + 1 : quote + 2] == QUOTE):
                break
    return len(line)
