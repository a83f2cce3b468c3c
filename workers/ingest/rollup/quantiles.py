"""quantilesDoublesSketch: a sample of what was seen, from which quantiles follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.rollup.base import aggregators
from workers.ingest.rollup.sketches import Sketch, library, power_of_two
from workers.ingest.rollup.state import Array


@aggregators.add("quantilesDoublesSketch", "quantilesDoublesSketchMerge")
class QuantilesSketch(Sketch):
    """Of less than 2k items: `2, 3, 8, flags, u16 k, 0, 0, u64 count, f64 least, f64 greatest, items`, ascending."""

    kind = "COMPLEX<quantilesDoublesSketch>"
    head = 32
    dtype = np.dtype("<f8")

    def __init__(self, json: Mapping[str, Any]) -> None:
        super().__init__(str(json["name"]))
        self._k = int(json.get("k") or 128)
        self.need(power_of_two(self._k, 2, 1 << 15), "k", self._k, "a power of two from 2 to 32768")
        self._json = json
        self.most = 2 * self._k - 1

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> QuantilesSketch:
        return cls(json)

    def items(self, values: pl.Series) -> tuple[Array, Array]:
        numbers = values.fill_null(np.nan).to_numpy()
        row = np.flatnonzero(~np.isnan(numbers))
        return row, numbers[row]

    def kept(self, row: Array, item: Array) -> tuple[Array, Array]:
        order = np.lexsort((item, row))
        return row[order], item[order]

    def plain(self, head: npt.NDArray[np.uint8], sizes: Array) -> npt.NDArray[np.bool_]:
        like = (head[:, 0] == 2) & (head[:, 1] == 3) & (head[:, 2] == 8) & (head[:, 3] & 8 > 0)
        k = head[:, 4].astype(np.int64) | head[:, 5].astype(np.int64) << 8
        count = np.ascontiguousarray(head[:, 8:16]).view("<u8")[:, 0].astype(np.int64)
        return np.asarray(like & (k == self._k) & (count < 2 * self._k) & (sizes == self.head + 8 * count))

    def heads(self, counts: Array, row: Array, item: Array) -> npt.NDArray[np.uint8]:
        heads = np.zeros((len(counts), self.head), np.uint8)
        heads[:, :8] = np.frombuffer(bytes((2, 3, 8, 0x1A)) + self._k.to_bytes(2, "little") + bytes(2), np.uint8)
        heads[:, 8:16] = counts.astype("<u8").view(np.uint8).reshape(-1, 8)
        there = np.flatnonzero(counts)
        stops = np.cumsum(counts)[there]
        ends = np.stack((item[stops - counts[there]], item[stops - 1]), axis=1)
        heads[there, 16:] = ends.astype("<f8").view(np.uint8).reshape(-1, 16)
        return heads

    def merged(self, cells: Sequence[bytes], items: Array) -> bytes:
        sketches = library()
        whole = sketches.quantiles_doubles_sketch(self._k)
        for cell in cells:
            whole.merge(sketches.quantiles_doubles_sketch.deserialize(cell))
        if len(items):
            whole.update(np.ascontiguousarray(items, np.float64))
        return b"" if whole.is_empty() else bytes(whole.serialize())

    def combining(self) -> dict[str, Any]:
        made = {
            "type": "quantilesDoublesSketchMerge",
            "name": self.name,
            "k": self._k,
            "maxStreamLength": int(self._json.get("maxStreamLength") or 1_000_000_000),
            "fieldName": self.name,
        }
        return made if self._json.get("shouldFinalize") is not False else made | {"shouldFinalize": False}
