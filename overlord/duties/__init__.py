"""Clean-up that runs by itself on the server that leads: each duty a class filed in `duties`, in its own file."""

from __future__ import annotations

import importlib

from overlord.duties.base import Duty, Run, duties

__all__ = ["Duty", "Run", "duties"]

for _module in (
    "audit",
    "compaction_configs",
    "datasource_metadata",
    "pending_segments",
    "rules",
    "supervisors",
    "tasks",
    "unused_segments",
):
    importlib.import_module(f"overlord.duties.{_module}")
