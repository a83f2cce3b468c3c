"""murmur3_32 of many byte strings at once.

Four bytes a step, little-endian; all strings that are long enough take a step together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_C1 = np.uint32(0xCC9E2D51)
_C2 = np.uint32(0x1B873593)
_TAIL_MASKS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)

Words = npt.NDArray[np.uint32]


def murmur3_32(data: bytes, lengths: npt.NDArray[np.integer], seed: int = 0) -> npt.NDArray[np.int32]:
    """Hash the strings that lie one after the other in `data`.

    Parameters
    ----------
    data : bytes
    lengths : ndarray of integers, shape (strings,)

    Returns
    -------
    ndarray of int32, shape (strings,)
        As Java has it, signed.
    """
    size = lengths.astype(np.int64)
    order = np.argsort(-size, kind="stable")
    start = (np.cumsum(size) - size)[order]
    size = size[order]
    steps = size // 4
    # the word at each byte, so that strings may begin anywhere
    words: Words = np.ndarray((len(data) + 1,), "<u4", data + bytes(4), strides=(1,))
    state = np.full(len(size), seed, np.uint32)
    alive = np.cumsum(np.bincount(steps)[::-1])[::-1] if len(size) else np.empty(0, np.int64)
    with np.errstate(over="ignore"):
        for step, live in enumerate(alive[1:].tolist()):
            hashed = state[:live] ^ _scramble(words[start[:live] + 4 * step])
            state[:live] = _rotated(hashed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
        state ^= _scramble(words[start + 4 * steps] & _TAIL_MASKS[size % 4])
        state ^= size.astype(np.uint32)
        state = (state ^ (state >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        state = (state ^ (state >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        state ^= state >> np.uint32(16)
    out = np.empty(len(size), np.int32)
    out[order] = state.view(np.int32)
    return out


def buckets_of(hashes: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int32]:
    """`abs(hash % count)`, where the remainder has the sign of the hash, as in Java."""
    return np.abs(np.fmod(hashes.astype(np.int64), count)).astype(np.int32)


def _scramble(words: Words) -> Words:
    return _rotated(words * _C1, 15) * _C2


def _rotated(words: Words, bits: int) -> Words:
    return (words << np.uint32(bits)) | (words >> np.uint32(32 - bits))
