"""The first rows of an input, raw and parsed, in the shape of Druid's sampler.

The same sources, formats, transforms and aggregators as those of ingestion; only what they give is shown row by row.
"""

from __future__ import annotations

from workers.sampling.dry_run import dry_run
from workers.sampling.sampler import sample

__all__ = ["dry_run", "sample"]
