"""HLLSketchBuild and HLLSketchMerge: HyperLogLog sketches of the DataSketches library.

An item is a coupon: the register in its low 26 bits, of which a sketch looks at the lowest `lgK`, and above them the
rank. Druid hashes texts as UTF-16, unless it is told otherwise, which the library's own update would not.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.rollup.base import aggregators
from workers.ingest.rollup.sketches import Sketch, hashes, library
from workers.ingest.rollup.state import Array, Cells, State

_TYPES = ("HLL_4", "HLL_6", "HLL_8")
_SET_FROM = 8
"""The least lgK whose sketches begin as sets of coupons."""
_COMPACT, _MERGED = 8, 16
_HLL_8 = 2 | 2 << 2


@aggregators.add("HLLSketchBuild", "HLLSketchMerge")
class HllSketch(Sketch):
    """A sketch of few coupons: `3, 1, 7, lgK, lg of the table, 8, 0, mode, i32 count, coupons`."""

    kind = "COMPLEX<HLLSketch>"
    head = 12
    dtype = np.dtype("<u4")

    def __init__(self, json: Mapping[str, Any]) -> None:
        super().__init__(str(json["name"]))
        self._lg_k = int(json.get("lgK") or 12)
        self._target = str(json.get("tgtHllType") or _TYPES[0]).upper()
        self._encoding = str(json.get("stringEncoding") or "utf16le").lower()
        self.need(4 <= self._lg_k <= 21, "lgK", self._lg_k, "from 4 to 21")
        self.need(self._target in _TYPES, "tgtHllType", self._target, f"one of {', '.join(_TYPES)}")
        self._json = json
        self._mode = 1 | _TYPES.index(self._target) << 2
        self.most = 3 << self._lg_k - 5 if self._lg_k >= _SET_FROM else 0

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> HllSketch:
        return cls(json)

    def items(self, values: pl.Series) -> tuple[Array, Array]:
        row, first, second = hashes(values, utf16=self._encoding == "utf16le")
        zeros = np.minimum(_leading_zeros(second), 62).astype(np.uint64) + np.uint64(1)
        return row, (zeros << np.uint64(26) | first & np.uint64((1 << 26) - 1)).astype(np.uint32)

    def plain(self, head: npt.NDArray[np.uint8], sizes: Array) -> npt.NDArray[np.bool_]:
        like = (head[:, 0] == 3) & (head[:, 1] == 1) & (head[:, 2] == 7) & (head[:, 3] == self._lg_k)
        return np.asarray(like & (head[:, 5] & _COMPACT > 0) & (head[:, 7] & 3 == 1))

    def heads(self, counts: Array, row: Array, item: Array) -> npt.NDArray[np.uint8]:
        heads = np.zeros((len(counts), self.head), np.uint8)
        heads[:, :8] = np.frombuffer(self._head(0)[:8], np.uint8)
        table = np.full(len(counts), 5)
        while (small := 4 * counts > 3 << table).any():
            table += small
        heads[:, 4] = table
        heads[:, 8:] = counts.astype("<u4").view(np.uint8).reshape(-1, 4)
        return heads

    def _head(self, count: int) -> bytes:
        table = 5
        while 4 * count > 3 << table:
            table += 1
        return bytes((3, 1, 7, self._lg_k, table, _COMPACT, 0, self._mode)) + count.to_bytes(4, "little")

    def kept(self, row: Array, item: Array) -> tuple[Array, Array]:
        """Each coupon once, by register: who adds them up must not meet the low ranks first."""
        row, turned = super().kept(row, item << np.uint32(6) | item >> np.uint32(26))
        return row, turned >> np.uint32(6) | turned << np.uint32(26)

    def merged(self, cells: Sequence[bytes], items: Array) -> bytes:
        sketches = library()
        union = sketches.hll_union(self._lg_k)
        if len(items) > self.most:
            cells = [*cells, self._registers(items)]
        elif len(items):
            cells = [*cells, self._head(len(items)) + items.astype(self.dtype).tobytes()]
        for cell in cells:
            union.update(sketches.hll_sketch.deserialize(cell))
        result = union.get_result(getattr(sketches.tgt_hll_type, self._target))
        return b"" if result.is_empty() else bytes(result.serialize_compact())

    def _registers(self, items: Array) -> bytes:
        """Coupons as a sketch of type HLL_8, a byte a register, marked as one that was merged."""
        ranks = np.zeros(1 << self._lg_k, np.uint8)
        np.maximum.at(ranks, items & np.uint32(len(ranks) - 1), (items >> np.uint32(26)).astype(np.uint8))
        powers = np.exp2(-ranks.astype(np.float64))
        low = ranks < 32
        head = struct.pack("<8B3d2i", 10, 1, 7, self._lg_k, 0, _MERGED | _COMPACT, 0, _HLL_8, 0.0,
                           powers[low].sum(), powers[~low].sum(), int((ranks == 0).sum()), 0)  # fmt: skip
        return head + ranks.tobytes()

    def stored(self, state: State) -> tuple[Cells, npt.NDArray[np.bool_] | None]:
        nothing = np.diff(state.stored.ends[:], prepend=0) == 0
        return state.stored, nothing if nothing.any() else None

    def combining(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "type": "HLLSketchMerge",
            "name": self.name,
            "fieldName": self.name,
            "lgK": self._lg_k,
            "tgtHllType": self._target,
        }
        if self._encoding != "utf16le":
            made["stringEncoding"] = self._encoding
        if self._json.get("shouldFinalize") is False:
            made["shouldFinalize"] = False
        if self._json.get("round"):
            made["round"] = True
        return made


def _leading_zeros(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    filled = words.copy()
    for bits in (1, 2, 4, 8, 16, 32):
        filled |= filled >> np.uint64(bits)
    return np.uint8(64) - np.bitwise_count(filled)
