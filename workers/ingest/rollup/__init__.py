"""Rows that share a truncated time and all dimensions become one: which they are, and what becomes of their metrics.

`ordering` finds the order and the groups, an `Aggregator` folds one metric over them. Both work on whole
columns. An aggregator's state is columns of one entry a row, so that the same `fold` serves raw rows, rows
rolled up earlier, and rows read back from a spilled run.
"""

from __future__ import annotations

from workers.ingest.rollup import first_last as first_last
from workers.ingest.rollup import hll as hll
from workers.ingest.rollup import hyper_unique as hyper_unique
from workers.ingest.rollup import numeric as numeric
from workers.ingest.rollup import quantiles as quantiles
from workers.ingest.rollup import theta as theta
from workers.ingest.rollup.base import Aggregator, Complex, aggregators
from workers.ingest.rollup.ordering import Groups, order_rows, singles
from workers.ingest.rollup.state import Cells, State

__all__ = ["Aggregator", "Cells", "Complex", "Groups", "State", "aggregators", "order_rows", "singles"]
