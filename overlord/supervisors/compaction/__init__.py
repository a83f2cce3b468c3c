"""Automatic compaction: which time chunks are compacted, in which order, and the tasks for them."""

from __future__ import annotations

from overlord.supervisors.compaction.scheduler import CompactionScheduler

__all__ = ["CompactionScheduler"]
