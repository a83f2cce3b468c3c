"""The scheduled_batch supervisor: tasks by the clock."""

from __future__ import annotations

from overlord.supervisors.scheduled.supervisor import ScheduledBatchSupervisor

__all__ = ["ScheduledBatchSupervisor"]
