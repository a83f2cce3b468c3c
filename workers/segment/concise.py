"""CONCISE bitmaps, read only: big-endian 32-bit words over blocks of 31 rows.

A word with the top bit set is a literal: its low 31 bits are the block's rows. Otherwise it is a run of
`(word & 0x1FFFFFF) + 1` equal blocks, all ones if bit 30 is set, else all zeros; bits 25 to 29, when not zero, name
(from 1) the one row of the first block that is flipped.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WORD_ROWS = 31
LITERAL = 0x80000000
ONES = 0x40000000


def decode(data: bytes | memoryview) -> npt.NDArray[np.uint32]:
    """Row numbers of the set bits, ascending, uint32."""
    words = np.frombuffer(data, ">u4").astype(np.int64)
    literal = (words & LITERAL) != 0
    blocks = np.where(literal, 1, (words & 0x1FFFFFF) + 1)
    first_row = (np.cumsum(blocks) - blocks) * WORD_ROWS
    flipped = ~literal & ((words >> 25) & 31 != 0)
    ones = ~literal & (words & ONES != 0)
    parts = [_literals(words[literal], first_row[literal])]
    parts += [first_row[flipped & ~ones] + ((words[flipped & ~ones] >> 25) & 31) - 1]
    for i in np.flatnonzero(ones):
        rows = np.arange(first_row[i], first_row[i] + blocks[i] * WORD_ROWS)
        parts.append(np.delete(rows, ((words[i] >> 25) & 31) - 1) if flipped[i] else rows)
    return np.sort(np.concatenate(parts)).astype(np.uint32)


def _literals(words: npt.NDArray[np.int64], first_row: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    word, bit = np.nonzero((words[:, None] >> np.arange(WORD_ROWS)) & 1)
    rows: npt.NDArray[np.int64] = first_row[word] + bit
    return rows
