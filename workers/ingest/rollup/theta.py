"""thetaSketch: the least hashes of what was seen, from which the number of distinct values follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.rollup.base import aggregators
from workers.ingest.rollup.sketches import Sketch, hashes, library, power_of_two
from workers.ingest.rollup.state import Array

_HEAD = bytes.fromhex("02030300001acc93000000000000803f")
_COMPACT = 8


@aggregators.add("thetaSketch")
class ThetaSketch(Sketch):
    """Items are hashes of 63 bits, ascending; `u32 count` lies at 8 of the head."""

    kind = "COMPLEX<thetaSketch>"
    head = len(_HEAD)
    dtype = np.dtype("<u8")

    def __init__(self, json: Mapping[str, Any]) -> None:
        super().__init__(str(json["name"]))
        self.most = int(json.get("size") or 16384)
        self.need(power_of_two(self.most, 16, 1 << 26), "size", self.most, "a power of two from 16 to 67108864")
        self._json = json

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> ThetaSketch:
        return cls(json)

    def items(self, values: pl.Series) -> tuple[Array, Array]:
        row, first, _ = hashes(values, utf16=False)
        return row, first >> np.uint64(1)

    def plain(self, head: npt.NDArray[np.uint8], sizes: Array) -> npt.NDArray[np.bool_]:
        like = (head[:, 0] == _HEAD[0]) & (head[:, 1] == _HEAD[1]) & (head[:, 2] == _HEAD[2])
        return np.asarray(like & (head[:, 5] & _COMPACT > 0))

    def heads(self, counts: Array, row: Array, item: Array) -> npt.NDArray[np.uint8]:
        heads = np.tile(np.frombuffer(_HEAD, np.uint8), (len(counts), 1))
        heads[:, 8:12] = counts.astype("<u4").view(np.uint8).reshape(-1, 4)
        return heads

    def merged(self, cells: Sequence[bytes], items: Array) -> bytes:
        sketches = library()
        union = sketches.theta_union(self.most.bit_length() - 1)
        if len(items):
            items = np.unique(items)
            head = _HEAD[:8] + len(items).to_bytes(4, "little") + _HEAD[12:]
            cells = [*cells, head + items.astype(self.dtype).tobytes()]
        for cell in cells:
            union.update(sketches.compact_theta_sketch.deserialize(cell))
        result = union.get_result()
        return b"" if result.is_empty() else bytes(result.serialize())

    def combining(self) -> dict[str, Any]:
        made = {"type": "thetaSketch", "name": self.name, "fieldName": self.name, "size": self.most}
        if self._json.get("shouldFinalize") is False:
            made["shouldFinalize"] = False
        if self._json.get("errorBoundsStdDev") is not None:
            made["errorBoundsStdDev"] = self._json["errorBoundsStdDev"]
        return made
