"""first and last: the value of the earliest or the latest row, with its time.

Of rows of equal time the first one, or the last one, in their order counts. A row without a time is passed over, and
so is a text that is null; a number that is null at that time is the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from workers.ingest.rollup.base import Aggregator, Complex, aggregators
from workers.ingest.rollup.ordering import Groups
from workers.ingest.rollup.state import Array, Cells, State

_LONG_MAX, _LONG_MIN = 2**63 - 1, -(2**63)
_FARTHEST = 2**62 - 1  # the latest time of Druid's, and the text's without a row
_HEAD = np.dtype([("time", ">i8"), ("length", ">i4")])


class _Pair(Aggregator):
    """State: `time`, and what a row has at that time; the time of a row that does not count is the worst."""

    type: ClassVar[str]
    last: ClassVar[bool]
    worst: ClassVar[int]

    def __init__(self, name: str, time_column: str) -> None:
        super().__init__(name)
        self.time_column = time_column

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> _Pair:
        return cls(json["name"], str(json.get("timeColumn") or "__time"))

    def fold(self, state: State, groups: Groups) -> State:
        return state.take(groups.order if groups.single else self._winners(state.array("time"), groups))

    def _winners(self, times: Array, groups: Groups) -> npt.NDArray[np.intp]:
        """The row of each group that counts."""
        ordered = times[groups.order]
        if self.last:
            best = np.maximum.reduceat(ordered, groups.starts)
            there = np.flatnonzero(ordered == best[groups.ids])
            stops = np.append(groups.starts[1:], len(ordered))
            return groups.order[there[np.searchsorted(there, stops) - 1]]
        best = np.minimum.reduceat(ordered, groups.starts)
        there = np.flatnonzero(ordered == best[groups.ids])
        return groups.order[there[np.searchsorted(there, groups.starts)]]

    def _times(self, pairs: pl.Series | None, rows: int) -> Array:
        if pairs is None:
            return np.full(rows, self.worst, np.int64)
        times: Array = pairs.struct.field("lhs").fill_null(self.worst).to_numpy()
        return times

    def combining(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "name": self.name,
            "fieldName": self.name,
            "timeColumn": self.time_column,
        }


class NumberPair(_Pair):
    """Pairs of a time and a number."""

    dtype: ClassVar[np.dtype[Any]]

    @property
    def type_name(self) -> str:
        """Druid's name of the column's type."""
        return self.kind.removeprefix("COMPLEX<").removesuffix(">")

    def lift(self, values: pl.Series | None, rows: int) -> State:
        times = self._times(values, rows)
        numbers = None if values is None else values.struct.field("rhs")
        if numbers is None or numbers.null_count() == rows:
            nothing = {"values": np.zeros(rows, self.dtype), "valid": np.zeros(rows, np.bool_)}
            return State(arrays={"time": times, **nothing})
        arrays = {"time": times, "values": numbers.fill_null(0).to_numpy().astype(self.dtype, copy=False)}
        if numbers.null_count():
            arrays["valid"] = numbers.is_not_null().to_numpy()
        return State(arrays=arrays)

    def shown(self, state: State) -> list[Any]:
        values = super().shown(state)
        return [{"lhs": t, "rhs": v} for t, v in zip(state.array("time").tolist(), values, strict=True)]


class TextPair(_Pair, Complex):
    """Pairs of a time and a text."""

    kind = "COMPLEX<serializablePairLongString>"

    def __init__(self, name: str, time_column: str, most_bytes: int) -> None:
        super().__init__(name, time_column)
        self.most_bytes = most_bytes

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> TextPair:
        most = json.get("maxStringBytes")
        return cls(json["name"], str(json.get("timeColumn") or "__time"), 1024 if most is None else int(most))

    def lift(self, values: pl.Series | None, rows: int) -> State:
        times = self._times(values, rows)
        if values is None or (texts := values.struct.field("rhs")).null_count() == rows:
            return State(arrays={"time": times, "valid": np.zeros(rows, np.bool_)}, cells=Cells.empty(rows))
        texts = _chopped(texts, self.most_bytes)
        sizes = texts.str.len_bytes().fill_null(0).to_numpy()
        joined: str = texts.fill_null("").str.join("").item()
        cells = Cells(ends=np.cumsum(sizes, dtype=np.int64), data=np.frombuffer(joined.encode(), np.uint8))
        valid = {"valid": texts.is_not_null().to_numpy()} if texts.null_count() else {}
        return State(arrays={"time": times, **valid}, cells=cells)

    def stored(self, state: State) -> tuple[Cells, npt.NDArray[np.bool_] | None]:
        """Time, length and text of each row; no text is one of length 0."""
        sizes = np.diff(state.stored.ends[:], prepend=0)
        heads = np.zeros(len(sizes), _HEAD)
        heads["time"], heads["length"] = state.array("time"), sizes
        width = _HEAD.itemsize
        ends = np.cumsum(sizes + width)
        begins = ends - sizes - width
        data = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
        data[begins[:, None] + np.arange(width)] = heads.view(np.uint8).reshape(-1, width)
        texts = state.stored.data[:]
        data[np.repeat(begins + width - (state.stored.ends[:] - sizes), sizes) + np.arange(len(texts))] = texts
        return Cells(ends=ends, data=data), None

    def shown(self, state: State) -> list[Any]:
        texts = [text.decode() for text in state.stored.to_list()]
        found = zip(state.array("time").tolist(), texts, state.flags("valid").tolist(), strict=True)
        return [{"lhs": time, "rhs": text if there else None} for time, text, there in found]

    def combining(self) -> dict[str, Any]:
        return super().combining() | {"maxStringBytes": self.most_bytes}


def _chopped(texts: pl.Series, most: int) -> pl.Series:
    """Texts of at most so many bytes."""
    long = np.flatnonzero((texts.str.len_bytes().fill_null(0) > most).to_numpy())
    if not len(long):
        return texts
    return texts.scatter(long, [chop(text, most) for text in texts.gather(long).to_list()])


def chop(text: str, most: int) -> str:
    """As many whole characters as fit into so many bytes.

    Druid first cuts to so many of UTF-16's units; half a pair that this leaves at the end is a question mark.
    """
    units = text.encode("utf-16-le")
    if len(units) > 2 * most:
        text = units[: 2 * most].decode("utf-16-le", "replace").replace("\ufffd", "?") if _splits(units, most) else text
    return text.encode()[:most].decode("utf-8", "ignore")


def _splits(units: bytes, most: int) -> bool:
    if not most:
        return False
    return 0xD800 <= int.from_bytes(units[2 * most - 2 : 2 * most], "little") < 0xDC00


def _register(name: str, kind: str, dtype: Any) -> None:
    for what, last in (("First", False), ("Last", True)):
        common = {"type": name + what, "last": last, "worst": _LONG_MIN if last else _LONG_MAX}
        if dtype is None:
            common["worst"] = -_FARTHEST - 1 if last else _FARTHEST
            made: type[Aggregator] = type(f"String{what}", (TextPair,), common)
        else:
            common |= {"kind": f"COMPLEX<serializablePairLong{kind}>", "dtype": np.dtype(dtype)}
            made = type(f"{kind}{what}", (NumberPair,), common)
        aggregators.add(name + what)(made)


for _name, _kind, _dtype in (
    ("long", "Long", np.int64),
    ("double", "Double", np.float64),
    ("float", "Float", np.float32),
    ("string", "String", None),
):
    _register(_name, _kind, _dtype)
