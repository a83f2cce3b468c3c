"""murmur3_x64_128 of many byte strings at once.

Sixteen bytes a step, little-endian; all strings that are long enough take a step together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.uint64]

_C1, _C2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_FIVE, _A, _B = np.uint64(5), np.uint64(0x52DCE729), np.uint64(0x38495AB5)
_MIX1, _MIX2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_TAIL_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)


def murmur3_128(data: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], seed: int = 0) -> tuple[Longs, Longs]:
    """Hash the strings that lie one after the other in `data`, and end at `ends`.

    Returns
    -------
    h1, h2 : ndarray of uint64, shape (strings,)
    """
    size = np.diff(ends, prepend=0)
    order = np.argsort(-size, kind="stable")
    start, size = (ends - size)[order], size[order]
    steps = size // 16
    # the eight bytes at each byte, so that strings may begin anywhere
    words: Longs = np.ndarray((len(data) + 16,), "<u8", data.tobytes() + bytes(24), strides=(1,))
    h1, h2 = np.full(len(size), seed, np.uint64), np.full(len(size), seed, np.uint64)
    alive = np.cumsum(np.bincount(steps)[::-1])[::-1] if len(size) else np.empty(0, np.int64)
    for step, live in enumerate(alive[1:].tolist()):
        at = start[:live] + 16 * step
        a = h1[:live] ^ _first(words[at])
        a = (_rotated(a, 27) + h2[:live]) * _FIVE + _A
        b = h2[:live] ^ _second(words[at + 8])
        h2[:live] = (_rotated(b, 31) + a) * _FIVE + _B
        h1[:live] = a
    left, at = size % 16, start + 16 * steps
    h2 ^= _second(words[at + 8] & _TAIL_MASKS[np.maximum(left - 8, 0)])
    h1 ^= _first(words[at] & _TAIL_MASKS[np.minimum(left, 8)])
    return _finished(h1, h2, size, order)


def _finished(h1: Longs, h2: Longs, size: npt.NDArray[np.int64], order: npt.NDArray[np.intp]) -> tuple[Longs, Longs]:
    h1 ^= size.astype(np.uint64)
    h2 ^= size.astype(np.uint64)
    h1 += h2
    h2 += h1
    h1, h2 = _mixed(h1), _mixed(h2)
    h1 += h2
    h2 += h1
    first, second = np.empty_like(h1), np.empty_like(h2)
    first[order], second[order] = h1, h2
    return first, second


def _first(words: Longs) -> Longs:
    return _rotated(words * _C1, 31) * _C2


def _second(words: Longs) -> Longs:
    return _rotated(words * _C2, 33) * _C1


def _rotated(words: Longs, bits: int) -> Longs:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))


def _mixed(h: Longs) -> Longs:
    h ^= h >> np.uint64(33)
    h *= _MIX1
    h ^= h >> np.uint64(33)
    h *= _MIX2
    h ^= h >> np.uint64(33)
    return h
