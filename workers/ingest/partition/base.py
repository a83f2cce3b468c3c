"""What a way of parting is to the builder."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from overlord.model.shard_spec import ShardSpec

if TYPE_CHECKING:
    from workers.ingest.building.run import Run

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """How the rows of one time chunk are parted.

    Attributes
    ----------
    shard_specs : sequence of ShardSpec
        One a part; the claim of a segment puts in partition number and core set.
    label : callable
        From a stretch of the run (start, stop) to each row's place in `shard_specs`.
    """

    shard_specs: Sequence[ShardSpec]
    label: Callable[[int, int], Labels]


class Partitions(ABC):
    """A partitionsSpec.

    Attributes
    ----------
    perfect : bool
        Whether all rows of a chunk are rolled up before they are parted. If not, segments close when they are full.
    needs_counting : bool
        Whether Druid reads the input once more, for how many parts there are to be.
    """

    perfect: ClassVar[bool] = False

    @property
    def needs_counting(self) -> bool:
        """See the class."""
        return False

    @classmethod
    @abstractmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """From a partitionsSpec with all defaults."""

    def full(self, counts: Mapping[int, int]) -> bool:
        """Whether so many rows a chunk reach a limit."""
        return False

    def cut(
        self, counts: Mapping[int, int], chunks: npt.NDArray[np.int64], is_new: npt.NDArray[np.bool_]
    ) -> int | None:
        """How many of the rows at hand still go into the open segments; see `DynamicPartitions`."""
        return None

    def watch(self, rows: Run) -> None:  # noqa: B027  most need not
        """See rows in the order of the input, before they are rolled up."""

    def parts(self, run: Run, start: int, stop: int) -> Parts:
        """The parts of one chunk, which is rows `start` to `stop` of a run that is rolled up."""
        raise NotImplementedError


def java_round(value: float) -> int:
    """Math.round: halves go up."""
    return math.floor(value + 0.5)
