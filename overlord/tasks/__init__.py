"""What the Overlord must know of each type of task: its priority, and the locks it needs before it starts.

What a task does is in `workers/tasks`.
"""

from __future__ import annotations

import importlib

from overlord.tasks.base import ByItsSegments, TaskType, task_types

__all__ = ["ByItsSegments", "TaskType", "task_types"]

for _module in ("noop", "index", "unused", "compact", "subtasks", "kafka"):
    importlib.import_module(f"overlord.tasks.{_module}")
